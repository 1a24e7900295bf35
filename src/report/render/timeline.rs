//! Owns the picture of a trial: five panels over one time axis, as SVG and as PNG from the same drawing code.
//!
//! Who sees nothing else must be able to say what happened, when, and which version was bad: so the title is a sentence, the
//! milestones go through all panels, and the bad version is named at every line it draws.

mod canvas;
mod marks;
mod panels;
mod series;
mod signals;

use self::canvas::{Anchor, Canvas, Drawn, Ink, Pen, Text, Vector};
use self::marks::Marks;
use self::panels::{Panel, Scene};
use super::story::{clock, headline, outcome_words};
use super::{font, png};
use crate::report::trial::{Outcome, TrialReport};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};

/// The picture's width in pixels.
const WIDTH: u32 = 1400;
/// Its height.
const HEIGHT: u32 = 1120;
/// The left and right ends of all panels.
const PLOT: (f64, f64) = (78.0, 1190.0);
/// The SVG is drawn on a grid this much finer, since plotters knows whole pixels only.
const SVG_SCALE: u32 = 8;
/// The PNG is drawn this much larger and averaged, so that every edge is smooth.
const PNG_SCALE: u32 = 2;

/// Why a picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the timeline could not be drawn: {0}")]
pub struct DrawError(String);

/// The picture as an SVG document.
///
/// # Errors
/// When the drawing library fails.
pub fn timeline_svg(report: &TrialReport) -> Result<String, DrawError> {
    let mut svg = String::new();
    let size = (WIDTH * SVG_SCALE, HEIGHT * SVG_SCALE);
    draw(report, Canvas::new(SVGBackend::with_string(&mut svg, size), SVG_SCALE, Vector::Yes))?;
    // The fine grid stays in the view box; the document itself has the size it is meant to be seen at.
    let fine = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
    Ok(svg.replacen(&fine, &format!("width=\"{WIDTH}\" height=\"{HEIGHT}\""), 1))
}

/// The picture as a PNG file.
///
/// # Errors
/// When the drawing library fails.
pub fn timeline_png(report: &TrialReport) -> Result<Vec<u8>, DrawError> {
    let size = (WIDTH * PNG_SCALE, HEIGHT * PNG_SCALE);
    let mut pixels = vec![255; (size.0 * size.1 * 3) as usize];
    draw(report, Canvas::new(BitMapBackend::with_buffer(&mut pixels, size), PNG_SCALE, Vector::No))?;
    png::encode(&averaged(&pixels), WIDTH, HEIGHT).map_err(|error| DrawError(error.to_string()))
}

/// Each pixel of the result is the mean of a square of `PNG_SCALE` by `PNG_SCALE` pixels.
fn averaged(pixels: &[u8]) -> Vec<u8> {
    let n = PNG_SCALE as usize;
    let row = WIDTH as usize * n * 3;
    let mut out = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for band in pixels.chunks_exact(row * n) {
        for x in 0..WIDTH as usize {
            for channel in 0..3 {
                let inside = (0..n * n).filter_map(|i| band.get(i / n * row + (x * n + i % n) * 3 + channel));
                let sum: u32 = inside.map(|&byte| u32::from(byte)).sum();
                out.push((sum / (PNG_SCALE * PNG_SCALE)) as u8);
            }
        }
    }
    out
}

fn draw<B: DrawingBackend>(report: &TrialReport, mut canvas: Canvas<B>) -> Result<(), DrawError> {
    if !font::register() {
        return Err(DrawError("its font cannot be read".to_owned()));
    }
    paint(report, &mut canvas)
}

fn paint<B: DrawingBackend>(report: &TrialReport, canvas: &mut Canvas<B>) -> Drawn {
    let (width, height) = (f64::from(WIDTH), f64::from(HEIGHT));
    canvas.rect((0.0, 0.0), (width, height), Ink::WHITE)?;
    let scene = Scene::new(report, PLOT);
    let below_title = title(report, canvas)?;
    let marks = Marks::new(report, &scene, canvas);
    let top = below_title + 10.0 + marks.height() + 22.0;
    let bottom = height - 46.0;
    // Heights in shares of what is left; the gaps carry the panels' titles.
    let gap = 30.0;
    let kinds = [
        (Panel::Traffic, 0.11),
        (Panel::Latency, 0.19),
        (Panel::Bad, 0.22),
        (Panel::Signals, 0.27),
        (Panel::Accuracy, 0.21),
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
    for &(panel, from, _) in &frames {
        panel.title(&scene, canvas, from)?;
    }
    axis(&scene, &marks, canvas, bottom)?;
    canvas.finish()
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
