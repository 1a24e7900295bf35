//! Owns the drawing surface: lines, areas and text in pixels of the finished picture, over any plotters backend, and the two
//! files a picture becomes, SVG and PNG.

use super::font::{self, FAMILY};
use super::png;
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontDesc, FontFamily, FontStyle, RGBAColor, RGBColor, ShapeStyle, TextStyle};

/// The SVG is drawn on a grid this much finer, since plotters knows whole pixels only.
const SVG_SCALE: u32 = 8;
/// The PNG is drawn this much larger and averaged, so that every edge is smooth.
const PNG_SCALE: u32 = 2;

/// Why a picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the picture could not be drawn: {0}")]
pub struct DrawError(String);

/// Something that can be drawn, the same way into every kind of file.
pub(super) trait Picture {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);
    /// Draws it on a white ground.
    fn paint<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn;
}

/// The picture as an SVG document.
pub(super) fn svg(picture: &impl Picture) -> Result<String, DrawError> {
    let mut svg = String::new();
    let (width, height) = picture.size();
    let fine = (width * SVG_SCALE, height * SVG_SCALE);
    draw(picture, Canvas::new(SVGBackend::with_string(&mut svg, fine), SVG_SCALE, Vector::Yes))?;
    // The fine grid stays in the view box; the document itself has the size it is meant to be seen at.
    let fine = format!("width=\"{}\" height=\"{}\"", fine.0, fine.1);
    Ok(svg.replacen(&fine, &format!("width=\"{width}\" height=\"{height}\""), 1))
}

/// The picture as a PNG file.
pub(super) fn png(picture: &impl Picture) -> Result<Vec<u8>, DrawError> {
    let (width, height) = picture.size();
    let fine = (width * PNG_SCALE, height * PNG_SCALE);
    let mut pixels = vec![255; (fine.0 * fine.1 * 3) as usize];
    draw(picture, Canvas::new(BitMapBackend::with_buffer(&mut pixels, fine), PNG_SCALE, Vector::No))?;
    png::encode(&averaged(&pixels, width), width, height).map_err(failed)
}

/// Each pixel of the result is the mean of a square of `PNG_SCALE` by `PNG_SCALE` pixels.
fn averaged(pixels: &[u8], width: u32) -> Vec<u8> {
    let n = PNG_SCALE as usize;
    let row = width as usize * n * 3;
    let mut out = Vec::with_capacity(pixels.len() / (n * n));
    for band in pixels.chunks_exact(row * n) {
        for x in 0..width as usize {
            for channel in 0..3 {
                let inside = (0..n * n).filter_map(|i| band.get(i / n * row + (x * n + i % n) * 3 + channel));
                let sum: u32 = inside.map(|&byte| u32::from(byte)).sum();
                out.push((sum / (PNG_SCALE * PNG_SCALE)) as u8);
            }
        }
    }
    out
}

fn draw<B: DrawingBackend>(picture: &impl Picture, mut canvas: Canvas<B>) -> Drawn {
    if !font::register() {
        return Err(DrawError("its font cannot be read".to_owned()));
    }
    let (width, height) = picture.size();
    canvas.rect((0.0, 0.0), (f64::from(width), f64::from(height)), Ink::WHITE)?;
    picture.paint(&mut canvas)?;
    canvas.finish()
}

/// What a drawing call returns.
pub(super) type Drawn = Result<(), DrawError>;

/// A place, from the upper left corner.
pub(super) type Point = (f64, f64);

/// A colour with its opacity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ink(u8, u8, u8, f64);

impl Ink {
    pub(super) const WHITE: Self = Self::rgb(255, 255, 255);
    pub(super) const TEXT: Self = Self::rgb(0x1A, 0x1A, 0x1A);
    pub(super) const SOFT: Self = Self::rgb(0x5A, 0x5A, 0x5A);
    pub(super) const AXIS: Self = Self::rgb(0x70, 0x70, 0x70);
    pub(super) const GRID: Self = Self::rgb(0xE2, 0xE2, 0xE2);

