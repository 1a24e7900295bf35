//! Owns the picture of a trial: five panels over one time axis, as SVG and as PNG from the same drawing code.
//!
//! Who sees nothing else must be able to say what happened, when, and which version was bad: so the title is a sentence, the
//! milestones go through all panels, and the bad version is named at every line it draws.

mod marks;
pub(super) mod panels;
pub(super) mod series;
mod signals;

use self::marks::Marks;
use self::panels::{Panel, Scene};
use super::canvas::{self, Anchor, Canvas, DrawError, Drawn, Ink, Pen, Picture, Text};
use super::story::{clock, headline, outcome_words};
use crate::report::trial::{Outcome, TrialReport};
use plotters::backend::DrawingBackend;

/// The picture's width in pixels.
const WIDTH: u32 = 1400;
/// Its height.
const HEIGHT: u32 = 1120;
/// The left and right ends of all panels.
const PLOT: (f64, f64) = (78.0, 1190.0);
/// The picture as an SVG document.
///
/// # Errors
/// When the drawing library fails.
pub fn timeline_svg(report: &TrialReport) -> Result<String, DrawError> {
    canvas::svg(&Timeline(report))
}

/// The picture as a PNG file.
///
/// # Errors
/// When the drawing library fails.
pub fn timeline_png(report: &TrialReport) -> Result<Vec<u8>, DrawError> {
    canvas::png(&Timeline(report))
}

struct Timeline<'a>(&'a TrialReport);

impl Picture for Timeline<'_> {
    fn size(&self) -> (u32, u32) {
        (WIDTH, HEIGHT)
    }
    fn paint<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        paint(self.0, canvas)
    }
}

fn paint<B: DrawingBackend>(report: &TrialReport, canvas: &mut Canvas<B>) -> Drawn {
    let height = f64::from(HEIGHT);
    let scene = Scene::new(report, PLOT);
    let below_title = title(report, canvas)?;
    let marks = Marks::new(report, &scene, canvas);
    let top = below_title + 10.0 + marks.height() + 22.0;
    let bottom = height - 46.0;
    // Heights in shares of what is left; the gaps carry the panels' titles.
    let gap = 30.0;
    let kinds = [
        (Panel::Traffic, 0.09),
        (Panel::Latency, 0.17),
        (Panel::Bad, 0.19),
        (Panel::Signals, 0.37),
        (Panel::Accuracy, 0.18),
    ];
    let room = bottom - top - gap * (kinds.len() - 1) as f64;
    let mut frames = Vec::new();
    let mut y = top;
    for (panel, share) in kinds {
        frames.push((panel, y, y + room * share));
        y += room * share + gap;
    }
    for &(_, from, to) in &frames {
        marks.shade(canvas, from, to)?;
        scene.grid(canvas, from, to)?;
    }
    for &(panel, from, to) in &frames {
        panel.draw(&scene, canvas, from, to)?;
    }
    marks.draw(canvas, below_title + 10.0, bottom)?;
    for &(panel, from, to) in &frames {
        panel.labels(&scene, canvas, from, to)?;
    }
    axis(&scene, &marks, canvas, bottom)
}

/// The title: what ran and how it ended, then what happened in one sentence. Returns where it ends.
fn title<B: DrawingBackend>(report: &TrialReport, canvas: &mut Canvas<B>) -> Result<f64, DrawError> {
    let left = 24.0;
    let room = f64::from(WIDTH) - 2.0 * left;
    let outcome = outcome_words(report.outcome);
    let badge = canvas.text_width(&outcome, Text::bold(17.0)) + 24.0;
    let live = if report.is_live() { " · live" } else { "" };
    let name = format!("{} · policy {} · seed {}{live}", report.scenario, report.policy, report.seed);
    let name = canvas.fit(&name, Text::bold(21.0), room - badge - 16.0);
    canvas.text((left, 36.0), &name, Text::bold(21.0))?;
    let x = left + canvas.text_width(&name, Text::bold(21.0)) + 16.0;
    let color = match report.outcome {
        Outcome::Recovered | Outcome::Prevented | Outcome::CorrectlyHeld => Ink::rgb(0x00, 0x7A, 0x59),
        Outcome::SelfResolved => Ink::rgb(0x8A, 0x6D, 0x00),
        _ => Ink::rgb(0xA8, 0x32, 0x00),
    };
    canvas.rect((x, 17.0), (x + badge, 43.0), color)?;
    canvas.text((x + badge / 2.0, 36.0), &outcome, Text::bold(17.0).ink(Ink::WHITE).anchor(Anchor::Middle))?;
    let mut y = 66.0;
    for line in canvas.wrap(&format!("{}.", headline(report)), Text::plain(17.0), room, 3) {
        canvas.text((left, y), &line, Text::plain(17.0))?;
        y += 23.0;
    }
    // What the scenario's author says of it, which no measure can.
    if !report.summary.is_empty() {
        let summary = canvas.fit(&report.summary, Text::plain(14.5), room);
        canvas.text((left, y), &summary, Text::plain(14.5).ink(Ink::SOFT))?;
        y += 21.0;
    }
    Ok(y - 14.0)
}

/// The time axis below the last panel.
fn axis<B: DrawingBackend>(scene: &Scene<'_>, marks: &Marks, canvas: &mut Canvas<B>, y: f64) -> Drawn {
    for at in scene.ticks() {
        let x = scene.x(at);
        canvas.line(&[(x, y), (x, y + 5.0)], Pen::thin(Ink::AXIS))?;
        canvas.text((x, y + 20.0), &clock(at), Text::plain(13.0).anchor(Anchor::Middle))?;
    }
    canvas.text(
        ((PLOT.0 + PLOT.1) / 2.0, y + 38.0),
        "time since the start (min:s)",
        Text::plain(13.0).anchor(Anchor::Middle).ink(Ink::SOFT),
    )?;
    let mut y = y + 2.0;
    for (ink, words) in marks.legend() {
        canvas.rect((PLOT.1 + 32.0, y), (PLOT.1 + 50.0, y + 13.0), ink)?;
        canvas.text((PLOT.1 + 58.0, y + 11.0), words, Text::plain(12.5))?;
        y += 19.0;
    }
    Ok(())
}
