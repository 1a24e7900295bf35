//! Owns faults in words: one line that a person reads in reports.

use crate::artifact::corrupt::Damage;
use crate::id::Names;
use crate::time::Span;
use crate::world::config::{Bound, Effect, Fault, Version};

/// A share as a percentage without needless digits.
fn percent(share: f64) -> String {
    let rounded = (share * 1e6 + 0.5).floor() / 1e4;
    format!("{rounded} %")
}

/// Some replicas of a version.
fn some_of(replicas: u32, version: &str) -> String {
    match replicas {
        1 => format!("one replica of {version}"),
        n => format!("{n} replicas of {version}"),
    }
}

/// What the fault does, in words; `columns` are the feature names of each source.
pub(crate) fn fault(fault: &Fault, names: &Names, columns: &[Vec<String>], versions: &[Version]) -> String {
    let lasting = fault.until.map_or(String::new(), |until| format!(" for {}", until.since(fault.at)));
    match &fault.effect {
        Effect::CorruptWeights { version, change, checked, mapped, .. } => {
            let what = match change.what {
                Damage::ExponentBits => "exponent bits of",
                Damage::MantissaBits => "mantissa bits of",
                Damage::SignBit => "signs of",
                Damage::Zero => "zeros in place of",
                Damage::Bytes => "bit flips in",
            };
            let of = if change.what == Damage::Bytes { "the bytes" } else { "the weights" };
            let check = if *checked { "seen by the digest check" } else { "behind the digest check" };
            let reach = if *mapped { "" } else { ", for later loads only" };
            format!("{}: {what} {} of {of}, {check}{reach}", names.version(*version), percent(change.share))
        }
        Effect::LatencySpike { bound, factor, add } => {
            let place = match bound {
                Bound::Version(version) => format!("all replicas of {}", names.version(*version)),
                Bound::Hosts(1) => "one host".to_owned(),
                Bound::Hosts(hosts) => format!("{hosts} hosts"),
            };
            let slower = match (*factor == 1.0, *add == Span::ZERO) {
                (true, _) => format!("{add} slower"),
                (false, true) => format!("{factor} times slower"),
                (false, false) => format!("{factor} times and {add} slower"),
            };
            format!("{place}: {slower}{lasting}")
        }
        Effect::Crash { version, replicas, every } => {
            let again = every.map_or(String::new(), |every| {
                format!(", and again every {every}{}", if lasting.is_empty() { "" } else { "," })
            });
            format!("{}: killed{again}{lasting}", some_of(*replicas, names.version(*version)))
        }
        Effect::Stall { version, replicas } => {
            format!("{}: stopped{lasting}", some_of(*replicas, names.version(*version)))
        }
        Effect::Cut { version, replicas } => {
            format!("{}: cut off from the router{lasting}", some_of(*replicas, names.version(*version)))
        }
        Effect::Delay { version, replicas, add } => {
            format!("{}: answers travel {add} longer{lasting}", some_of(*replicas, names.version(*version)))
        }
        Effect::CovariateDrift { source, columns: moved, ramp, labels_follow } => {
            let table = columns.get(source.index());
            let one = |(column, scale, shift): &(usize, f64, f64)| {
                let name = table.and_then(|t| t.get(*column)).map_or("?", String::as_str);
                match (*scale == 1.0, *shift == 0.0) {
                    (true, _) => format!("{name} {shift:+}"),
                    (false, true) => format!("{name} × {scale}"),
                    (false, false) => format!("{name} × {scale} {shift:+}"),
                }
            };
            let moved: Vec<String> = moved.iter().map(one).collect();
            let ramp = if *ramp == Span::ZERO { String::new() } else { format!(" over {ramp}") };
            let labels = if *labels_follow { "labels follow" } else { "labels stay" };
            format!("{}: {}{ramp}{lasting}, {labels}", names.source(*source), moved.join(", "))
        }
        Effect::Surge { source, factor } => format!("{}: {factor} times the requests{lasting}", names.source(*source)),
        Effect::BadRelease { version, clean } => {
            let name = names.version(*version);
            let shipped = versions.get(version.index());
            let what = match shipped.and_then(|shipped| swapped(shipped, clean, columns)) {
                Some(swapped) => swapped,
                None if shipped.is_some_and(|s| s.artifact.digest == clean.artifact.digest) => {
                    "another service time than its clean twin".to_owned()
                }
                None => "other bytes than its clean twin".to_owned(),
            };
            format!("{name}: {what}, from its first request on")
        }
        Effect::NaturalDrift => "recorded data change by themselves".to_owned(),
        Effect::Sham => "declared, without effect".to_owned(),
    }
}

/// How a version is fed otherwise than its clean twin, if that is the difference.
fn swapped(shipped: &Version, clean: &Version, columns: &[Vec<String>]) -> Option<String> {
    if shipped.artifact.digest != clean.artifact.digest {
        return None;
    }
    let table = columns.first()?;
    let fed = |version: &Version| -> Option<Vec<usize>> {
        Some(version.columns.first()?.clone().unwrap_or_else(|| (0..table.len()).collect()))
    };
    let (shipped, clean) = (fed(shipped)?, fed(clean)?);
    let differing: Vec<&str> = shipped
        .iter()
        .zip(&clean)
        .filter(|(a, b)| a != b)
        .filter_map(|(_, &b)| table.get(b).map(String::as_str))
        .collect();
    match differing[..] {
        [] => None,
        [one] => Some(format!("fed another column as {one}")),
        [one, other] => Some(format!("columns {one} and {other} are swapped")),
        _ => Some(format!("columns {} are mixed up", differing.join(", "))),
    }
}
