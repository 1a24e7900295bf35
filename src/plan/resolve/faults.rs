//! Owns the resolution of faults: causes by name → effects on the plant by index.

use crate::artifact::Artifact;
use crate::artifact::corrupt::{Corruption, Damage, corrupt};
use crate::digest::Digest;
use crate::id::{SourceId, VersionId};
use crate::plan::diagnostic::Diagnostic;
use crate::plan::document::Place;
use crate::plan::fault::{Change, DigestCheck, Fault as Wire, LabelsUnderDrift, Reach, Shift, What};
use crate::plan::resolve::small;
use crate::plan::units::{Duration, PositiveDuration};
use crate::time::{SimTime, Span};
use crate::world::config::{Bound, Effect, Fault, Version};
use std::sync::Arc;

/// What a fault can act on.
pub(crate) struct Plant<'a> {
    /// When arrivals end.
    pub horizon: Span,
    /// Names of models, by version.
    pub models: &'a [&'a str],
    /// Versions, where all of them could be loaded.
    pub versions: Option<&'a [Version]>,
    /// Names of sources.
    pub sources: &'a [&'a str],
    /// Columns of each source, where all of them could be read.
    pub columns: Option<&'a [Vec<String>]>,
    /// Replicas that carry the full traffic.
    pub replicas: u32,
}

const MODEL: (&str, &str) = ("model", "models");

