//! Owns the panel of what the policy saw: a lane for each field that rules read, with a scale of its own and the value at which
//! a rule turns, and a bar for each rule that failed.

use super::PLOT;
use super::panels::{Key, Scale, Scene, figure, legend};
use super::series::{self, Run};
use crate::event::Event;
use crate::id::{RuleId, SignalId, VersionId};
use crate::report::render::canvas::{Anchor, Canvas, Drawn, Ink, Pen, Text};
use crate::report::render::csv::signal_widths;
use crate::report::render::story::{Silence, clock, silences};
use crate::report::trial::Reading;
use crate::time::SimTime;
use plotters::backend::DrawingBackend;
use std::collections::{BTreeMap, BTreeSet};

const LANES_MAX: usize = 4;
const RULES_MAX: usize = 4;
const RULE: Ink = Ink::rgb(0x6A, 0x3D, 0x9A);
const LIMIT: Pen = Pen::new(RULE, 1.5).dashed(7.0, 4.0);

/// One field, and the rules that read it.
struct Lane<'a> {
    signal: SignalId,
    field: usize,
    readings: Vec<&'a Reading>,
    /// By version.
    lines: Vec<(VersionId, Vec<Run>)>,
    /// Where each of the rules turns, over time.
    limits: Vec<Vec<Run>>,
    scale: Scale,
}

pub(super) fn draw<B: DrawingBackend>(scene: &Scene<'_>, canvas: &mut Canvas<B>, top: f64, bottom: f64) -> Drawn {
    let rules = failing(scene);
    for (i, (&rule, spans)) in rules.iter().take(RULES_MAX).enumerate() {
        let y = lanes_bottom(&rules, bottom) + 6.0 + i as f64 * 18.0;
        for &(from, to) in spans {
            let (x0, x1) = (scene.x(from), scene.x(to));
            canvas.rect((x0, y + 2.0), (x1.max(x0 + 3.0), y + 14.0), RULE)?;
        }
        let name = canvas.fit(&format!("rule {} fails", scene.report.names.rule(rule)), Text::plain(12.5), 186.0);
        canvas.text((PLOT.1 + 14.0, y + 12.5), &name, Text::plain(12.5).ink(RULE))?;
        canvas.text((PLOT.0 - 8.0, y + 12.5), "rule", Text::plain(12.0).ink(RULE).anchor(Anchor::End))?;
    }
    let lanes = lanes(scene, top, lanes_bottom(&rules, bottom));
    if lanes.is_empty() {
        let middle = ((PLOT.0 + PLOT.1) / 2.0, (top + bottom) / 2.0);
        return canvas.text(middle, "nothing was measured", Text::plain(13.0).ink(Ink::SOFT).anchor(Anchor::Middle));
    }
    for (i, lane) in lanes.iter().enumerate() {
        scene.values(canvas, &lane.scale, &ticks(&lane.scale))?;
        if i > 0 {
            let y = lane.scale.top - TITLE;
            canvas.line(&[(PLOT.0, y), (PLOT.1, y)], Pen::thin(Ink::AXIS))?;
        }
        for limit in &lane.limits {
            scene.runs(canvas, &lane.scale, limit, RULE, LIMIT)?;
        }
        for (version, runs) in &lane.lines {
            scene.runs(canvas, &lane.scale, runs, scene.ink(*version), Pen::new(scene.ink(*version), 2.0))?;
        }
    }
    let drawn = |id: &VersionId| lanes.iter().flat_map(|lane| &lane.lines).any(|(v, runs)| v == id && !runs.is_empty());
    let mut words: Vec<(Key, String)> =
        scene.versions().into_iter().rev().filter(drawn).map(|id| scene.key(id)).collect();
    if lanes.iter().any(|lane| !lane.limits.is_empty()) {
        words.push((Key::Line(LIMIT), "where a rule turns".to_owned()));
    }
    legend(canvas, top, &words)?;
    let shown: BTreeSet<SignalId> = lanes.iter().map(|lane| lane.signal).collect();
    let left = signal_widths(scene.report).len() - shown.len();
    if left > 0 {
        let more = format!("{left} more {}: windows.csv", if left == 1 { "signal" } else { "signals" });
        let at = (PLOT.1 + 14.0, top + 14.0 + 19.0 * words.len() as f64);
        canvas.text(at, &more, Text::plain(12.5).ink(Ink::SOFT))?;
    }
    Ok(())
}

