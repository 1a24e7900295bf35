//! Owns the picture of a power analysis: for each kind of shift a panel with the median delay against the size, one line for
//! each rule, and below each of its marks a bar at the fastest possible.
//!
//! A rule's name stands at its line and its marker differs in shape, so that colour is not all that tells rules apart; where
//! fewer than half were found, the mark stands on the row *not found*.

use super::{after, false_alarms, rate, telemetry, traffic};
use crate::report::power::{FalseAlarms, Kind, Power, Row, RulePower};
use crate::report::render::canvas::{self, Anchor, Canvas, DrawError, Drawn, Ink, Pen, Picture, Point, Text};
use crate::report::render::timeline::panels::figure;
use plotters::backend::DrawingBackend;

const WIDTH: u32 = 1280;
const LEFT: f64 = 24.0;
/// Ends of a panel's axes.
const PLOT: (f64, f64) = (104.0, 830.0);
/// Where the legend beside a panel begins.
const WORDS: f64 = 858.0;
const HEAD: f64 = 154.0;
/// The least height of a panel's plot, what one rule's words beside it take, and what is between two panels.
const PANEL: f64 = 236.0;
const ENTRY: f64 = 76.0;
const BETWEEN: f64 = 100.0;
const FOOT: f64 = 96.0;
/// A rule in the list that stands where there is no panel.
const LISTED: f64 = 64.0;
/// Room above the plot's scale for what was not found.
const NEVER: f64 = 34.0;
const RADIUS: f64 = 5.0;

/// Okabe and Ito's colours, which people with any kind of colour vision tell apart.
const INKS: [Ink; 6] = [
    Ink::rgb(0x00, 0x72, 0xB2),
    Ink::rgb(0xD5, 0x5E, 0x00),
    Ink::rgb(0x00, 0x9E, 0x73),
    Ink::rgb(0xCC, 0x79, 0xA7),
    Ink::rgb(0x56, 0xB4, 0xE9),
    Ink::rgb(0x80, 0x70, 0x00),
];
/// The policy as a whole.
const WHOLE: Ink = Ink::rgb(0x30, 0x30, 0x30);

/// The picture as an SVG document.
///
/// # Errors
/// When the drawing library fails.
pub fn power_svg(power: &Power) -> Result<String, DrawError> {
    canvas::svg(&Chart::new(power))
}

/// The picture as a PNG file.
///
/// # Errors
/// When the drawing library fails.
pub fn power_png(power: &Power) -> Result<Vec<u8>, DrawError> {
    canvas::png(&Chart::new(power))
}

/// One line of a panel.
struct Line<'a> {
    rule: &'a RulePower,
    ink: Ink,
    shape: usize,
    rows: Vec<&'a Row>,
}

/// One kind of shift.
struct Panel<'a> {
    kind: Kind,
    lines: Vec<Line<'a>>,
    /// Sizes in ascending order of harm, with their words.
    sizes: Vec<(f64, &'a str)>,
}

struct Chart<'a> {
    power: &'a Power,
    panels: Vec<Panel<'a>>,
}

impl<'a> Chart<'a> {
    fn new(power: &'a Power) -> Self {
        let mut kinds: Vec<Kind> = power.rules.iter().flat_map(|r| &r.rows).map(|row| row.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let panel = |kind: Kind| {
            let line = |(i, rule): (usize, &'a RulePower)| {
                let rows: Vec<&Row> = rule.rows.iter().filter(|row| row.kind == kind).collect();
                let whole = power.rules.len() > 1 && i + 1 == power.rules.len();
                if whole && rows.iter().all(|row| super::repeats(power, row)) {
                    return None;
                }
                let ink = if whole { WHOLE } else { INKS[i % INKS.len()] };
                (!rows.is_empty()).then_some(Line { rule, ink, shape: i % 3, rows })
            };
            let lines: Vec<Line<'a>> = power.rules.iter().enumerate().filter_map(line).collect();
            let longest = lines.iter().max_by_key(|l| l.rows.len());
            let mut sizes: Vec<(f64, &str)> =
                longest.map(|l| l.rows.iter().map(|r| (r.size, r.words.as_str())).collect()).unwrap_or_default();
            // Of outcomes the fewer that are left, the worse.
            sizes.sort_by(|a, b| if kind == Kind::Outcome { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) });
            Panel { kind, lines, sizes }
        };
        Self { power, panels: kinds.into_iter().map(panel).collect() }
    }
}

