//! Owns the panel of what the policy saw: a lane for each signal with a scale of its own, and a bar for each rule that failed.

use super::PLOT;
use super::panels::{Key, Scale, Scene, figure, legend};
use super::series::{self, Run};
use crate::event::Event;
use crate::id::{RuleId, SignalId, VersionId};
use crate::report::render::canvas::{Anchor, Canvas, Drawn, Ink, Pen, Text};
use crate::report::render::csv::signal_widths;
use crate::time::SimTime;
use plotters::backend::DrawingBackend;
use std::collections::{BTreeMap, BTreeSet};

const LANES_MAX: usize = 4;
const RULES_MAX: usize = 4;
const RULE: Ink = Ink::rgb(0x6A, 0x3D, 0x9A);

pub(super) fn draw<B: DrawingBackend>(scene: &Scene<'_>, canvas: &mut Canvas<B>, top: f64, bottom: f64) -> Drawn {
    let rules = failing(scene);
    let rules_height = rules.len().min(RULES_MAX) as f64 * 18.0;
    let lanes_bottom = bottom - rules_height - if rules.is_empty() { 0.0 } else { 6.0 };
    lanes(scene, canvas, top, lanes_bottom)?;
    for (i, (&rule, spans)) in rules.iter().take(RULES_MAX).enumerate() {
        let y = lanes_bottom + 6.0 + i as f64 * 18.0;
        for &(from, to) in spans {
            let (x0, x1) = (scene.x(from), scene.x(to));
            canvas.rect((x0, y + 2.0), (x1.max(x0 + 3.0), y + 14.0), RULE)?;
        }
        let name = canvas.fit(&format!("rule {} fails", scene.report.names.rule(rule)), Text::plain(12.5), 186.0);
        canvas.text((PLOT.1 + 14.0, y + 12.5), &name, Text::plain(12.5).ink(RULE))?;
        canvas.text((PLOT.0 - 8.0, y + 12.5), "rule", Text::plain(12.0).ink(RULE).anchor(Anchor::End))?;
    }
    Ok(())
}

/// When which rule failed, from firing to clearing.
fn failing(scene: &Scene<'_>) -> BTreeMap<RuleId, Vec<(SimTime, SimTime)>> {
    let mut open: BTreeMap<RuleId, SimTime> = BTreeMap::new();
    let mut spans: BTreeMap<RuleId, Vec<(SimTime, SimTime)>> = BTreeMap::new();
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

/// The signals to show: those that rules which failed are about, then the others, in order of name.
fn chosen(scene: &Scene<'_>, measured: &[SignalId]) -> Vec<SignalId> {
    let names = &scene.report.names;
    let mut words = BTreeSet::new();
    for fact in &scene.report.events {
        if let Event::RuleFired(fired) = &fact.event {
            words.insert(format!("{} {}", names.rule(fired.rule), fired.evidence));
        }
    }
    let cited = |id: &SignalId| words.iter().any(|text| text.contains(names.signal(*id)));
    let mut order: Vec<SignalId> = measured.to_vec();
    order.sort_by_key(|id| (!cited(id), *id));
    order.truncate(LANES_MAX);
    order
}

fn lanes<B: DrawingBackend>(scene: &Scene<'_>, canvas: &mut Canvas<B>, top: f64, bottom: f64) -> Drawn {
    let widths = signal_widths(scene.report);
    let measured: Vec<SignalId> = widths.keys().copied().collect();
    let shown = chosen(scene, &measured);
    if shown.is_empty() {
        let middle = ((PLOT.0 + PLOT.1) / 2.0, (top + bottom) / 2.0);
        return canvas.text(middle, "nothing was measured", Text::plain(13.0).ink(Ink::SOFT).anchor(Anchor::Middle));
    }
    let height = (bottom - top) / shown.len() as f64;
    let mut keys: BTreeSet<VersionId> = BTreeSet::new();
    for (i, &id) in shown.iter().enumerate() {
        let (from, to) = (top + height * i as f64, top + height * (i + 1) as f64);
        let lines: Vec<(VersionId, Vec<Run>)> = scene
            .versions()
            .iter()
            .map(|&version| (version, series::signal(scene.report, id, version, scene.end)))
            .collect();
        let extent = series::extent(lines.iter().flat_map(|(_, runs)| runs));
        // A signal that is always zero has no scale of its own.
        let (low, high) = extent.filter(|&(low, high)| low != 0.0 || high != 0.0).unwrap_or((0.0, 1.0));
        // From zero where zero is near; a level that hardly moves keeps its place in the middle.
        let low = if low >= 0.0 && low < high * 0.75 { 0.0 } else { low };
        // Nor does noise fill a lane: a lane spans at least a third of its level.
        let pad = ((high - low) * 0.1).max((high.abs().max(low.abs()) / 3.0 - (high - low)) / 2.0).max(1e-9);
        let floor = if low == 0.0 { 0.0 } else { low - pad };
        let scale = Scale { low: floor, high: high + pad, top: from + 18.0, bottom: to - 3.0, log: false };
        let ticks: Vec<(f64, String)> =
            series::round_steps(scale.low, scale.high, 2).into_iter().map(|v| (v, figure(v))).collect();
        scene.values(canvas, &scale, &ticks)?;
        if i > 0 {
            canvas.line(&[(PLOT.0, from), (PLOT.1, from)], Pen::thin(Ink::AXIS))?;
        }
        for (version, runs) in &lines {
            if !runs.is_empty() {
                keys.insert(*version);
            }
            scene.runs(canvas, &scale, runs, scene.ink(*version), Pen::new(scene.ink(*version), 2.0))?;
        }
        let field = scene.report.names.field(id, 0);
        let name = scene.report.names.signal(id);
        let label = if field == "value" { name.to_owned() } else { format!("{name}.{field}") };
        canvas.text((PLOT.0 + 8.0, from + 14.0), &label, Text::bold(12.5).ink(Ink::SOFT))?;
    }
    let mut words: Vec<(Key, String)> =
        keys.iter().map(|&id| (Key::Line(Pen::new(scene.ink(id), 2.0)), scene.name(id))).collect();
    words.reverse();
    legend(canvas, top, &words)?;
    if measured.len() > shown.len() {
        let left = measured.len() - shown.len();
        let more = format!("{left} more {}: windows.csv", if left == 1 { "signal" } else { "signals" });
        canvas.text(
            (PLOT.1 + 14.0, top + 14.0 + 19.0 * words.len() as f64),
            &more,
            Text::plain(12.5).ink(Ink::SOFT),
        )?;
    }
    Ok(())
}