pub(crate) fn fault(
    wire: &Wire,
    name: String,
    place: &Place<'_>,
    plant: &Plant<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<Fault> {
    let common = wire.common();
    truth(wire, place, found);
    let (at, duration) = times(wire);
    if at >= plant.horizon {
        let message = format!("the fault begins after the end of the scenario, {} < {at}", plant.horizon);
        found.push(
            place.at("at").wrong(message).label("never happens").help(format!("the horizon is {}", plant.horizon)),
        );
    }
    let effect = effect(wire, place, plant, found)?;
    Some(Fault {
        name,
        at: SimTime(at.0),
        until: duration.map(|d| SimTime(at.0) + d),
        chance: common.chance.0,
        harmful: common.harmful,
        curable: common.curable_by_rollback.unwrap_or(false),
        effect,
    })
}

/// Checks the declared ground truth.
fn truth(wire: &Wire, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let common = wire.common();
    if common.harmful && common.curable_by_rollback.is_none() {
        let help = "write `curable_by_rollback = true` if taking the version out cures it, else `false`";
        found.push(place.at("harmful").wrong_key("a harmful fault needs `curable_by_rollback`").help(help));
    }
    if !common.harmful && common.curable_by_rollback == Some(true) {
        found.push(place.at("curable_by_rollback").wrong("a harmless fault has nothing to cure"));
    }
    if common.harmful && matches!(wire, Wire::Sham { .. }) {
        found.push(place.at("harmful").wrong("a sham has no effect, so it cannot be harmful"));
    }
}

/// When it begins, and how long it lasts if it ends by itself.
fn times(wire: &Wire) -> (Span, Option<Span>) {
    let lasting = |at: &Duration, d: &Option<PositiveDuration>| (at.0, d.map(|d| d.0));
    match wire {
        Wire::LatencySpike { at, duration, .. }
        | Wire::ReplicaCrash { at, duration, .. }
        | Wire::ReplicaStall { at, duration, .. }
        | Wire::NetworkCut { at, duration, .. }
        | Wire::NetworkDelay { at, duration, .. }
        | Wire::CovariateDrift { at, duration, .. }
        | Wire::TrafficSurge { at, duration, .. } => lasting(at, duration),
        Wire::WeightCorruption { at, .. } | Wire::NaturalDrift { at, .. } | Wire::Sham { at, .. } => (at.0, None),
        Wire::BadRelease { .. } => (Span::ZERO, None),
    }
}

fn effect(wire: &Wire, place: &Place<'_>, plant: &Plant<'_>, found: &mut Vec<Diagnostic>) -> Option<Effect> {
    match wire {
        Wire::WeightCorruption { artifact, change, check, reach, .. } => {
            let version = place.at("artifact").lookup(artifact, plant.models, MODEL, found)?;
            let change_place = place.at("change");
            let (corrupted, change) = corrupted(&plant.versions?[version].artifact, change, &change_place, found)?;
            let version = VersionId(small(version));
            let (checked, mapped) = (*check == DigestCheck::Enforced, *reach == Reach::Mapped);
            Some(Effect::CorruptWeights { version, corrupted: Arc::new(corrupted), change, checked, mapped })
        }
        Wire::LatencySpike { version, hosts, factor, add, .. } => {
            if *factor == 1.0 && add.0 == Span::ZERO {
                found.push(place.wrong("the latency spike changes nothing").label("needs `factor` or `add`"));
            }
            let bound = bound(version.as_deref(), *hosts, place, plant, found)?;
            Some(Effect::LatencySpike { bound, factor: *factor, add: add.0 })
        }
        Wire::ReplicaCrash { duration, version, replicas, every, .. } => {
            turns(*duration, *every, place, found);
            let version = some_of(version, *replicas, place, plant, found)?;
            Some(Effect::Crash { version, replicas: *replicas, every: every.map(|every| every.0) })
        }
        Wire::ReplicaStall { version, replicas, .. } => {
            let version = some_of(version, *replicas, place, plant, found)?;
            Some(Effect::Stall { version, replicas: *replicas })
        }
        Wire::NetworkCut { version, replicas, .. } => {
            let version = some_of(version, *replicas, place, plant, found)?;
            Some(Effect::Cut { version, replicas: *replicas })
        }
        Wire::NetworkDelay { version, replicas, add, .. } => {
            let version = some_of(version, *replicas, place, plant, found)?;
            Some(Effect::Delay { version, replicas: *replicas, add: add.0 })
        }
        Wire::CovariateDrift { source, ramp, features, labels, .. } => {
            let source = pick_source(source.as_deref(), place, plant, found)?;
            let columns = shifts(features, &plant.columns?[source], &place.at("features"), found)?;
            let labels_follow = *labels == LabelsUnderDrift::Follow;
            Some(Effect::CovariateDrift { source: SourceId(small(source)), columns, ramp: ramp.0, labels_follow })
        }
        Wire::TrafficSurge { source, factor, .. } => {
            let source = pick_source(source.as_deref(), place, plant, found)?;
            Some(Effect::Surge { source: SourceId(small(source)), factor: *factor })
        }
        Wire::BadRelease { model, clean, .. } => {
            let bad = place.at("model").lookup(model, plant.models, MODEL, found);
            let good = place.at("clean").lookup(clean, plant.models, MODEL, found);
            let (bad, good) = (bad?, good?);
            let versions = plant.versions?;
            let (bad_version, good_version) = (&versions[bad], &versions[good]);
            let same = bad_version.artifact.digest == good_version.artifact.digest
                && bad_version.columns == good_version.columns
                && bad_version.service == good_version.service;
            if wire.common().harmful && same {
                let message =
                    format!("`{model}` and `{clean}` are the same artifact, fed with the same columns, as fast");
                found.push(place.at("clean").wrong(message).label("nothing is bad about the release"));
            }
            // The twin stands in for the bad version, so it keeps that name: random streams are addressed by name.
            let clean = Version { name: bad_version.name.clone(), ..good_version.clone() };
            Some(Effect::BadRelease { version: VersionId(small(bad)), clean: Box::new(clean) })
        }
        Wire::NaturalDrift { .. } => Some(Effect::NaturalDrift),
        Wire::Sham { .. } => Some(Effect::Sham),
    }
}

fn bound(
    version: Option<&str>,
    hosts: Option<u32>,
    place: &Place<'_>,
    plant: &Plant<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<Bound> {
    match (version, hosts) {
        (Some(name), None) => {
            let version = place.at("version").lookup(name, plant.models, MODEL, found)?;
            Some(Bound::Version(VersionId(small(version))))
        }
        (None, Some(hosts)) => {
            at_most_the_fleet("hosts", hosts, place, plant, found);
            Some(Bound::Hosts(hosts))
        }
        (Some(_), Some(_)) => {
            let help = "a spike bound to a version leaves with it; one bound to hosts stays";
            found.push(
                place.at("hosts").wrong_key("a latency spike is bound to a version or to hosts, not both").help(help),
            );
            None
        }
        (None, None) => {
            let help = "`version = \"…\"` for a slow model, `hosts = 2` for a noisy neighbour";
            found.push(
                place.wrong("the latency spike is bound to nothing").label("needs `version` or `hosts`").help(help),
            );
            None
        }
    }
}

/// The version whose first so many replicas are hit.
fn some_of(
    version: &str,
    replicas: u32,
    place: &Place<'_>,
    plant: &Plant<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<VersionId> {
    at_most_the_fleet("replicas", replicas, place, plant, found);
    let version = place.at("version").lookup(version, plant.models, MODEL, found)?;
    Some(VersionId(small(version)))
}

fn at_most_the_fleet(key: &str, n: u32, place: &Place<'_>, plant: &Plant<'_>, found: &mut Vec<Diagnostic>) {
    if n > plant.replicas {
        let message = format!("{n} {key}, but the fleet has {} replicas", plant.replicas);
        found.push(place.at(key).wrong(message));
    }
}

/// Checks that a crash that lasts comes again, and that one that comes again lasts.
fn turns(
    duration: Option<PositiveDuration>,
    every: Option<PositiveDuration>,
    place: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    match (duration, every) {
        (Some(_), None) => {
            let help = "`every = \"30s\"` kills again each half minute; without `every` a crash needs no `duration`";
            found.push(place.at("duration").wrong_key("a crash that happens once does not last").help(help));
        }
        (Some(duration), Some(every)) if every.0 >= duration.0 => {
            let message = "the second crash would come after the end of the fault";
            found.push(place.at("every").wrong(message).label(format!("not less than `duration`, {}", duration.0)));
        }
        _ => {}
    }
}

fn pick_source(name: Option<&str>, place: &Place<'_>, plant: &Plant<'_>, found: &mut Vec<Diagnostic>) -> Option<usize> {
    match name {
        Some(name) => place.at("source").lookup(name, plant.sources, ("source", "sources"), found),
        None if plant.sources.len() == 1 => Some(0),
        None => {
            let help = format!("write `source = \"…\"`; sources: {}", plant.sources.join(", "));
            found.push(place.wrong("which source of traffic?").label("needs `source`").help(help));
            None
        }
    }
}

fn shifts(
    features: &[Shift],
    columns: &[String],
    place: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<Vec<(usize, f64, f64)>> {
    let names: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut out: Vec<(usize, f64, f64)> = Vec::new();
    let mut complete = true;
    for (i, feature) in features.iter().enumerate() {
        let at = place.at(i);
        match at.at("name").lookup(&feature.name, &names, ("feature", "features"), found) {
            Some(column) if out.iter().any(|(c, ..)| *c == column) => {
                found.push(at.at("name").wrong(format!("the feature `{}` is named twice", feature.name)));
            }
            Some(column) => out.push((column, feature.scale, feature.shift)),
            None => complete = false,
        }
    }
    complete.then_some(out)
}

fn corrupted(
    clean: &Artifact,
    change: &Change,
    place: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<(Artifact, Corruption)> {
    let what = match change.what {
        What::ExponentBits => Damage::ExponentBits,
        What::MantissaBits => Damage::MantissaBits,
        What::SignBit => Damage::SignBit,
        What::Zero => Damage::Zero,
        What::Bytes => Damage::Bytes,
    };
    let change = Corruption {
        what,
        share: change.share,
        seed: u64::from(change.seed),
        bits: change.bits.map(|[low, high]| (low, high)),
    };
    let bytes = match corrupt(&clean.bytes, &change) {
        Ok(bytes) => bytes,
        Err(e) => {
            found.push(place.wrong(format!("the artifact cannot be corrupted so: {e}")));
            return None;
        }
    };
    let digest = Digest::of(&bytes);
    if digest == clean.digest {
        found.push(
            place
                .at("share")
                .wrong("the corruption changes nothing")
                .help("no weight is hit: take a larger share or another seed"),
        );
        return None;
    }
    // Damaged structure may tie rows together; damaged weights cannot.
    let rowwise = clean.rowwise && what != Damage::Bytes;
    let artifact = Artifact {
        bytes: bytes.into(),
        digest,
        promised: clean.promised,
        signature: clean.signature.clone(),
        vetted: false,
        rowwise,
    };
    Some((artifact, change))
}