/// What must be readable over the milestones' lines: the names of lanes, where rules turn, and the measurements that made
/// them fail.
pub(super) fn labels<B: DrawingBackend>(scene: &Scene<'_>, canvas: &mut Canvas<B>, top: f64, bottom: f64) -> Drawn {
    let lanes = lanes(scene, top, lanes_bottom(&failing(scene), bottom));
    let silences = silences(scene.report, scene.end);
    for lane in &lanes {
        let names = &scene.report.names;
        let field = names.field(lane.signal, lane.field);
        let name = names.signal(lane.signal);
        let label = if field == "value" { name.to_owned() } else { format!("{name}.{field}") };
        let (x, y) = (PLOT.0 + 8.0, lane.scale.top - 4.0);
        let width = canvas.text_width(&label, Text::bold(12.5));
        let rules: Vec<String> = lane
            .readings
            .iter()
            .map(|reading| {
                let looks =
                    if reading.looks > 1 { format!(", {} looks in a row", reading.looks) } else { String::new() };
                format!("rule {}: {}{looks}", names.rule(reading.rule), reading.text)
            })
            .collect();
        let none = unmeasured(scene, lane, &silences).unwrap_or_default();
        let none_width = canvas.text_width(&none, Text::plain(12.5));
        let rules = canvas.fit(&rules.join("; "), Text::plain(12.5), PLOT.1 - x - width - none_width - 40.0);
        let end = x + width + 14.0 + canvas.text_width(&rules, Text::plain(12.5));
        canvas.rect((PLOT.0 + 2.0, y - 11.0), (end, y + 3.5), Ink::WHITE.alpha(0.85))?;
        canvas.text((x, y), &label, Text::bold(12.5))?;
        canvas.text((x + width + 12.0, y), &rules, Text::plain(12.5).ink(RULE))?;
        if !none.is_empty() {
            let how = Text::plain(12.5).ink(scene.ink(scene.report.rollout.0));
            let left = PLOT.1 - 6.0 - none_width;
            canvas.rect((left - 3.0, y - 11.0), (PLOT.1 - 2.0, y + 3.5), Ink::WHITE.alpha(0.85))?;
            canvas.text((left, y), &none, how)?;
        }
        for reading in lane.readings.iter().filter(|reading| reading.limit.of.is_none()) {
            let (text, y) = (figure(reading.limit.offset), lane.scale.y(reading.limit.offset));
            // Above its line, or below where a title is above.
            let y = if y - 14.0 < lane.scale.top { y + 13.0 } else { y - 4.0 };
            let width = canvas.text_width(&text, Text::plain(12.5));
            canvas.rect((PLOT.1 - 10.0 - width, y - 10.5), (PLOT.1 - 2.0, y + 2.0), Ink::WHITE.alpha(0.85))?;
            canvas.text((PLOT.1 - 6.0, y), &text, Text::plain(12.5).ink(RULE).anchor(Anchor::End))?;
        }
        for (version, runs) in &lane.lines {
            // A single point is no line, and the line of a milestone may hide it.
            for &(at, value) in runs.iter().filter(|run| run.len() == 1).flatten() {
                canvas.dot((scene.x(at), lane.scale.y(value)), 3.0, scene.ink(*version))?;
            }
        }
        for (at, value, limit) in decisive(scene, lane) {
            let (point, ink) = ((scene.x(at), lane.scale.y(value)), scene.ink(scene.report.rollout.0));
            canvas.dot(point, 6.0, Ink::WHITE)?;
            canvas.dot(point, 4.5, ink)?;
            // On the side where there is room; the line it stands on comes from the left.
            let turns = limit.map_or_else(String::new, |limit| format!(", turns at {}", short(limit)));
            let (text, how) = (format!("{}{turns}", short(value)), Text::bold(12.5));
            let width = canvas.text_width(&text, how);
            let left = if point.0 + width + 20.0 < PLOT.1 { point.0 + 9.0 } else { point.0 - width - 9.0 };
            canvas.rect((left - 2.0, point.1 - 8.0), (left + width + 2.0, point.1 + 7.0), Ink::WHITE.alpha(0.85))?;
            canvas.text((left, point.1 + 4.5), &text, how.ink(ink))?;
        }
    }
    let points = lanes.iter().flat_map(|lane| &lane.lines).flat_map(|(_, runs)| runs).flatten();
    if let (Some(last), Some(lane)) = (points.map(|&(at, _)| at).max(), lanes.first())
        && scene.x(last) < PLOT.0 + 0.6 * (PLOT.1 - PLOT.0)
    {
        let at = ((scene.x(last) + PLOT.1) / 2.0, (lane.scale.top + lane.scale.bottom) / 2.0 + 4.0);
        let text = format!("nothing is under test, and nothing measured, after {}", clock(last));
        let how = Text::plain(12.5).ink(Ink::SOFT);
        let half = canvas.text_width(&text, how) / 2.0 + 4.0;
        canvas.rect((at.0 - half, at.1 - 12.0), (at.0 + half, at.1 + 4.0), Ink::WHITE.alpha(0.9))?;
        canvas.text(at, &text, how.anchor(Anchor::Middle))?;
    }
    Ok(())
}

