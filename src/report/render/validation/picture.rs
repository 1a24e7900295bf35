//! Owns the picture of a validation: one row per quantity, the simulated interval as a bar, live values as marks over it.
//!
//! Who sees nothing else must be able to say what was compared, and where the simulator is wrong: so each row tells its
//! numbers in words, and a live value outside differs in shape, not in colour alone.

use super::{any_early, early, gap, inside, level, live, runs, simulated, since, summary};
use crate::report::render::canvas::{self, Anchor, Canvas, DrawError, Drawn, Ink, Pen, Picture, Text};
use crate::report::render::story::{grouped, length};
use crate::report::render::timeline::panels::figure;
use crate::report::render::timeline::series::round_steps;
use crate::report::validation::{Quantity, Row, Sample, Validation};
use plotters::backend::DrawingBackend;

/// The picture's width in pixels.
const WIDTH: u32 = 1280;
const LEFT: f64 = 24.0;
/// The left and right ends of the axes.
const PLOT: (f64, f64) = (222.0, 806.0);
/// Where the words beside a row begin.
const WORDS: f64 = 828.0;
/// Room at the right end of an axis for what never came.
const NEVER: f64 = 64.0;
const ROW: f64 = 58.0;
/// The title, two lines below it, and the first panel's heading.
const HEAD: f64 = 150.0;
/// An axis with its ticks, and the next panel's heading.
const BETWEEN: f64 = 92.0;
/// The last axis and the legend.
const FOOT: f64 = 127.0;
const RADIUS: f64 = 5.0;

/// Okabe and Ito's blue and vermilion, which people with any kind of colour vision tell apart.
const INSIDE: Ink = Ink::rgb(0x00, 0x72, 0xB2);
const OUTSIDE: Ink = Ink::rgb(0xD5, 0x5E, 0x00);
const BAR: Ink = Ink::rgb(0xC3, 0xCF, 0xDA);
/// The bar of an interval that predicts nothing.
const VAGUE: Ink = Ink::rgb(0xF0, 0xF0, 0xF0);
const MEDIAN: Ink = Ink::rgb(0x2B, 0x3A, 0x48);

/// The picture as an SVG document.
///
/// # Errors
/// When the drawing library fails.
pub fn validation_svg(validation: &Validation) -> Result<String, DrawError> {
    canvas::svg(&Comparison::new(validation))
}

/// The picture as a PNG file.
///
/// # Errors
/// When the drawing library fails.
pub fn validation_png(validation: &Validation) -> Result<Vec<u8>, DrawError> {
    canvas::png(&Comparison::new(validation))
}

struct Comparison<'a> {
    validation: &'a Validation,
    spans: Vec<&'a Row>,
    /// Bad requests alone: their reasons are in the table.
    counts: Vec<&'a Row>,
}

impl<'a> Comparison<'a> {
    fn new(validation: &'a Validation) -> Self {
        let rows = || validation.rows.iter();
        Self {
            validation,
            spans: rows().filter(|row| row.quantity.is_span()).collect(),
            counts: rows().filter(|row| row.quantity == Quantity::BadRequests).collect(),
        }
    }
}

impl Comparison<'_> {
    /// What bar and marks mean.
    fn legend<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, y: f64) -> Drawn {
        let how = Text::plain(13.0);
        let mut x = LEFT;
        let say = |canvas: &mut Canvas<B>, words: &str, x: &mut f64| -> Drawn {
            canvas.text((*x, y), words, how)?;
            *x += canvas.text_width(words, how) + 30.0;
            Ok(())
        };
        canvas.rect((x, y - 11.0), (x + 36.0, y + 1.0), BAR)?;
        canvas.line(&[(x + 18.0, y - 13.0), (x + 18.0, y + 3.0)], Pen::new(MEDIAN, 2.6))?;
        x += 44.0;
        say(canvas, &format!("{} of simulated trials, and their median", level(self.validation)), &mut x)?;
        mark(canvas, (x, y - 4.5), true)?;
        x += 13.0;
        say(canvas, "a live run inside", &mut x)?;
        mark(canvas, (x, y - 4.5), false)?;
        x += 14.0;
        say(canvas, "a live run outside", &mut x)?;
        if self.spans.iter().chain(&self.counts).any(|row| !row.predicted) {
            let frame = [(x, y - 11.0), (x + 36.0, y - 11.0), (x + 36.0, y + 1.0), (x, y + 1.0), (x, y - 11.0)];
            canvas.rect(frame[0], frame[2], VAGUE)?;
            canvas.line(&frame, Pen::thin(Ink::AXIS).dashed(4.0, 3.0))?;
            x += 44.0;
            say(canvas, "an interval wider than its median: not predicted", &mut x)?;
        }
        let notes = [
            format!(
                "In the words: the median, in brackets the {} interval of the simulated trials and the range of the live runs; \
                 gap: live median less simulated median.",
                level(self.validation)
            ),
            "Live: real processes and requests in real time. Simulated: virtual time, calibrated by one more live run without \
             faults, other seeds. Both measured alike; spans to 0.1 s."
                .to_owned(),
        ];
        for (i, note) in notes.iter().enumerate() {
            canvas.text((LEFT, y + 25.0 + 19.0 * i as f64), note, Text::plain(12.5).ink(Ink::SOFT))?;
        }
        Ok(())
    }
}

