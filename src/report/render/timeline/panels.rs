//! Owns the panels that are drawn from windows: traffic, latency, bad requests, accuracy.

use super::PLOT;
use super::series::{self, Bin, Gathered, Run};
use super::signals;
use crate::event::Event;
use crate::id::VersionId;
use crate::report::objective::Loss;
use crate::report::render::canvas::{Anchor, Canvas, DrawError, Drawn, Ink, Pen, Point, Text};
use crate::report::render::story::{bad_version, percent};
use crate::report::trial::{Incident, TrialReport};
use crate::time::SimTime;
use plotters::backend::DrawingBackend;

/// Colours that people with any kind of colour vision tell apart (Okabe and Ito, <https://jfly.uni-koeln.de/color/>).
const VERSIONS: [Ink; 5] = [
    Ink::rgb(0x00, 0x72, 0xB2),
    Ink::rgb(0xD5, 0x5E, 0x00),
    Ink::rgb(0x00, 0x9E, 0x73),
    Ink::rgb(0xCC, 0x79, 0xA7),
    Ink::rgb(0x56, 0xB4, 0xE9),
];
/// Requests that make a share worth a point.
const ENOUGH: u64 = 200;
const FAILED: Ink = Ink::rgb(0x30, 0x30, 0x30);
const LATE: Ink = Ink::rgb(0xE8, 0xC2, 0x20);
const WRONG: Ink = Ink::rgb(0xC4, 0xC4, 0xC4);

/// What all panels share: the report, its bins, the time axis.
pub(super) struct Scene<'a> {
    pub(super) report: &'a TrialReport,
    bins: Vec<Bin>,
    pub(super) end: SimTime,
    plot: (f64, f64),
    /// Versions that a fault made bad.
    bad: Vec<VersionId>,
    /// When something changed at once.
    cuts: Vec<SimTime>,
}

/// A scale from values to pixels: `low` is at the bottom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) log: bool,
}

impl Scale {
    pub(super) fn y(&self, value: f64) -> f64 {
        let place = |v: f64| if self.log { libm::log(v.max(1e-12)) } else { v };
        let (low, high) = (place(self.low), place(self.high));
        let share = if high > low { (place(value) - low) / (high - low) } else { 0.5 };
        self.bottom - share.clamp(0.0, 1.0) * (self.bottom - self.top)
    }
}

impl<'a> Scene<'a> {
    pub(super) fn new(report: &'a TrialReport, plot: (f64, f64)) -> Self {
        let end = report.windows.last().map_or(report.horizon, |last| last.to.min(report.horizon));
        let mut bad: Vec<VersionId> =
            report.incidents.iter().filter_map(|incident| bad_version(report, incident)).collect();
        bad.sort_unstable();
        bad.dedup();
        let steps = |incident: &Incident| [incident.injected, incident.onset, incident.reverted].into_iter().flatten();
        let cuts = report.incidents.iter().flat_map(steps).collect();
        Self { report, bins: series::bins(report), end: end.max(SimTime(1)), plot, bad, cuts }
    }

    /// Where an instant is on the time axis.
    pub(super) fn x(&self, at: SimTime) -> f64 {
        let share = at.0 as f64 / self.end.0 as f64;
        self.plot.0 + share.clamp(0.0, 1.0) * (self.plot.1 - self.plot.0)
    }

    pub(super) fn ticks(&self) -> Vec<SimTime> {
        series::clock_steps(self.end, 14)
    }

    /// The versions that had traffic, in the order they are drawn: the bad ones last, on top.
    pub(super) fn versions(&self) -> Vec<VersionId> {
        let all = (0..self.report.names.versions.len()).filter_map(|i| u16::try_from(i).ok().map(VersionId));
        let served = |id: &VersionId| {
            self.report.windows.iter().filter_map(|w| w.cells.get(id.index())).any(|cell| cell.counts.requests > 0)
        };
        let mut ids: Vec<VersionId> = all.filter(served).collect();
        ids.sort_by_key(|id| self.bad.contains(id));
        ids
    }