impl Picture for Chart<'_> {
    fn size(&self) -> (u32, u32) {
        let panels: f64 = self.panels.iter().map(|panel| panel.height() + BETWEEN).sum();
        let body = if self.panels.is_empty() { self.listed() } else { panels - BETWEEN + FOOT };
        (WIDTH, (HEAD + body + 60.0) as u32)
    }

    fn paint<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        let power = self.power;
        let room = f64::from(WIDTH) - 2.0 * LEFT;
        let title = format!("{} · policy {}: how fast which shift is found", power.scenario, power.policy);
        canvas.text((LEFT, 36.0), &canvas.fit(&title, Text::bold(21.0), room), Text::bold(21.0))?;
        for (i, about) in [traffic(power), telemetry(power)].iter().enumerate() {
            let about = canvas.fit(about, Text::plain(15.0), room);
            canvas.text((LEFT, 64.0 + 22.0 * i as f64), &about, Text::plain(15.0).ink(Ink::SOFT))?;
        }
        let note = format!(
            "Predicted without a run: {} simulated rollouts for each size; the shift is of {} alone and comes {} after the stage began.",
            power.setting.trials,
            power.versions.0,
            after(power),
        );
        canvas.text((LEFT, 108.0), &canvas.fit(&note, Text::plain(14.0), room), Text::plain(14.0).ink(Ink::SOFT))?;
        let mut top = HEAD;
        for panel in &self.panels {
            panel.draw(canvas, power, top)?;
            top += panel.height() + BETWEEN;
        }
        if self.panels.is_empty() {
            return self.list(canvas, top);
        }
        self.legend(canvas, top - BETWEEN + 76.0)
    }
}

impl Chart<'_> {
    /// The height of the list of rules that stands where there is no panel.
    fn listed(&self) -> f64 {
        LISTED * self.power.rules.len() as f64
    }

    /// What is known of rules of which nothing is predicted.
    fn list<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, top: f64) -> Drawn {
        canvas.text((LEFT, top), "Of no rule anything is predicted.", Text::bold(16.0))?;
        let room = f64::from(WIDTH) - 2.0 * LEFT;
        for (i, rule) in self.power.rules.iter().enumerate() {
            let y = top + 34.0 + LISTED * i as f64;
            let why = rule.silent.as_ref().map_or_else(String::new, |why| format!(" · nothing is predicted: {why}"));
            canvas.text((LEFT, y), &canvas.fit(&rule.rule, Text::bold(14.0), room), Text::bold(14.0))?;
            for (line, words) in [&rule.text, &format!("{}{why}", false_alarms(&rule.alarms))].into_iter().enumerate() {
                let words = canvas.fit(words, Text::plain(13.0), room);
                let at = (LEFT, y + 18.0 * (line + 1) as f64);
                canvas.text(at, &words, Text::plain(13.0).ink(Ink::SOFT))?;
            }
        }
        Ok(())
    }

    fn legend<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, y: f64) -> Drawn {
        canvas.line(&[(LEFT, y - 4.0), (LEFT + 34.0, y - 4.0)], Pen::new(WHOLE, 2.0))?;
        mark(canvas, (LEFT + 17.0, y - 4.0), 0, WHOLE)?;
        let words = "median delay from the shift to the look at which the rule fires, lag included; the thin line up ends at the 90th percentile";
        canvas.text((LEFT + 44.0, y), words, Text::plain(13.0))?;
        bar(canvas, (LEFT + 17.0, y + 18.0), WHOLE)?;
        let words = "fastest possible with as few false alarms, by who sees each request as it ends: without scrapes, without lag (a mean; or a limit of the median, if later)";
        canvas.text((LEFT + 44.0, y + 22.0), words, Text::plain(13.0))?;
        let words = format!(
            "“not found”: fewer than half within {}. No bar: no bound. No model ran; answers, queues and telemetry are simulated as power.md says.",
            self.power.setting.within
        );
        canvas.text((LEFT, y + 46.0), &words, Text::plain(12.5).ink(Ink::SOFT))
    }
}

/// A logarithmic scale of seconds.
struct Scale {
    low: f64,
    high: f64,
    top: f64,
    bottom: f64,
}

