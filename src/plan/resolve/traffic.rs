//! Owns the resolution of traffic: tables and concepts → sources, and which column goes into which input of which model.

use crate::id::{Names, SegmentId};
use crate::plan::diagnostic::Diagnostic;
use crate::plan::document::Place;
use crate::plan::files::{Files, shown};
use crate::plan::resolve::{distribution, models, outcomes, small};
use crate::plan::scenario::{Arrivals as WireArrivals, LabelDelay, Normal, Replay, Rows, TimeUnit, Traffic};
use crate::plan::table::{self, Wanted};
use crate::time::Span;
use crate::world::config::{Arrivals, LabelConfig, Payload, Source, Table};
use std::path::Path;
use std::sync::Arc;

/// A source with the names of its columns.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub source: Source,
    pub columns: Vec<String>,
}

/// What a source needs to know of the rest.
pub(crate) struct Needs<'a> {
    /// Features of all versions, each with the versions that need it, in order.
    pub features: &'a [(String, String)],
    /// The scenario's horizon.
    pub horizon: Span,
    /// Where paths start.
    pub base: &'a Path,
}

pub(crate) fn source(
    wire: &Traffic,
    place: &Place<'_>,
    needs: &Needs<'_>,
    files: &mut Files,
    names: &mut Names,
    found: &mut Vec<Diagnostic>,
) -> Option<Resolved> {
    let arrivals = match &wire.arrivals {
        WireArrivals::Poisson { rate } => Arrivals::Poisson { rate: rate.0 },
        WireArrivals::Recorded { scale } => Arrivals::Recorded { scale: *scale },
    };
    const REQUESTS_MAX: f64 = 1e9;
    if let Arrivals::Poisson { rate } = arrivals
        && rate * needs.horizon.as_secs_f64() > REQUESTS_MAX
    {
        let message = format!("about {:.0} requests in one trial", rate * needs.horizon.as_secs_f64());
        found.push(
            place.at("arrivals").at("rate").wrong(message).help("at most a thousand million requests fit into a trial"),
        );
    }
    let labels = labels(wire, place, found);
    let outcomes = outcomes::outcomes(&wire.outcomes, &place.at("outcomes"), &mut names.outcomes, found);
    let payload = match (&wire.replay, &wire.normal) {
        (Some(replay), None) => replayed(wire, replay, &place.at("replay"), needs, files, &mut names.segments, found),
        (None, Some(normal)) => {
            if matches!(arrivals, Arrivals::Recorded { .. }) {
                found.push(
                    place
                        .at("arrivals")
                        .wrong("recorded arrivals without a table")
                        .help("normal features come with `kind = \"poisson\"`"),
                );
            }
            concept(normal, &place.at("normal"), needs, files, found)
        }
        (Some(_), Some(_)) => {
            found.push(
                place
                    .at("normal")
                    .wrong_key("a source has either `replay` or `normal`")
                    .label("and `replay` is given, too"),
            );
            None
        }
        (None, None) => {
            found.push(
                place
                    .wrong("the source says neither `replay` nor `normal`")
                    .label("what do requests carry?")
                    .help("`replay` takes rows of a table, `normal` draws features"),
            );
            None
        }
    };
    let (payload, columns) = payload?;
    let source = Source { name: wire.source.clone(), payload, arrivals, labels, outcomes, users: wire.users };
    Some(Resolved { source, columns })
}

fn labels(wire: &Traffic, place: &Place<'_>, found: &mut Vec<Diagnostic>) -> LabelConfig {
    let Some(labels) = &wire.labels else {
        return LabelConfig { delay: Some(crate::world::distribution::Distribution::Constant(Span::ZERO)), lost: 1.0 };
    };
    let place = place.at("labels").at("delay");
    let delay = match &labels.delay {
        LabelDelay::Drawn(d) => Some(distribution(d, &place, found)),
        LabelDelay::Recorded(_) => {
            if wire.replay.as_ref().is_none_or(|r| r.label_delay.is_none()) {
                let help = "say which column: `label_delay = { column = \"…\", unit = \"min\" }` in `replay`";
                found.push(place.wrong("recorded label delays without a column of delays").help(help));
            }
            None
        }
    };
    LabelConfig { delay, lost: labels.lost.0 }
}

