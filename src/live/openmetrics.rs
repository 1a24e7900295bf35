//! Owns the router's telemetry as text: OpenMetrics out at `/metrics`, and back into counters and histograms at the scrape.
//!
//! Format: OpenMetrics 1.0, <https://prometheus.io/docs/specs/om/open_metrics_spec/>. Counters and histograms only grow; a
//! histogram tells the buckets that are occupied and `+Inf`, with the bounds of [`Histogram`], so that what is read back is
//! what was counted, to the bit.

use crate::event::{Capacity, Metrics, MetricsRow, Outcome};
use crate::id::{Names, ReplicaId, SegmentId, VersionId};
use crate::stats::histogram::{Histogram, bucket_end};
use crate::time::{NS_PER_S, SimTime};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The content type of the text.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const REQUESTS: &str = "rollcage_router_requests";
const DURATION: &str = "rollcage_router_request_duration_seconds";

/// The exposition of the router's counters.
pub(crate) fn exposition(metrics: &Metrics, names: &Names) -> String {
    let mut out = format!("# HELP {REQUESTS} Requests that ended, by how they ended.\n# TYPE {REQUESTS} counter\n");
    for row in &metrics.rows {
        for (outcome, n) in Outcome::ALL.iter().zip(row.ended).filter(|(_, n)| *n > 0) {
            let _ = writeln!(out, "{REQUESTS}_total{{{},outcome=\"{}\"}} {n}", labels(row, names), outcome.name());
        }
    }
    let _ = write!(
        out,
        "# HELP {DURATION} From arrival at the router to the answer.\n# TYPE {DURATION} histogram\n# UNIT {DURATION} seconds\n"
    );
    for row in metrics.rows.iter().filter(|row| !row.latency.is_empty()) {
        let (labels, latency) = (labels(row, names), &row.latency);
        let mut below = 0;
        for (_, high, n) in latency.buckets() {
            below += n;
            let _ = writeln!(out, "{DURATION}_bucket{{{labels},le=\"{}\"}} {below}", seconds(high));
        }
        let _ = writeln!(out, "{DURATION}_bucket{{{labels},le=\"+Inf\"}} {}", latency.count());
        let _ = writeln!(out, "{DURATION}_sum{{{labels}}} {}", seconds(latency.sum_ns()));
        let _ = writeln!(out, "{DURATION}_count{{{labels}}} {}", latency.count());
    }
    out.push_str("# EOF\n");
    out
}

/// Nanoseconds as seconds, exactly.
fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / NS_PER_S, ns % NS_PER_S)
}

fn labels(row: &MetricsRow, names: &Names) -> String {
    let replica = row.replica.map_or(String::new(), |r| r.0.to_string());
    let (version, segment) = (escaped(names.version(row.version)), escaped(names.segment(row.segment)));
    format!("version=\"{version}\",segment=\"{segment}\",replica=\"{replica}\"")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// One sample: `name{label="value",…} number`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    /// The sample's name.
    pub(crate) name: String,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Its number as written.
    pub(crate) value: String,
}

/// The samples of an exposition; comments are passed over, what is no sample is an error with its line.
pub(crate) fn samples(text: &str) -> Result<Vec<Sample>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(n, line)| sample(line).ok_or_else(|| format!("line {} is no sample", n + 1))).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(key.to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
    }
    // A timestamp or an exemplar may follow.
    let value = rest.split_whitespace().next()?;
    value.parse::<f64>().ok()?;
    (!name.is_empty()).then(|| Sample { name: name.to_owned(), labels, value: value.to_owned() })
}

/// A label's value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                c => value.push(c),
            },
            c => value.push(c),
        }
    }
    None
}

#[derive(Default)]
struct Read {
    ended: [u64; 6],
    /// Largest value of each bucket, and how many lie at or below it.
    below: Vec<(u64, u64)>,
    all: u64,
    sum_ns: u64,
}

/// The rows that an exposition tells. Versions and segments that have no name here are an error: then it is another router's.
pub(crate) fn rows(text: &str, names: &Names) -> Result<Vec<MetricsRow>, String> {
    let mut read: BTreeMap<(VersionId, SegmentId, Option<ReplicaId>), Read> = BTreeMap::new();
    for sample in samples(text)? {
        let Some(kind) = sample.name.strip_prefix(DURATION).or_else(|| sample.name.strip_prefix(REQUESTS)) else {
            continue;
        };
        let strange = || format!("`{}` has no meaning here: {:?} {}", sample.name, sample.labels, sample.value);
        let row = read.entry(key(&sample, names).ok_or_else(strange)?).or_default();
        let value = &sample.value;
        match kind {
            "_total" => {
                let outcome = sample.labels.get("outcome").ok_or_else(strange)?;
                let place = Outcome::ALL.iter().position(|o| o.name() == outcome).ok_or_else(strange)?;
                row.ended[place] = value.parse().map_err(|_| strange())?;
            }
            "_bucket" => {
                let n = value.parse().map_err(|_| strange())?;
                match sample.labels.get("le").map(String::as_str) {
                    Some("+Inf") => row.all = n,
                    Some(le) => row.below.push((nanoseconds(le).ok_or_else(strange)?, n)),
                    None => return Err(strange()),
                }
            }
            "_sum" => row.sum_ns = nanoseconds(value).ok_or_else(strange)?,
            _ => {}
        }
    }
    read.into_iter()
        .map(|((version, segment, replica), read)| {
            let latency = histogram(&read).ok_or("the buckets of a histogram shrink")?;
            Ok(MetricsRow { version, segment, replica, ended: read.ended, latency })
        })
        .collect()
}