impl Scale {
    fn of(panel: &Panel<'_>, within: f64, top: f64) -> Self {
        let rows = || panel.lines.iter().flat_map(|l| &l.rows);
        let least = rows().filter_map(|r| r.median_s).chain(rows().filter_map(|r| limit(r)));
        let low = least.filter(|x| *x > 0.0).fold(within, f64::min);
        let high = rows().filter_map(|r| limit(r)).fold(within, f64::max);
        Self { low: low * 0.8, high: high * 1.15, top: top + NEVER, bottom: top + panel.height() }
    }

    fn y(&self, seconds: f64) -> f64 {
        let share = libm::log(seconds / self.low) / libm::log(self.high / self.low);
        self.bottom - share.clamp(0.0, 1.0) * (self.bottom - self.top)
    }

    /// 1, 2, 5 and their tenfolds.
    fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        let mut unit = 1e-3;
        while unit <= self.high {
            ticks.extend([1.0, 2.0, 5.0].map(|m| m * unit).into_iter().filter(|t| (self.low..=self.high).contains(t)));
            unit *= 10.0;
        }
        ticks
    }
}

/// The fastest possible in seconds: the sharper of the two limits.
fn limit(row: &Row) -> Option<f64> {
    let both = [row.optimum.map(|best| best.seconds), super::least(row)];
    both.into_iter().flatten().max_by(f64::total_cmp)
}

impl Panel<'_> {
    /// As high as the words beside it need.
    fn height(&self) -> f64 {
        PANEL.max(ENTRY * self.lines.len() as f64)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, power: &Power, top: f64) -> Drawn {
        let scale = Scale::of(self, power.setting.within.as_secs_f64(), top);
        let heading = heading(self.kind);
        canvas.text((PLOT.0, top - 12.0), heading, Text::bold(14.0))?;
        let x = PLOT.0 + canvas.text_width(heading, Text::bold(14.0)) + 10.0;
        let note = format!("seconds (logarithmic); below: {}", self.kind.unit());
        let note = canvas.fit(&note, Text::plain(13.0), PLOT.1 - x);
        canvas.text((x, top - 12.0), &note, Text::plain(13.0).ink(Ink::SOFT))?;
        for tick in scale.ticks() {
            let y = scale.y(tick);
            canvas.line(&[(PLOT.0, y), (PLOT.1, y)], Pen::thin(Ink::GRID))?;
            canvas.text(
                (PLOT.0 - 8.0, y + 4.5),
                &format!("{} s", figure(tick)),
                Text::plain(12.5).anchor(Anchor::End),
            )?;
        }
        let never = top + NEVER / 2.0;
        canvas.line(&[(PLOT.0, scale.top), (PLOT.1, scale.top)], Pen::thin(Ink::AXIS).dashed(4.0, 3.0))?;
        canvas.text((PLOT.0 - 8.0, never + 4.5), "not found", Text::bold(12.5).anchor(Anchor::End))?;
        let (until, how) = (format!("watched for {}", power.setting.within), Text::plain(12.0).ink(Ink::SOFT));
        canvas.text((PLOT.1 - 4.0, scale.top - 5.0), &until, how.anchor(Anchor::End))?;
        canvas.line(&[(PLOT.0, top), (PLOT.0, scale.bottom), (PLOT.1, scale.bottom)], Pen::thin(Ink::AXIS))?;
        let step = (PLOT.1 - PLOT.0) / self.sizes.len().max(1) as f64;
        let place = |row: &str| {
            let i = self.sizes.iter().position(|(_, words)| *words == row).unwrap_or(0);
            PLOT.0 + (i as f64 + 0.5) * step
        };
        for (_, of) in &self.sizes {
            let words = canvas.fit(of, Text::plain(12.5), step - 10.0);
            canvas.text((place(of), scale.bottom + 20.0), &words, Text::plain(12.5).anchor(Anchor::Middle))?;
            self.shares(canvas, of, (place(of), scale.bottom + 37.0))?;
        }
        let n = self.lines.len() as f64;
        for (i, line) in self.lines.iter().enumerate() {
            // Lines that have the same values stand beside each other.
            let aside = (i as f64 - (n - 1.0) / 2.0) * 9.0;
            line.draw(canvas, &scale, never, |row| place(&row.words) + aside)?;
            let y = top + 14.0 + ENTRY * i as f64;
            line.name(canvas, y)?;
        }
        Ok(())
    }
}

