//! Owns the milestones in the picture: lines through all panels, labels above them that never overlap, and the shade of the
//! time from onset to recovery: users could be hurt then, though not at every moment of it.

use super::panels::Scene;
use crate::event::Event;
use crate::report::render::canvas::{Canvas, Drawn, Ink, Pen, Text};
use crate::report::render::story::{clock, milestones};
use crate::report::trial::TrialReport;
use crate::time::SimTime;
use plotters::backend::DrawingBackend;

/// Rows of labels at most; of a crowd the least telling labels are left out, never their lines.
const ROWS_MAX: usize = 7;
const ROW: f64 = 18.0;
const HURT: Ink = Ink::rgb(0xD5, 0x2B, 0x1E).alpha(0.11);
const BENIGN: Ink = Ink::rgb(0x4A, 0x7A, 0xA8).alpha(0.13);
const CAUSE: Ink = Ink::rgb(0xA8, 0x1E, 0x14);
const POLICY: Ink = Ink::rgb(0x4B, 0x2A, 0x7B);
const WELL: Ink = Ink::rgb(0x00, 0x6B, 0x4E);

/// One or more milestones at (nearly) one instant.
#[derive(Debug, Clone, PartialEq)]
struct Mark {
    at: SimTime,
    x: f64,
    names: Vec<&'static str>,
    /// Of which fault, where there are several.
    of: Option<String>,
    /// Smaller is more telling.
    rank: u8,
    ink: Ink,
    /// The row of its label, 0 next to the panels.
    row: Option<usize>,
    width: f64,
}

impl Mark {
    fn words(&self) -> String {
        let names = self.names.join(", ");
        self.of.as_ref().map_or(names.clone(), |of| format!("{names} [{of}]"))
    }
}

/// All milestones of a trial, laid out.
pub(super) struct Marks {
    marks: Vec<Mark>,
    shades: Vec<(f64, f64, Ink)>,
    rows: usize,
}

const LABEL: Text = Text::plain(13.0);
const TIME: Text = Text::bold(13.0);

impl Marks {
    pub(super) fn new<B: DrawingBackend>(report: &TrialReport, scene: &Scene<'_>, canvas: &Canvas<B>) -> Self {
        let mut marks = gather(report, scene);
        for mark in &mut marks {
            mark.width =
                canvas.text_width(&clock(mark.at), TIME) + 7.0 + canvas.text_width(&mark.words(), LABEL) + 18.0;
        }
        let rows = place(&mut marks);
        Self { marks, shades: shades(report, scene), rows }
    }

    /// How much room the labels take.
    pub(super) fn height(&self) -> f64 {
        self.rows as f64 * ROW
    }

    /// Shades one panel.
    pub(super) fn shade<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, top: f64, bottom: f64) -> Drawn {
        self.shades.iter().try_for_each(|&(from, to, ink)| canvas.rect((from, top), (to, bottom), ink))
    }

    /// What the shades mean.
    pub(super) fn legend(&self) -> Vec<(Ink, &'static str)> {
        let has = |wanted: Ink| self.shades.iter().any(|&(_, _, ink)| ink == wanted);
        let all = [(HURT, "onset to recovered"), (BENIGN, "benign disturbance")];
        all.into_iter().filter(|&(ink, _)| has(ink)).collect()
    }

    /// Draws labels from `top` on, and lines from them down to `bottom`.
    pub(super) fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, top: f64, bottom: f64) -> Drawn {
        let end = top + self.height();
        for mark in &self.marks {
            let from = mark.row.map_or(end, |row| end - (row + 1) as f64 * ROW + 3.0);
            canvas.line(&[(mark.x, from), (mark.x, bottom)], Pen::new(mark.ink, 1.4).dashed(6.0, 3.0))?;
        }
        for mark in &self.marks {
            let Some(row) = mark.row else { continue };
            let y = end - row as f64 * ROW - 4.0;
            let time = clock(mark.at);
            canvas.text((mark.x + 5.0, y), &time, TIME.ink(mark.ink))?;
            let x = mark.x + 12.0 + canvas.text_width(&time, TIME);
            canvas.text((x, y), &mark.words(), LABEL.ink(mark.ink))?;
        }
        Ok(())
    }
}