    pub(super) fn ink(&self, version: VersionId) -> Ink {
        VERSIONS.get(version.index() % VERSIONS.len()).copied().unwrap_or(Ink::AXIS)
    }

    pub(super) fn name(&self, version: VersionId) -> String {
        let name = self.report.names.version(version);
        if self.bad.contains(&version) { format!("{name} (bad)") } else { name.to_owned() }
    }

    /// What a version's line is called beside a panel.
    pub(super) fn key(&self, version: VersionId) -> (Key, String) {
        (Key::Line(Pen::new(self.ink(version), 2.0)), self.name(version))
    }

    /// Vertical lines at the ticks, and a frame.
    pub(super) fn grid<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, top: f64, bottom: f64) -> Drawn {
        for at in self.ticks() {
            let x = self.x(at);
            canvas.line(&[(x, top), (x, bottom)], Pen::thin(Ink::GRID))?;
        }
        canvas.line(&[(self.plot.0, top), (self.plot.0, bottom), (self.plot.1, bottom)], Pen::thin(Ink::AXIS))
    }

    /// Ticks of the value axis.
    pub(super) fn values<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        scale: &Scale,
        at: &[(f64, String)],
    ) -> Drawn {
        for (value, text) in at {
            let y = scale.y(*value);
            canvas.line(&[(self.plot.0, y), (self.plot.1, y)], Pen::thin(Ink::GRID))?;
            canvas.text((self.plot.0 - 8.0, y + 4.5), text, Text::plain(12.5).anchor(Anchor::End))?;
        }
        Ok(())
    }

    /// Draws runs as lines, and as dots where a single point stands alone.
    pub(super) fn runs<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        scale: &Scale,
        runs: &[Run],
        ink: Ink,
        pen: Pen,
    ) -> Drawn {
        for run in runs {
            let points: Vec<Point> = run.iter().map(|&(at, value)| (self.x(at), scale.y(value))).collect();
            match points.as_slice() {
                [one] => canvas.dot(*one, 2.0, ink)?,
                points => canvas.line(points, pen)?,
            }
        }
        Ok(())
    }
}

/// What stands at the right of a panel.
pub(super) enum Key {
    /// A filled square.
    Area(Ink),
    /// A piece of a line.
    Line(Pen),
}

pub(super) fn legend<B: DrawingBackend>(canvas: &mut Canvas<B>, top: f64, keys: &[(Key, String)]) -> Drawn {
    let left = PLOT.1 + 14.0;
    for (i, (key, words)) in keys.iter().enumerate() {
        let y = top + 9.0 + i as f64 * 19.0;
        match key {
            Key::Area(ink) => canvas.rect((left, y - 6.0), (left + 18.0, y + 6.0), *ink)?,
            Key::Line(pen) => canvas.line(&[(left, y), (left + 18.0, y)], *pen)?,
        }
        let words = canvas.fit(words, Text::plain(13.0), 164.0);
        canvas.text((left + 26.0, y + 4.5), &words, Text::plain(13.0))?;
    }
    Ok(())
}

/// The panels, from top to bottom.
#[derive(Debug, Clone, Copy)]
pub(super) enum Panel {
    Traffic,
    Latency,
    Bad,
    Signals,
    Accuracy,
}

impl Panel {
    pub(super) fn draw<B: DrawingBackend>(
        self,
        scene: &Scene<'_>,
        canvas: &mut Canvas<B>,
        top: f64,
        bottom: f64,
    ) -> Drawn {
        match self {
            Self::Traffic => traffic(scene, canvas, top, bottom),
            Self::Latency => latency(scene, canvas, top, bottom),
            Self::Bad => bad(scene, canvas, top, bottom),
            Self::Signals => signals::draw(scene, canvas, top, bottom),
            Self::Accuracy => accuracy(scene, canvas, top, bottom),
        }
    }