impl Picture for Comparison<'_> {
    fn size(&self) -> (u32, u32) {
        let panels = [self.spans.len(), self.counts.len()];
        let rows: f64 = panels.iter().map(|&n| n as f64 * ROW).sum();
        let between = if panels.contains(&0) { 0.0 } else { BETWEEN };
        (WIDTH, (HEAD + rows + between + FOOT) as u32)
    }

    fn paint<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        title(self.validation, canvas)?;
        let mut y = HEAD;
        if !self.spans.is_empty() {
            let spans = self.spans.iter().any(|row| row.quantity == Quantity::MttrFromDetected);
            let but = if spans { "; in the last row since it was detected" } else { "" };
            let heading = ("Time", format!("seconds {}{but}", since(self.validation)));
            y = panel(canvas, &self.spans, &Axis::of_spans(&self.spans), y, &heading)?;
            y += BETWEEN;
        }
        if !self.counts.is_empty() {
            let axis = Axis::of_counts(&self.counts);
            let cut = if axis.low > 0.0 { "; the axis does not begin at 0" } else { "" };
            let heading = ("Bad requests", format!("of the whole run: failed, late or wrong{cut}"));
            y = panel(canvas, &self.counts, &axis, y, &heading)?;
        } else {
            y -= BETWEEN;
        }
        self.legend(canvas, y + 68.0)
    }
}

/// What was compared, and what came of it.
fn title<B: DrawingBackend>(validation: &Validation, canvas: &mut Canvas<B>) -> Drawn {
    let subject = &validation.subject;
    let room = f64::from(WIDTH) - 2.0 * LEFT;
    let name = format!(
        "{} · policy {}: {} against {}",
        subject.scenario,
        subject.policy,
        runs(validation.repeats, "live run"),
        runs(validation.trials, "simulated trial"),
    );
    let name = canvas.fit(&name, Text::bold(21.0), room);
    canvas.text((LEFT, 36.0), &name, Text::bold(21.0))?;
    let about = match &subject.fault {
        Some(fault) => format!("{} each. The fault: {fault}.", length(subject.horizon)),
        None => format!("{} each, without any fault.", length(subject.horizon)),
    };
    let about = canvas.fit(&about, Text::plain(15.0), room);
    canvas.text((LEFT, 64.0), &about, Text::plain(15.0).ink(Ink::SOFT))?;
    let mut said = summary(validation);
    let drawn = |row: &&Row| row.quantity.is_span() || row.quantity == Quantity::BadRequests;
    let hidden = validation.rows.iter().filter(|row| row.predicted && !drawn(row)).count();
    if hidden > 0 {
        said.push_str(&format!(" That counts {hidden} rows that only the table has: why requests were bad."));
    }
    if let Some(early) = early(validation).filter(|_| any_early(validation)) {
        said.push_str(&format!(" Runs {early}: not in the rows of time."));
    }
    for (i, line) in canvas.wrap(&said, Text::plain(16.0), room, 2).iter().enumerate() {
        canvas.text((LEFT, 90.0 + 21.0 * i as f64), line, Text::plain(16.0))?;
    }
    Ok(())
}

/// A scale from values to pixels, with a place of its own for what never came.
struct Axis {
    low: f64,
    high: f64,
    /// The end of the scale, and where *never* begins if it is needed.
    end: f64,
    quantity: Quantity,
}

impl Axis {
    /// From zero: all spans begin at the same instant.
    fn of_spans(rows: &[&Row]) -> Self {
        let high = finite(rows).fold(0.0, f64::max);
        let never = all(rows).any(f64::is_infinite);
        let high = if high > 0.0 { high * 1.06 } else { 1.0 };
        Self { low: 0.0, high, end: if never { PLOT.1 - NEVER } else { PLOT.1 }, quantity: Quantity::Onset }
    }