fn replayed(
    wire: &Traffic,
    replay: &Replay,
    place: &Place<'_>,
    needs: &Needs<'_>,
    files: &mut Files,
    segments: &mut Vec<String>,
    found: &mut Vec<Diagnostic>,
) -> Option<(Payload, Vec<String>)> {
    let recorded = matches!(wire.arrivals, WireArrivals::Recorded { .. });
    if recorded && replay.rows == Some(Rows::Iid) {
        found.push(
            place
                .at("rows")
                .wrong("recorded arrivals take rows as they came")
                .help("write rows = \"in-order\", or leave it out"),
        );
    }
    if recorded && replay.time.is_none() {
        let help = "say which: `time = \"…\"` in `replay`";
        found.push(place.wrong("recorded arrivals without a column of times").label("no `time` here").help(help));
    }
    let path = needs.base.join(&replay.file);
    let bytes = match files.read(&path) {
        Ok(bytes) => bytes,
        Err(e) => {
            found.push(place.at("file").wrong(e.message).maybe_help(e.help));
            return None;
        }
    };
    let wanted = Wanted {
        features: needs.features,
        label: &replay.label,
        segment: &replay.segment,
        time: replay.time.as_deref(),
        delay: replay.label_delay.as_ref().map(|d| {
            let seconds = match d.unit {
                TimeUnit::Ms => 0.001,
                TimeUnit::S => 1.0,
                TimeUnit::Min => 60.0,
                TimeUnit::H => 3600.0,
            };
            (d.column.as_str(), seconds)
        }),
    };
    let text = table::text(&shown(&path), &bytes).map_err(|d| found.push(*d)).ok()?;
    let rows = table::read(&text, &wanted).map_err(|d| found.extend(d)).ok()?;
    let ids: Vec<SegmentId> = if replay.segment.is_empty() {
        vec![SegmentId(0)]
    } else {
        let mut intern = |name: &String| {
            let index = segments.iter().position(|s| s == name).unwrap_or_else(|| {
                segments.push(name.clone());
                segments.len() - 1
            });
            SegmentId(small(index))
        };
        rows.segment_names.iter().map(&mut intern).collect()
    };
    let columns: Vec<String> = needs.features.iter().map(|(name, _)| name.clone()).collect();
    let table = Table {
        columns: columns.clone(),
        values: rows.values,
        labels: rows.labels,
        segments: rows.segments.iter().map(|&s| ids[s]).collect(),
        at: rows.at,
        label_delay: rows.label_delay,
    };
    let iid = !recorded && replay.rows != Some(Rows::InOrder);
    Some((Payload::Replay { table: Arc::new(table), iid }, columns))
}

fn concept(
    normal: &Normal,
    place: &Place<'_>,
    needs: &Needs<'_>,
    files: &mut Files,
    found: &mut Vec<Diagnostic>,
) -> Option<(Payload, Vec<String>)> {
    let place = place.at("concept");
    let path = needs.base.join(&normal.concept);
    let (manifest, source) = models::manifest(&path, &place, files, found)?;
    let Some((weights, bias)) = manifest.concept() else {
        found.push(
            place
                .wrong(format!("`{}` carries no concept", source.file))
                .help("its manifest needs `lineage.concept.weights` (numbers) and `lineage.concept.bias`"),
        );
        return None;
    };
    let columns = manifest.input.features;
    if columns.len() != weights.len() {
        found.push(place.wrong(format!(
            "`{}` has {} features, but {} weights",
            source.file,
            columns.len(),
            weights.len()
        )));
        return None;
    }
    let missing: Vec<_> = needs.features.iter().filter(|(name, _)| !columns.contains(name)).collect();
    for (name, who) in &missing {
        found.push(place.wrong(format!("{who} needs the feature `{name}`, which this source does not have")));
    }
    missing.is_empty().then_some((Payload::Normal { weights, bias }, columns))
}

/// The source's column for each input of a model; `None` if they are the same, in the same order.
pub(crate) fn mapping(features: &[String], columns: &[String]) -> Option<Vec<usize>> {
    if features == columns {
        return None;
    }
    Some(features.iter().filter_map(|f| columns.iter().position(|c| c == f)).collect())
}