fn gather(report: &TrialReport, scene: &Scene<'_>) -> Vec<Mark> {
    let several = report.incidents.len() > 1;
    let mut marks: Vec<Mark> = Vec::new();
    for incident in &report.incidents {
        for step in milestones(report, incident) {
            let Some(at) = step.at.filter(|&at| at <= scene.end) else { continue };
            let (rank, ink) = match step.name {
                "injected" => (0, CAUSE),
                "onset" => (2, CAUSE),
                "detected" => (0, POLICY),
                "decided" => (3, POLICY),
                "reverting" => (4, POLICY),
                "reverted" => (2, POLICY),
                _ => (1, WELL),
            };
            let name =
                if step.name == "injected" && !incident.harmful { "benign disturbance begins" } else { step.name };
            let of = several.then(|| report.names.fault(incident.fault).chars().take(24).collect::<String>());
            marks.push(Mark { at, x: scene.x(at), names: vec![name], of, rank, ink, row: None, width: 0.0 });
        }
    }
    // Rollbacks that no incident accounts for are the story of a false one.
    for fact in &report.events {
        let known = |mark: &Mark| mark.at == fact.at && mark.names.iter().any(|name| name.starts_with("revert"));
        if !matches!(fact.event, Event::RevertStarted { .. }) {
            continue;
        }
        if fact.at <= scene.end && !marks.iter().any(known) {
            let (x, names) = (scene.x(fact.at), vec!["rollback begins"]);
            marks.push(Mark { at: fact.at, x, names, of: None, rank: 0, ink: POLICY, row: None, width: 0.0 });
        }
    }
    marks.sort_by_key(|mark| mark.at);
    // What is less than a few pixels apart is one line with several names, as long as it is about one fault.
    let mut merged: Vec<Mark> = Vec::new();
    for mark in marks {
        match merged.last_mut() {
            Some(last) if mark.x - last.x < 3.0 && last.of == mark.of && last.names.len() < 4 => {
                last.names.extend(mark.names);
                last.rank = last.rank.min(mark.rank);
            }
            _ => merged.push(mark),
        }
    }
    merged
}

/// Gives each label a row so that none overlaps another, nor the line of one in a row above it: labels stand to the right of
/// their lines, and within a crowd the rows descend from left to right. Returns how many rows there are.
fn place(marks: &mut [Mark]) -> usize {
    let mut rows = 0;
    let mut start = 0;
    while start < marks.len() {
        let mut end = start + 1;
        let mut reach = marks[start].x + marks[start].width;
        while end < marks.len() && marks[end].x < reach {
            reach = reach.max(marks[end].x + marks[end].width);
            end += 1;
        }
        let crowd = &mut marks[start..end];
        let mut order: Vec<usize> = (0..crowd.len()).collect();
        order.sort_by_key(|&i| (crowd[i].rank, i));
        let mut kept: Vec<usize> = order.into_iter().take(ROWS_MAX).collect();
        kept.sort_unstable();
        for (place, &i) in kept.iter().enumerate() {
            crowd[i].row = Some(kept.len() - 1 - place);
        }
        rows = rows.max(kept.len());
        start = end;
    }
    rows
}

/// From onset to recovered, and while a benign disturbance lasted.
fn shades(report: &TrialReport, scene: &Scene<'_>) -> Vec<(f64, f64, Ink)> {
    let mut hurt: Vec<(SimTime, SimTime)> = Vec::new();
    let mut shades = Vec::new();
    for incident in &report.incidents {
        if incident.harmful {
            if let Some(onset) = incident.onset {
                hurt.push((onset, incident.recovered.unwrap_or(scene.end)));
            }
        } else if let Some(injected) = incident.injected {
            let ended = report.events.iter().find_map(|fact| match fact.event {
                Event::FaultEnded { fault } if fault == incident.fault && fact.at >= injected => Some(fact.at),
                _ => None,
            });
            shades.push((scene.x(injected), scene.x(ended.unwrap_or(scene.end)), BENIGN));
        }
    }
    // Overlapping incidents hurt once: a darker shade would say more than is known.
    hurt.sort_unstable();
    let mut united: Vec<(SimTime, SimTime)> = Vec::new();
    for (from, to) in hurt {
        match united.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => united.push((from, to)),
        }
    }
    shades.extend(united.into_iter().map(|(from, to)| (scene.x(from), scene.x(to), HURT)));
    shades.retain(|(from, to, _)| from < to);
    shades
}