    /// What must be readable over the milestones' lines: the title above the panel, and names inside it.
    pub(super) fn labels<B: DrawingBackend>(
        self,
        scene: &Scene<'_>,
        canvas: &mut Canvas<B>,
        top: f64,
        bottom: f64,
    ) -> Drawn {
        let (title, note) = match self {
            Self::Traffic => ("Who served", "share of the requests that each version got"),
            Self::Latency => ("Latency", "p50 and p99 of the answered, milliseconds, logarithmic"),
            Self::Bad => ("Bad requests", "areas: share of all requests; lines: of each version's own"),
            Self::Signals => (
                "What the policy saw",
                "what its rules read, late and partial; dashed: where a rule turns; bars: rules that failed",
            ),
            Self::Accuracy => match scene.report.objective.loss {
                Loss::ZeroOne { .. } => ("Accuracy", "right answers, against the truth that the policy never sees"),
                Loss::Absolute { .. } => {
                    ("Accuracy", "answers within tolerance, against the truth that the policy never sees")
                }
            },
        };
        let x = PLOT.0 + canvas.text_width(title, Text::bold(14.0)) + 12.0;
        let end = x + canvas.text_width(note, Text::plain(13.0)) + 4.0;
        canvas.rect((PLOT.0 - 2.0, top - 21.0), (end, top - 3.0), Ink::WHITE.alpha(0.9))?;
        canvas.text((PLOT.0, top - 8.0), title, Text::bold(14.0))?;
        canvas.text((x, top - 8.0), note, Text::plain(13.0).ink(Ink::SOFT))?;
        match self {
            Self::Traffic => weights(scene, canvas, &shares(top, bottom)),
            Self::Signals => signals::labels(scene, canvas, top, bottom),
            Self::Latency | Self::Bad | Self::Accuracy => Ok(()),
        }
    }
}

/// Stacked areas: for each bin the upper edge of each layer, as shares of `scale`; bins without any value are gaps.
fn stack<B: DrawingBackend>(
    scene: &Scene<'_>,
    canvas: &mut Canvas<B>,
    scale: &Scale,
    inks: &[Ink],
    layers: impl Fn(&Bin) -> Option<Vec<f64>>,
) -> Drawn {
    let edges: Vec<Option<(f64, f64, Vec<f64>)>> =
        scene.bins.iter().map(|bin| Some((scene.x(bin.from), scene.x(bin.to), layers(bin)?))).collect();
    for run in edges.split(Option::is_none) {
        let run: Vec<&(f64, f64, Vec<f64>)> = run.iter().flatten().collect();
        for (layer, &ink) in inks.iter().enumerate() {
            let edge = |values: &[f64], layer: usize| scale.y(values.iter().take(layer).sum::<f64>());
            let upper = run.iter().flat_map(|(from, to, values)| {
                let y = edge(values, layer + 1);
                [(*from, y), (*to, y)]
            });
            let lower = run.iter().rev().flat_map(|(from, to, values)| {
                let y = edge(values, layer);
                [(*to, y), (*from, y)]
            });
            let present = run.iter().any(|(_, _, values)| values.get(layer).is_some_and(|&value| value > 0.0));
            if present {
                canvas.polygon(&upper.chain(lower).collect::<Vec<_>>(), ink)?;
            }
        }
    }
    Ok(())
}

/// The scale from none to all.
const fn shares(top: f64, bottom: f64) -> Scale {
    Scale { low: 0.0, high: 1.0, top, bottom, log: false }
}

fn traffic<B: DrawingBackend>(scene: &Scene<'_>, canvas: &mut Canvas<B>, top: f64, bottom: f64) -> Drawn {
    let scale = shares(top, bottom);
    let versions = scene.versions();
    let inks: Vec<Ink> = versions.iter().map(|&id| scene.ink(id).alpha(0.75)).collect();
    stack(scene, canvas, &scale, &inks, |bin| {
        let all: u64 = bin.cells.iter().map(|cell| cell.counts.requests).sum();
        let share =
            |id: &VersionId| bin.cells.get(id.index()).map_or(0, |cell| cell.counts.requests) as f64 / all as f64;
        (all > 0).then(|| versions.iter().map(share).collect())
    })?;
    scene.values(canvas, &scale, &[(0.0, "0 %".to_owned()), (0.5, "50 %".to_owned()), (1.0, "100 %".to_owned())])?;
    let keys: Vec<_> =
        versions.iter().rev().map(|&id| (Key::Area(scene.ink(id).alpha(0.75)), scene.name(id))).collect();
    legend(canvas, top, &keys)
}