/// Why nothing is measured of the version under test any more, or never was.
fn unmeasured(scene: &Scene<'_>, lane: &Lane<'_>, silences: &[Silence<'_>]) -> Option<String> {
    let tested = scene.report.rollout.0;
    let silence = silences.iter().rfind(|s| s.signal == lane.signal && s.until.is_none())?;
    let drawn = lane.lines.iter().any(|(version, runs)| *version == tested && !runs.is_empty());
    let since = if drawn { format!(" since {}", clock(silence.from)) } else { String::new() };
    Some(format!("{}: no verdict{since}, {}", scene.report.names.version(tested), silence.why))
}

/// Three significant digits, as an axis would have them.
fn short(value: f64) -> String {
    let text = format!("{value:.2e}");
    figure(text.parse().unwrap_or(value))
}

/// The measurements of a lane's field at which one of its rules began to fail, and where that rule turned if that was another
/// measurement.
fn decisive(scene: &Scene<'_>, lane: &Lane<'_>) -> Vec<(SimTime, f64, Option<f64>)> {
    let reads = |rule: RuleId| lane.readings.iter().position(|reading| reading.rule == rule);
    let events = &scene.report.events;
    let fired: BTreeMap<SimTime, usize> = events
        .iter()
        .filter_map(|fact| match &fact.event {
            Event::RuleFired(fired) if fact.at <= scene.end => Some((fact.at, reads(fired.rule)?)),
            _ => None,
        })
        .collect();
    let turned = |reading: usize, at: SimTime| {
        let against = lane.readings[reading].limit.of.map(|_| lane.limits[reading].iter().flatten());
        against.and_then(|mut points| points.find(|(when, _)| *when == at)).map(|(_, limit)| *limit)
    };
    let measured = events.iter().filter_map(|fact| match &fact.event {
        Event::Measured(m) if m.signal == lane.signal && m.version == scene.report.rollout.0 => {
            let reading = *fired.get(&fact.at)?;
            Some((fact.at, m.values.get(lane.field).copied()?, turned(reading, fact.at)))
        }
        _ => None,
    });
    measured.filter(|(_, value, _)| value.is_finite()).collect()
}

type Spans = BTreeMap<RuleId, Vec<(SimTime, SimTime)>>;

/// Where the lanes end and the bars of rules begin.
fn lanes_bottom(rules: &Spans, bottom: f64) -> f64 {
    bottom - rules.len().min(RULES_MAX) as f64 * 18.0 - if rules.is_empty() { 0.0 } else { 6.0 }
}

/// When which rule failed, from firing to clearing.
fn failing(scene: &Scene<'_>) -> Spans {
    let mut open: BTreeMap<RuleId, SimTime> = BTreeMap::new();
    let mut spans = Spans::new();
    for fact in &scene.report.events {
        match &fact.event {
            Event::RuleFired(fired) => {
                open.entry(fired.rule).or_insert(fact.at);
            }
            Event::RuleCleared { rule } => {
                if let Some(from) = open.remove(rule) {
                    spans.entry(*rule).or_default().push((from, fact.at));
                }
            }
            _ => {}
        }
    }
    for (rule, from) in open {
        spans.entry(rule).or_default().push((from, scene.end));
    }
    spans.values_mut().for_each(|spans| spans.retain(|&(from, _)| from <= scene.end));
    spans.retain(|_, spans| !spans.is_empty());
    spans
}

/// The fields to show: those that rules which failed read, the first to fail first; then those of other rules; then the
/// first field of signals that no rule reads.
fn chosen<'a>(scene: &Scene<'a>) -> Vec<(SignalId, usize, Vec<&'a Reading>)> {
    let report = scene.report;
    let first_failed = |rule: RuleId| {
        let failed = |fact: &&crate::trace::Recorded| matches!(&fact.event, Event::RuleFired(f) if f.rule == rule);
        report.events.iter().find(failed).map_or(SimTime::NEVER, |fact| fact.at)
    };
    let mut readings: Vec<&Reading> = report.readings.iter().collect();
    readings.sort_by_key(|reading| (first_failed(reading.rule), reading.rule));
    let mut lanes: Vec<(SignalId, usize, Vec<&Reading>)> = Vec::new();
    for reading in readings {
        match lanes.iter_mut().find(|lane| (lane.0, lane.1) == (reading.signal, reading.field)) {
            Some(lane) => lane.2.push(reading),
            None => lanes.push((reading.signal, reading.field, vec![reading])),
        }
    }
    let measured = signal_widths(report);
    lanes.retain(|(signal, ..)| measured.contains_key(signal));
    for &signal in measured.keys() {
        if lanes.iter().all(|lane| lane.0 != signal) {
            lanes.push((signal, 0, Vec::new()));
        }
    }
    lanes.truncate(LANES_MAX);
    lanes
}