    /// Around what there is: a difference of a few hundred in a hundred thousand must be seen.
    fn of_counts(rows: &[&Row]) -> Self {
        let (low, high) = finite(rows).fold((f64::INFINITY, 0.0), |(a, b), v| (v.min(a), v.max(b)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let pad = ((high - low) * 0.1).max(high * 0.01).max(1.0);
        Self { low: (low - pad).max(0.0), high: high + pad, end: PLOT.1, quantity: Quantity::BadRequests }
    }

    fn x(&self, v: f64) -> f64 {
        if v.is_infinite() {
            return PLOT.1 - NEVER / 2.0;
        }
        let share = (v - self.low) / (self.high - self.low);
        PLOT.0 + share.clamp(0.0, 1.0) * (self.end - PLOT.0)
    }

    /// Where an interval ends that reaches to `v`.
    fn reach(&self, v: f64) -> f64 {
        if v.is_infinite() { PLOT.1 } else { self.x(v) }
    }

    fn has_never(&self) -> bool {
        self.end < PLOT.1
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        let words = |v: f64| if self.quantity.is_span() { figure(v) } else { grouped(v.round() as u64) };
        let mut ticks: Vec<(f64, String)> =
            round_steps(self.low, self.high, 7).into_iter().map(|v| (self.x(v), words(v))).collect();
        // Counts are whole: a tick between two of them would carry the words of another.
        ticks.dedup_by(|a, b| a.1 == b.1);
        ticks
    }
}

fn all<'a>(rows: &'a [&'a Row]) -> impl Iterator<Item = f64> + 'a {
    rows.iter().flat_map(|row| [row.band.low, row.band.high].into_iter().chain(row.live.iter().map(Sample::order)))
}

fn finite<'a>(rows: &'a [&'a Row]) -> impl Iterator<Item = f64> + 'a {
    all(rows).filter(|v| v.is_finite())
}

/// Rows over one axis, from `top` on; returns where the axis is.
fn panel<B: DrawingBackend>(
    canvas: &mut Canvas<B>,
    rows: &[&Row],
    axis: &Axis,
    top: f64,
    (name, note): &(&str, String),
) -> Result<f64, DrawError> {
    let bottom = top + rows.len() as f64 * ROW;
    canvas.text((PLOT.0, top - 12.0), name, Text::bold(14.0))?;
    let x = PLOT.0 + canvas.text_width(name, Text::bold(14.0)) + 10.0;
    let note = canvas.fit(note, Text::plain(13.0), WORDS - 40.0 - x);
    canvas.text((x, top - 12.0), &note, Text::plain(13.0).ink(Ink::SOFT))?;
    for (x, words) in axis.ticks() {
        canvas.line(&[(x, top), (x, bottom)], Pen::thin(Ink::GRID))?;
        canvas.line(&[(x, bottom), (x, bottom + 5.0)], Pen::thin(Ink::AXIS))?;
        canvas.text((x, bottom + 20.0), &words, Text::plain(12.5).anchor(Anchor::Middle))?;
    }
    if axis.has_never() {
        canvas.line(&[(axis.end, top), (axis.end, bottom)], Pen::thin(Ink::AXIS).dashed(4.0, 3.0))?;
        let x = PLOT.1 - NEVER / 2.0;
        canvas.text((x, bottom + 20.0), "never", Text::bold(12.5).anchor(Anchor::Middle))?;
    }
    canvas.line(&[(PLOT.0, top), (PLOT.0, bottom), (PLOT.1, bottom)], Pen::thin(Ink::AXIS))?;
    for (i, row) in rows.iter().enumerate() {
        let y = top + i as f64 * ROW;
        if i > 0 {
            canvas.line(&[(LEFT, y), (f64::from(WIDTH) - LEFT, y)], Pen::thin(Ink::GRID))?;
        }
        one(canvas, row, axis, y)?;
    }
    Ok(bottom)
}

/// One quantity: its name, its bar with the marks over it, its numbers.
fn one<B: DrawingBackend>(canvas: &mut Canvas<B>, row: &Row, axis: &Axis, top: f64) -> Drawn {
    let (bar_top, bar_bottom) = (top + 36.0, top + 50.0);
    let name = canvas.fit(row.quantity.words(), Text::bold(14.0), PLOT.0 - LEFT - 14.0);
    canvas.text((PLOT.0 - 14.0, top + 34.0), &name, Text::bold(14.0).anchor(Anchor::End))?;
    let (from, to) = (axis.x(row.band.low), axis.reach(row.band.high));
    // All values equal: still a bar that is seen.
    let (from, to) = if to - from < 4.0 { (from - 2.0, from + 2.0) } else { (from, to) };
    canvas.rect((from, bar_top), (to, bar_bottom), if row.predicted { BAR } else { VAGUE })?;
    if !row.predicted {
        let frame = [(from, bar_top), (to, bar_top), (to, bar_bottom), (from, bar_bottom), (from, bar_top)];
        canvas.line(&frame, Pen::thin(Ink::AXIS).dashed(4.0, 3.0))?;
    }
    let median = axis.x(row.band.median);
    canvas.line(&[(median, bar_top - 2.0), (median, bar_bottom + 2.0)], Pen::new(MEDIAN, 2.6))?;
    for Mark { x, lane, inside, count } in marks(row, axis) {
        let y = bar_top - 8.0 - f64::from(lane) * 11.5;
        mark(canvas, (x, y), inside)?;
        if count > 1 {
            let ink = if inside { INSIDE } else { OUTSIDE };
            canvas.text((x + RADIUS + 2.0, y + 4.0), &format!("×{count}"), Text::bold(11.0).ink(ink))?;
        }
    }
    words(canvas, row, top)
}

/// The numbers beside a row.
fn words<B: DrawingBackend>(canvas: &mut Canvas<B>, row: &Row, top: f64) -> Drawn {
    let room = f64::from(WIDTH) - LEFT - WORDS;
    let mut head = format!("{} inside", inside(row));
    let how = Text::bold(14.0);
    canvas.text((WORDS, top + 24.0), &head, how)?;
    let mut x = WORDS + canvas.text_width(&head, how) + 12.0;
    if !row.predicted {
        head = "not predicted: wider than its median".to_owned();
        let cut = canvas.fit(&head, Text::bold(12.5), WORDS + room - x);
        canvas.text((x, top + 24.0), &cut, Text::bold(12.5).ink(OUTSIDE))?;
        x += canvas.text_width(&cut, Text::bold(12.5));
    }
    let unit = if row.quantity.is_span() { " s" } else { "" };
    if row.gap.is_some() && row.predicted {
        canvas.text((x, top + 24.0), &format!("gap {}{unit}", gap(row)), Text::plain(13.0))?;
    }
    let numbers = format!("simulated {} · live {}{}", simulated(row), live(row), unit);
    let numbers = canvas.fit(&numbers, Text::plain(12.5), room);
    canvas.text((WORDS, top + 45.0), &numbers, Text::plain(12.5).ink(Ink::SOFT))
}

/// One live value, or several that would cover each other.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Mark {
    x: f64,
    /// 0 next to the bar.
    lane: u8,
    inside: bool,
    count: usize,
}

/// Live values as marks that do not overlap: those that would cover each other are one with their number, the others go
/// to the first of three lanes that is free. In a crowd that needs more lanes, neighbours are one mark although they
/// could be told apart.
fn marks(row: &Row, axis: &Axis) -> Vec<Mark> {
    const LANES: usize = 3;
    let mut places: Vec<(f64, bool)> = row.live.iter().map(|s| (axis.x(s.order()), row.holds(s))).collect();
    places.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut marks: Vec<Mark> = Vec::new();
    let mut free = [f64::NEG_INFINITY; LANES];
    for (x, inside) in places {
        let lane = free.iter().position(|&from| x - RADIUS >= from);
        let near = if lane.is_some() { RADIUS } else { f64::INFINITY };
        let alike = marks.iter().rposition(|m| m.inside == inside && x - m.x < near);
        let place = match (alike, lane) {
            (Some(alike), _) => alike,
            (None, lane) => {
                marks.push(Mark { x, lane: lane.unwrap_or(LANES - 1) as u8, inside, count: 0 });
                marks.len() - 1
            }
        };
        let Some(mark) = marks.get_mut(place) else { continue };
        mark.count += 1;
        let words = if mark.count > 1 { 8.0 + 7.5 * mark.count.to_string().len() as f64 } else { 0.0 };
        if let Some(from) = free.get_mut(usize::from(mark.lane)) {
            *from = from.max(mark.x + RADIUS + 2.5 + words);
        }
    }
    marks
}

/// A disc inside, a larger diamond outside.
fn mark<B: DrawingBackend>(canvas: &mut Canvas<B>, (x, y): (f64, f64), inside: bool) -> Drawn {
    if inside {
        return canvas.dot((x, y), RADIUS, INSIDE);
    }
    let r = RADIUS + 1.5;
    canvas.polygon(&[(x - r, y), (x, y - r), (x + r, y), (x, y + r)], OUTSIDE)
}