/// Writes the weight of the version rolled out beside each of its steps, where there is room.
fn weights<B: DrawingBackend>(scene: &Scene<'_>, canvas: &mut Canvas<B>, scale: &Scale) -> Drawn {
    let how = Text::bold(12.5).ink(Ink::WHITE);
    let version = scene.report.rollout.0;
    let (mut reach, mut last) = (PLOT.0, 0.0);
    for fact in &scene.report.events {
        let Event::Weights { weights } = &fact.event else { continue };
        let share = weights.iter().find(|(id, _)| *id == version).map_or(0.0, |(_, weight)| weight.share());
        let words = format!("{} {}", scene.report.names.version(version), percent(share));
        let (x, width) = (scene.x(fact.at) + 4.0, canvas.text_width(&words, how));
        if share != last && share > 0.0 && x >= reach && x + width < PLOT.1 {
            let y = scale.y(1.0 - share).min(scale.bottom - 20.0) + 15.0;
            // A ground of its own: milestones' lines would cross it.
            canvas.rect((x - 2.0, y - 12.0), (x + width + 3.0, y + 4.0), scene.ink(version))?;
            canvas.text((x, y), &words, how)?;
            reach = x + width + 6.0;
        }
        last = share;
    }
    Ok(())
}

fn latency<B: DrawingBackend>(scene: &Scene<'_>, canvas: &mut Canvas<B>, top: f64, bottom: f64) -> Drawn {
    let quantile = |id, q, enough| {
        series::line(&scene.bins, &scene.cuts, id, enough, |cell| Some(cell.latency.quantile(q)? / 1e6))
    };
    let lines: Vec<(VersionId, Vec<Run>, Vec<Run>)> =
        scene.versions().iter().map(|&id| (id, quantile(id, 0.5, 30), quantile(id, 0.99, 120))).collect();
    let limit = scene.report.objective.latency.map(|limit| limit.as_secs_f64() * 1e3);
    let extent = series::extent(lines.iter().flat_map(|(_, p50, p99)| p50.iter().chain(p99)));
    let (low, high) = match (extent, limit) {
        (Some((low, high)), limit) => (low, high.max(limit.unwrap_or(high))),
        (None, Some(limit)) => (limit / 10.0, limit),
        (None, None) => (1.0, 100.0),
    };
    let scale = Scale { low: (low / 1.3).max(1e-3), high: high * 1.4, top, bottom, log: true };
    // 1-2-5 over ten decades; what lies outside the panel is left out, and all but powers of ten when it gets crowded.
    let decades = (-3..7).map(|e| libm::pow(10.0, f64::from(e)));
    let ticks: Vec<(f64, String)> = decades
        .flat_map(|unit| [1.0, 2.0, 5.0].map(|m| (m, m * unit)))
        .filter(|&(m, v)| v >= scale.low && v <= scale.high && (m == 1.0 || scale.high / scale.low < 300.0))
        .map(|(_, value)| (value, figure(value)))
        .collect();
    scene.values(canvas, &scale, &ticks)?;
    let mut keys = Vec::new();
    for (id, p50, p99) in &lines {
        let ink = scene.ink(*id);
        let (thin, thick) = (Pen::new(ink, 1.5).dashed(5.0, 3.0), Pen::new(ink, 2.0));
        scene.runs(canvas, &scale, p50, ink, thin)?;
        scene.runs(canvas, &scale, p99, ink, thick)?;
        let name = scene.report.names.version(*id);
        keys.push((Key::Line(thick), format!("{name} p99")));
        keys.push((Key::Line(thin), format!("{name} p50")));
    }
    if let Some(limit) = limit {
        let (y, pen) = (scale.y(limit), Pen::new(Ink::TEXT, 1.5).dashed(9.0, 5.0));
        canvas.line(&[(PLOT.0, y), (PLOT.1, y)], pen)?;
        keys.insert(0, (Key::Line(pen), format!("promised: {} ms", figure(limit))));
    }
    legend(canvas, top, &keys)
}