fn key(sample: &Sample, names: &Names) -> Option<(VersionId, SegmentId, Option<ReplicaId>)> {
    let place = |table: &[String], label: &str| {
        let name = sample.labels.get(label)?;
        u16::try_from(table.iter().position(|n| n == name)?).ok()
    };
    let replica = match sample.labels.get("replica")?.as_str() {
        "" => None,
        number => Some(ReplicaId(number.parse().ok()?)),
    };
    Some((VersionId(place(&names.versions, "version")?), SegmentId(place(&names.segments, "segment")?), replica))
}

fn histogram(read: &Read) -> Option<Histogram> {
    let mut through = 0;
    let mut buckets = Vec::with_capacity(read.below.len());
    for &(end, below) in &read.below {
        buckets.push((end, u32::try_from(below.checked_sub(through)?).ok()?));
        through = below;
    }
    let overflow = u32::try_from(read.all.checked_sub(through)?).ok()?;
    let known = buckets.iter().all(|&(end, _)| bucket_end(end) == end);
    known.then(|| Histogram::of_buckets(buckets, overflow, read.sum_ns))
}

/// Seconds with up to nine decimals as nanoseconds, exactly.
fn nanoseconds(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = part.bytes().all(|b| b.is_ascii_digit()) && part.len() <= 9;
    let part: u64 = if digits { format!("{part:0<9}").parse().ok()? } else { return None };
    whole.parse::<u64>().ok()?.checked_mul(NS_PER_S)?.checked_add(part)
}

/// A scrape of the router: its rows, and nothing of the replicas and what they may use yet.
pub(crate) fn metrics(text: &str, names: &Names, scraped_at: SimTime) -> Result<Metrics, String> {
    Ok(Metrics { scraped_at, rows: rows(text, names)?, gauges: Vec::new(), capacity: Capacity::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names() -> Names {
        Names {
            versions: vec!["v1".to_owned(), "a \"b\", c=\\d\n{e} 1".to_owned()],
            segments: vec!["all".to_owned(), "SEX=1, RAC1P=2".to_owned()],
            ..Names::default()
        }
    }

    fn row() -> impl Strategy<Value = MetricsRow> {
        let latencies = prop::collection::vec((0u64..1 << 43, 1u32..1000), 0..40);
        (0u16..2, 0u16..2, prop::option::of(0u32..4), prop::array::uniform6(0u64..1 << 40), latencies).prop_map(
            |(version, segment, replica, ended, latencies)| {
                let mut latency = Histogram::new();
                latencies.into_iter().for_each(|(ns, n)| latency.record_n(ns, n));
                let (version, segment) = (VersionId(version), SegmentId(segment));
                MetricsRow { version, segment, replica: replica.map(ReplicaId), ended, latency }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_read_back_is_what_was_counted(rows in prop::collection::vec(row(), 0..8)) {
            let mut rows = rows;
            rows.sort_by_key(|r| (r.version, r.segment, r.replica));
            rows.dedup_by_key(|r| (r.version, r.segment, r.replica));
            rows.retain(|r| r.ended.iter().any(|&n| n > 0) || !r.latency.is_empty());
            let counted = Metrics { scraped_at: SimTime(7), rows, gauges: Vec::new(), capacity: Capacity::default() };
            let text = exposition(&counted, &names());
            prop_assert_eq!(metrics(&text, &names(), SimTime(7)).expect("its own text"), counted);
        }

        #[test]
        fn no_text_panics(text in ".{0,200}", name in "rollcage_router_requests_total|rollcage_router_request_duration_seconds_bucket") {
            let _ = rows(&text, &names());
            let _ = rows(&format!("{name}{{{text}}} 1"), &names());
        }
    }

    #[test]
    fn what_is_no_sample_is_an_error_with_its_line() {
        assert_eq!(samples("# a\nx 1\nx{a=\"b 1\n"), Err("line 3 is no sample".to_owned()));
        assert_eq!(samples("x one\n"), Err("line 1 is no sample".to_owned()));
        assert!(
            rows(
                "rollcage_router_requests_total{version=\"v9\",segment=\"all\",replica=\"\",outcome=\"lost\"} 1",
                &names()
            )
            .is_err()
        );
        assert!(samples("up{job=\"x\",} 1 1700000000\n").is_ok_and(|s| s[0].labels["job"] == "x"));
    }
}