impl Panel<'_> {
    /// In how many rollouts each rule finds a size, in its colour: `found 42 % 45 %`, around `x`.
    fn shares<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, of: &str, (x, y): Point) -> Drawn {
        let how = Text::plain(12.5);
        let mut parts = vec![("found".to_owned(), Ink::SOFT)];
        for line in &self.lines {
            if let Some(row) = line.rows.iter().find(|row| row.words == of && row.trials > 0) {
                parts.push((format!("{} %", super::percent(row.found as f64 / row.trials as f64)), line.ink));
            }
        }
        let widths: Vec<f64> = parts.iter().map(|(words, _)| canvas.text_width(words, how) + 7.0).collect();
        let mut left = x - (widths.iter().sum::<f64>() - 7.0) / 2.0;
        for ((words, ink), width) in parts.iter().zip(widths) {
            canvas.text((left, y), words, how.ink(*ink))?;
            left += width;
        }
        Ok(())
    }
}

impl Line<'_> {
    fn draw<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        scale: &Scale,
        never: f64,
        x: impl Fn(&Row) -> f64,
    ) -> Drawn {
        for row in &self.rows {
            if let Some(seconds) = limit(row) {
                bar(canvas, (x(row), scale.y(seconds)), self.ink)?;
            }
        }
        let median: Vec<Point> = self.rows.iter().filter_map(|r| Some((x(r), scale.y(r.median_s?)))).collect();
        canvas.line(&median, Pen::new(self.ink, 2.0))?;
        for row in &self.rows {
            let x = x(row);
            let Some(median) = row.median_s else {
                mark(canvas, (x, never), self.shape, self.ink)?;
                continue;
            };
            let upper = row.p90_s.map_or(never, |s| scale.y(s));
            canvas.line(&[(x, scale.y(median)), (x, upper)], Pen::new(self.ink, 1.2))?;
            canvas.line(&[(x - 4.0, upper), (x + 4.0, upper)], Pen::new(self.ink, 1.2))?;
            mark(canvas, (x, scale.y(median)), self.shape, self.ink)?;
        }
        Ok(())
    }

    /// Beside the panel: the name, the condition, and how often it alarms for nothing.
    fn name<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, y: f64) -> Drawn {
        let room = f64::from(WIDTH) - LEFT - WORDS - 22.0;
        mark(canvas, (WORDS + 8.0, y - 4.5), self.shape, self.ink)?;
        let name = canvas.fit(&self.rule.rule, Text::bold(14.0), room);
        canvas.text((WORDS + 22.0, y), &name, Text::bold(14.0))?;
        let FalseAlarms { events, rollouts, per_day, .. } = self.rule.alarms;
        let alarms = format!("false alarms: {events} in {rollouts} rollouts");
        let a_day = format!("{} a day (95 %)", rate(per_day));
        for (i, words) in [&self.rule.text, &alarms, &a_day].into_iter().enumerate() {
            let words = canvas.fit(words, Text::plain(12.5), room);
            canvas.text((WORDS + 22.0, y + 17.0 * (i + 1) as f64), &words, Text::plain(12.5).ink(Ink::SOFT))?;
        }
        Ok(())
    }
}

const fn heading(kind: Kind) -> &'static str {
    match kind {
        Kind::Latency => "Slower answers, all of them alike",
        Kind::Failure => "Failing requests",
        Kind::Wrong => "Wrong answers",
        Kind::Score => "Scores that move",
        Kind::Feature => "A feature that moves",
        Kind::Missing => "Missing values",
        Kind::Outcome => "Outcomes that stay away",
    }
}

/// The fastest possible.
fn bar<B: DrawingBackend>(canvas: &mut Canvas<B>, (x, y): Point, ink: Ink) -> Drawn {
    canvas.line(&[(x - RADIUS, y), (x + RADIUS, y)], Pen::new(ink, 3.0))
}

/// A dot, a square or a triangle.
fn mark<B: DrawingBackend>(canvas: &mut Canvas<B>, (x, y): Point, shape: usize, ink: Ink) -> Drawn {
    let r = RADIUS;
    match shape {
        0 => canvas.dot((x, y), r, ink),
        1 => canvas.rect((x - r, y - r), (x + r, y + r), ink),
        _ => canvas.polygon(&[(x, y - r - 1.0), (x + r + 1.0, y + r), (x - r - 1.0, y + r)], ink),
    }
}