    pub(super) const fn rgb(r: u8, g: u8, b: u8) -> Self {
        Self(r, g, b, 1.0)
    }
    pub(super) const fn alpha(self, alpha: f64) -> Self {
        Self(self.0, self.1, self.2, alpha)
    }
    fn color(self) -> RGBAColor {
        RGBColor(self.0, self.1, self.2).mix(self.3)
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pen {
    ink: Ink,
    width: f64,
    /// Lengths of dashes and of the gaps between them.
    dash: Option<(f64, f64)>,
}

impl Pen {
    pub(super) const fn new(ink: Ink, width: f64) -> Self {
        Self { ink, width, dash: None }
    }
    pub(super) const fn thin(ink: Ink) -> Self {
        Self::new(ink, 1.0)
    }
    pub(super) const fn dashed(self, dash: f64, gap: f64) -> Self {
        Self { dash: Some((dash, gap)), ..self }
    }
}

/// Where a text is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    size: f64,
    bold: bool,
    ink: Ink,
    anchor: Anchor,
}

impl Text {
    pub(super) const fn plain(size: f64) -> Self {
        Self { size, bold: false, ink: Ink::TEXT, anchor: Anchor::Start }
    }
    pub(super) const fn bold(size: f64) -> Self {
        Self { bold: true, ..Self::plain(size) }
    }
    pub(super) const fn ink(self, ink: Ink) -> Self {
        Self { ink, ..self }
    }
    pub(super) const fn anchor(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }
    const fn style(self) -> FontStyle {
        if self.bold { FontStyle::Bold } else { FontStyle::Normal }
    }
}

/// Which of plotters' two conventions for text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vector {
    /// SVG: the font size is 1/1.24 of what plotters is given; the baseline is 0.76 em below the top.
    Yes,
    /// Pixels: it is the height from ascent to descent; the baseline is half of it below the top.
    No,
}

/// Height from ascent to descent of the shipped font, in em.
const FONT_HEIGHT: f64 = 2384.0 / 2048.0;

/// A surface of finished pixels over a backend with a finer grid.
pub(super) struct Canvas<B> {
    backend: B,
    scale: f64,
    vector: Vector,
}

impl<B: DrawingBackend> Canvas<B> {
    fn new(backend: B, scale: u32, vector: Vector) -> Self {
        Self { backend, scale: f64::from(scale), vector }
    }

    fn finish(&mut self) -> Drawn {
        self.backend.present().map_err(failed)
    }