/// The height of a lane's title.
const TITLE: f64 = 18.0;

fn lanes<'a>(scene: &Scene<'a>, top: f64, bottom: f64) -> Vec<Lane<'a>> {
    let chosen = chosen(scene);
    let height = (bottom - top) / chosen.len().max(1) as f64;
    let report = scene.report;
    let lane = |(i, (signal, field, readings)): (usize, (SignalId, usize, Vec<&'a Reading>))| {
        let lines: Vec<(VersionId, Vec<Run>)> = scene
            .versions()
            .iter()
            .map(|&version| (version, series::signal(report, signal, field, version, scene.end)))
            .collect();
        let limits: Vec<Vec<Run>> = readings.iter().map(|reading| limit(scene, reading)).collect();
        let log = report.names.field(signal, field) == "p";
        let (low, high) = range(&lines, &limits, log);
        let (from, to) = (top + height * i as f64, top + height * (i + 1) as f64);
        let scale = Scale { low, high, top: from + TITLE, bottom: to - 3.0, log };
        Lane { signal, field, readings, lines, limits, scale }
    };
    chosen.into_iter().enumerate().map(lane).collect()
}

/// Where a rule turns over time: constant, or as far as the other field that it reads was measured.
fn limit(scene: &Scene<'_>, reading: &Reading) -> Vec<Run> {
    let (limit, (tested, baseline)) = (reading.limit, scene.report.rollout);
    let Some((signal, field, of_baseline)) = limit.of else {
        return vec![vec![(SimTime::ZERO, limit.offset), (scene.end, limit.offset)]];
    };
    let version = if of_baseline { baseline } else { tested };
    let mut runs = series::signal(scene.report, signal, field, version, scene.end);
    runs.iter_mut().flatten().for_each(|(_, value)| *value = limit.factor * *value + limit.offset);
    runs
}

/// The values that a lane spans, those at which its rules turn among them.
fn range(lines: &[(VersionId, Vec<Run>)], limits: &[Vec<Run>], log: bool) -> (f64, f64) {
    let measured = series::extent(lines.iter().flat_map(|(_, runs)| runs));
    let turning = series::extent(limits.iter().flatten());
    let all = match (measured, turning) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (some, None) | (None, some) => some,
    };
    // A signal that is always zero has no scale of its own.
    let (low, high) = all.filter(|&(low, high)| low != 0.0 || high != 0.0).unwrap_or((0.0, 1.0));
    if log {
        // Far below where a rule turns all p-values are alike.
        let least = turning.map_or(1e-6, |(limit, _)| limit.clamp(1e-9, 1.0) / 100.0);
        return (low.max(least) / 2.0, 1.0);
    }
    // From zero where zero is near; a level that hardly moves keeps its place in the middle.
    let low = if low >= 0.0 && low < high * 0.75 { 0.0 } else { low };
    // Nor does noise fill a lane: a lane spans at least a third of its level.
    let pad = ((high - low) * 0.1).max((high.abs().max(low.abs()) / 3.0 - (high - low)) / 2.0).max(1e-9);
    (if low == 0.0 { 0.0 } else { low - pad }, high + pad)
}

fn ticks(scale: &Scale) -> Vec<(f64, String)> {
    let values = if scale.log {
        let decades: Vec<i32> = (-9..=0).filter(|&e| libm::pow(10.0, f64::from(e)) >= scale.low).collect();
        let step = decades.len().div_ceil(3).max(1);
        decades.into_iter().rev().step_by(step).map(|e| libm::pow(10.0, f64::from(e))).collect()
    } else {
        series::round_steps(scale.low, scale.high, 3)
    };
    values.into_iter().map(|v| (v, figure(v))).collect()
}