/// A line for each version, of a share that enough of its requests have.
fn lines_of(scene: &Scene<'_>, share: impl Fn(&Gathered) -> Option<f64>) -> Vec<(VersionId, Vec<Run>)> {
    let line = |&id: &VersionId| (id, series::line(&scene.bins, &scene.cuts, id, ENOUGH, &share));
    scene.versions().iter().map(line).collect()
}

/// Draws them; what they are called, the topmost first.
fn draw_lines<B: DrawingBackend>(
    scene: &Scene<'_>,
    canvas: &mut Canvas<B>,
    scale: &Scale,
    lines: &[(VersionId, Vec<Run>)],
) -> Result<Vec<(Key, String)>, DrawError> {
    let mut keys = Vec::new();
    for (id, runs) in lines {
        let pen = Pen::new(scene.ink(*id), 2.2);
        scene.runs(canvas, scale, runs, scene.ink(*id), pen)?;
        keys.insert(0, (Key::Line(pen), scene.name(*id)));
    }
    Ok(keys)
}

fn bad<B: DrawingBackend>(scene: &Scene<'_>, canvas: &mut Canvas<B>, top: f64, bottom: f64) -> Drawn {
    let own = lines_of(scene, |cell| Some(cell.counts.bad as f64 / cell.counts.requests as f64));
    let total = |bin: &Bin| {
        let sum = |of: fn(&crate::report::trial::RequestCounts) -> u64| {
            bin.cells.iter().map(|cell| of(&cell.counts)).sum::<u64>()
        };
        let (all, bad, failed, late) = (sum(|c| c.requests), sum(|c| c.bad), sum(|c| c.failed), sum(|c| c.late));
        let share = |part: u64| part as f64 / all as f64;
        // Failed, late (and perhaps wrong), wrong only: they add up to bad.
        let wrong = bad.saturating_sub(failed).saturating_sub(late);
        (all > 0).then(|| vec![share(failed), share(late), share(wrong)])
    };
    let highest = scene.bins.iter().filter_map(total).map(|layers| layers.iter().sum::<f64>()).fold(0.0, f64::max);
    let lines = series::extent(own.iter().flat_map(|(_, runs)| runs)).map_or(0.0, |(_, high)| high);
    let scale = Scale { low: 0.0, high: (highest.max(lines) * 1.08).clamp(0.005, 1.0), top, bottom, log: false };
    stack(scene, canvas, &scale, &[FAILED, LATE, WRONG], total)?;
    scene.values(canvas, &scale, &percents(&scale, 5))?;
    let mut keys = draw_lines(scene, canvas, &scale, &own)?;
    keys.extend([
        (Key::Area(WRONG), "all: wrong answer".to_owned()),
        (Key::Area(LATE), "all: late".to_owned()),
        (Key::Area(FAILED), "all: no answer".to_owned()),
    ]);
    legend(canvas, top, &keys)
}

fn accuracy<B: DrawingBackend>(scene: &Scene<'_>, canvas: &mut Canvas<B>, top: f64, bottom: f64) -> Drawn {
    let lines = lines_of(scene, |cell| {
        let answered = cell.counts.requests.saturating_sub(cell.counts.failed);
        (answered > 0).then(|| 1.0 - cell.counts.wrong as f64 / answered as f64)
    });
    let (low, high) = series::extent(lines.iter().flat_map(|(_, runs)| runs)).unwrap_or((0.0, 1.0));
    let pad = ((high - low) * 0.12).max(0.02);
    let scale = Scale { low: (low - pad).max(0.0), high: (high + pad).min(1.0), top, bottom, log: false };
    scene.values(canvas, &scale, &percents(&scale, 6))?;
    let keys = draw_lines(scene, canvas, &scale, &lines)?;
    legend(canvas, top, &keys)
}

fn percents(scale: &Scale, parts: usize) -> Vec<(f64, String)> {
    series::round_steps(scale.low, scale.high, parts)
        .into_iter()
        .map(|v| (v, format!("{} %", figure(v * 100.0))))
        .collect()
}

/// A number with as many digits as an axis needs.
pub(in crate::report::render) fn figure(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