    fn grid(&self, (x, y): Point) -> (i32, i32) {
        // `as` saturates, and maps NaN to zero.
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    fn stroke(&self, pen: Pen) -> ShapeStyle {
        let width = (pen.width * self.scale).round().max(1.0) as u32;
        ShapeStyle { color: pen.ink.color(), filled: false, stroke_width: width }
    }

    /// A filled rectangle.
    pub(super) fn rect(&mut self, from: Point, to: Point, ink: Ink) -> Drawn {
        let (from, to) = (self.grid(from), self.grid(to));
        // The backend of pixels takes the last row and column in; here an edge belongs to the neighbour.
        let to = if self.vector == Vector::No { ((to.0 - 1).max(from.0), (to.1 - 1).max(from.1)) } else { to };
        self.backend
            .draw_rect(from, to, &ShapeStyle { color: ink.color(), filled: true, stroke_width: 0 }, true)
            .map_err(failed)
    }

    /// A filled polygon.
    pub(super) fn polygon(&mut self, corners: &[Point], ink: Ink) -> Drawn {
        if corners.len() < 3 {
            return Ok(());
        }
        let corners: Vec<(i32, i32)> = corners.iter().map(|&corner| self.grid(corner)).collect();
        self.backend
            .fill_polygon(corners, &ShapeStyle { color: ink.color(), filled: true, stroke_width: 0 })
            .map_err(failed)
    }

    /// A dot.
    pub(super) fn dot(&mut self, center: Point, radius: f64, ink: Ink) -> Drawn {
        let style = ShapeStyle { color: ink.color(), filled: true, stroke_width: 0 };
        let (center, radius) = (self.grid(center), (radius * self.scale).round() as u32);
        self.backend.draw_circle(center, radius, &style, true).map_err(failed)
    }

    /// A line through points, straight between them.
    pub(super) fn line(&mut self, points: &[Point], pen: Pen) -> Drawn {
        let style = self.stroke(pen);
        let pieces = match pen.dash {
            Some((dash, gap)) => dashes(points, dash, gap),
            None => vec![points.to_vec()],
        };
        for piece in pieces {
            let mut path: Vec<(i32, i32)> = piece.iter().map(|&point| self.grid(point)).collect();
            path.dedup();
            if path.len() > 1 {
                self.backend.draw_path(path, &style).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// One line of text; `at.1` is its baseline.
    pub(super) fn text(&mut self, at: Point, text: &str, how: Text) -> Drawn {
        let em = how.size * self.scale;
        let (size, rise) = match self.vector {
            Vector::Yes => (em * 1.24, em * 0.76),
            Vector::No => (em * FONT_HEIGHT, em * FONT_HEIGHT / 2.0),
        };
        let x = match (how.anchor, self.vector) {
            (Anchor::Start, _) | (_, Vector::Yes) => at.0,
            (Anchor::Middle, Vector::No) => at.0 - self.text_width(text, how) / 2.0,
            (Anchor::End, Vector::No) => at.0 - self.text_width(text, how),
        };
        let h_pos = match (how.anchor, self.vector) {
            (Anchor::Middle, Vector::Yes) => HPos::Center,
            (Anchor::End, Vector::Yes) => HPos::Right,
            _ => HPos::Left,
        };
        let font = FontDesc::new(FontFamily::Name(FAMILY), size, how.style());
        let color = how.ink.color();
        let style = TextStyle::from(font).color(&color).pos(Pos::new(h_pos, VPos::Top));
        let place = self.grid((x, at.1 - rise / self.scale));
        self.backend.draw_text(text, &style, place).map_err(failed)
    }

    /// How wide a text is.
    pub(super) fn text_width(&self, text: &str, how: Text) -> f64 {
        // Measured large, for the library rounds to whole pixels.
        let fine = 16.0;
        let font = FontDesc::new(FontFamily::Name(FAMILY), how.size * FONT_HEIGHT * fine, how.style());
        font.layout_box(text).map_or(0.0, |((from, _), (to, _))| f64::from(to - from) / fine)
    }

    /// The text in at most `room` pixels, cut with "…".
    pub(super) fn fit(&self, text: &str, how: Text, room: f64) -> String {
        let mut text = plain(text);
        if self.text_width(&text, how) <= room {
            return text;
        }
        while text.pop().is_some() {
            let cut = format!("{}…", text.trim_end());
            if self.text_width(&cut, how) <= room {
                return cut;
            }
        }
        "…".to_owned()
    }

    /// The text in at most so many lines of `room` pixels, broken between words.
    pub(super) fn wrap(&self, text: &str, how: Text, room: f64, lines_max: usize) -> Vec<String> {
        let text = plain(text);
        let mut lines: Vec<String> = Vec::new();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let longer = lines.last().map(|line| format!("{line} {word}"));
            match (longer, lines.last_mut()) {
                (Some(longer), Some(line)) if self.text_width(&longer, how) <= room => *line = longer,
                // The last line takes all that is left, and is cut.
                (Some(longer), Some(line)) if lines_max <= 1 || line.is_empty() => *line = longer,
                _ => lines.push(word.to_owned()),
            }
        }
        if lines.len() > lines_max {
            let rest = lines.split_off(lines_max.saturating_sub(1)).join(" ");
            lines.push(rest);
        }
        lines.iter().map(|line| self.fit(line, how, room)).collect()
    }
}

/// Control characters have no glyph and no place in XML.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn failed(error: impl std::fmt::Display) -> DrawError {
    DrawError(error.to_string())
}

/// Cuts a line into dashes.
fn dashes(points: &[Point], dash: f64, gap: f64) -> Vec<Vec<Point>> {
    let mut pieces: Vec<Vec<Point>> = Vec::new();
    let (mut on, mut left) = (true, dash);
    let mut current: Vec<Point> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = libm::hypot(to.0 - from.0, to.1 - from.1);
            if length <= left || length.is_nan() {
                left -= length;
                if on {
                    current.push(to);
                }
                break;
            }
            let share = left / length;
            from = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
            if on {
                current.push(from);
                pieces.push(std::mem::take(&mut current));
            } else {
                current = vec![from];
            }
            on = !on;
            left = if on { dash } else { gap };
        }
    }
    if on {
        pieces.push(current);
    }
    pieces
}
