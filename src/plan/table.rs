//! Owns tables: CSV and CSV.GZ files → rows of features, labels, segments and times, with the place of every broken cell.

use crate::plan::diagnostic::{Diagnostic, Source, did_you_mean};
use crate::plan::files::FILE_BYTES_MAX;
use crate::time::Span;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;

/// After so many broken rows the rest is not looked at.
const BROKEN_ROWS_MAX: usize = 5;
/// More segments than this are no segments.
const SEGMENTS_MAX: usize = 1000;

/// What is wanted of a table.
#[derive(Debug, Clone, Default)]
pub struct Wanted<'a> {
    /// Feature columns, each with who needs it.
    pub features: &'a [(String, String)],
    /// The label column.
    pub label: &'a str,
    /// Segment columns.
    pub segment: &'a [String],
    /// The time column.
    pub time: Option<&'a str>,
    /// The column of label delays and the length of its unit in seconds.
    pub delay: Option<(&'a str, f64)>,
}

/// What a table holds, segments still by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// Features, row after row.
    pub values: Vec<f32>,
    /// One label a row.
    pub labels: Vec<f32>,
    /// One segment a row, by place in `segment_names`.
    pub segments: Vec<usize>,
    /// Distinct segments, sorted.
    pub segment_names: Vec<String>,
    /// When each row came, from the first.
    pub at: Vec<Span>,
    /// How long each label took.
    pub label_delay: Vec<Span>,
}

/// Unpacks (by the gzip magic number) and decodes the text of a table.
///
/// # Errors
/// Broken or too large gzip data, or not UTF-8.
pub fn text(file: &str, bytes: &[u8]) -> Result<Source, Box<Diagnostic>> {
    let broken = |message: String| Box::new(Diagnostic::whole(file, message));
    let mut unpacked = Vec::new();
    let plain = if bytes.starts_with(&[0x1f, 0x8b]) {
        let reader = flate2::read::MultiGzDecoder::new(bytes);
        reader
            .take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut unpacked)
            .map_err(|e| broken(format!("broken gzip data: {e}")))?;
        if unpacked.len() as u64 > FILE_BYTES_MAX {
            return Err(broken(format!("larger than {} MiB when unpacked", FILE_BYTES_MAX >> 20)));
        }
        &unpacked
    } else {
        bytes
    };
    let text = std::str::from_utf8(plain)
        .map_err(|e| broken(format!("not a CSV file: byte {} is not UTF-8", e.valid_up_to())))?;
    Ok(Source::new(file, text.strip_prefix('\u{feff}').unwrap_or(text)))
}

/// Reads a table.
///
/// # Errors
/// All missing columns, or the first broken rows.
pub fn read(source: &Source, wanted: &Wanted<'_>) -> Result<Rows, Vec<Diagnostic>> {
    let mut csv = csv::ReaderBuilder::new().flexible(true).from_reader(source.text.as_bytes());
    let header =
        csv.headers().cloned().map_err(|e| vec![Diagnostic::whole(&source.file, format!("not a CSV file: {e}"))])?;
    let columns = Columns::find(source, &header, wanted)?;
    let mut reading = Reading {
        source,
        columns,
        header: &header,
        rows: Rows::default(),
        first: None,
        last: f64::NEG_INFINITY,
        names: BTreeMap::new(),
        broken: Vec::new(),
    };
    let mut record = csv::StringRecord::new();
    loop {
        match csv.read_record(&mut record) {
            Ok(true) => reading.row(&record),
            Ok(false) => break,
            Err(e) => {
                let line = e.position().map_or(0, csv::Position::line) as usize;
                reading.broken.push(source.at_line(line, 1, format!("broken row: {e}")));
                break;
            }
        }
        if reading.broken.len() >= BROKEN_ROWS_MAX {
            break;
        }
    }
    if reading.rows.labels.is_empty() && reading.broken.is_empty() {
        reading.broken.push(source.at_line(1, 1, "the table has no rows"));
    }
    if reading.broken.is_empty() { Ok(reading.finish()) } else { Err(reading.broken) }
}

/// Places of the wanted columns.
struct Columns {
    features: Vec<usize>,
    label: usize,
    segment: Vec<usize>,
    time: Option<usize>,
    delay: Option<(usize, f64)>,
}

impl Columns {
    fn find(source: &Source, header: &csv::StringRecord, wanted: &Wanted<'_>) -> Result<Self, Vec<Diagnostic>> {
        let names: Vec<&str> = header.iter().map(str::trim).collect();
        let mut missing = Vec::new();
        let end = source.text.find(['\r', '\n']).unwrap_or(source.text.len());
        let mut find = |name: &str, who: &str| match names.iter().position(|n| *n == name) {
            Some(place) => place,
            None => {
                let help = did_you_mean(name, &names, "columns");
                missing.push(
                    source
                        .at(0..end, format!("missing column `{name}`, {who}"))
                        .label(format!("no `{name}` here"))
                        .maybe_help(help),
                );
                0
            }
        };
        let found = Self {
            features: wanted.features.iter().map(|(name, who)| find(name, &format!("a feature of {who}"))).collect(),
            label: find(wanted.label, "the label"),
            segment: wanted.segment.iter().map(|name| find(name, "which tells segments apart")).collect(),
            time: wanted.time.map(|name| find(name, "the time of a row")),
            delay: wanted.delay.map(|(name, unit)| (find(name, "the delay of a label"), unit)),
        };
        if missing.is_empty() { Ok(found) } else { Err(missing) }
    }
}

struct Reading<'a> {
    source: &'a Source,
    columns: Columns,
    header: &'a csv::StringRecord,
    rows: Rows,
    first: Option<f64>,
    last: f64,
    names: BTreeMap<Segment, usize>,
    broken: Vec<Diagnostic>,
}

/// A segment's values, numbers in the order of numbers.
type Segment = Vec<(Option<i64>, String)>;

impl Reading<'_> {
    fn row(&mut self, record: &csv::StringRecord) {
        if let Err(broken) = self.try_row(record) {
            self.broken.push(*broken);
        }
    }

    fn try_row(&mut self, record: &csv::StringRecord) -> Result<(), Box<Diagnostic>> {
        if record.len() != self.header.len() {
            let span = self.span(record, None);
            let message = format!("broken row: {} cells, but the header has {}", record.len(), self.header.len());
            return Err(Box::new(self.source.at(span, message).label("this row")));
        }
        for i in 0..self.columns.features.len() {
            let value = self.number(record, self.columns.features[i])?;
            self.rows.values.push(value as f32);
        }
        let label = self.number(record, self.columns.label)?;
        self.rows.labels.push(label as f32);
        if let Some(column) = self.columns.time {
            let seconds = self.seconds(record, column)?;
            let first = *self.first.get_or_insert(seconds);
            self.rows.at.push(Span::from_secs_f64(seconds - first));
        }
        if let Some((column, unit)) = self.columns.delay {
            let delay = self.number(record, column)? * unit;
            if delay.is_nan() || delay < 0.0 {
                return Err(self.wrong(record, column, "is not the delay of a label: it is missing or negative", None));
            }
            self.rows.label_delay.push(Span::from_secs_f64(delay));
        }
        let segment: Segment = self
            .columns
            .segment
            .iter()
            .map(|&c| record.get(c).unwrap_or_default().trim())
            .map(|v| (v.parse().ok(), v.to_owned()))
            .collect();
        let next = self.names.len();
        if next >= SEGMENTS_MAX && !self.names.contains_key(&segment) {
            return Err(self.wrong(
                record,
                self.columns.segment[0],
                &format!("begins a segment beyond {SEGMENTS_MAX}: choose columns with fewer values"),
                None,
            ));
        }
        let place = *self.names.entry(segment).or_insert(next);
        self.rows.segments.push(place);
        Ok(())
    }

    /// A finite number, or NaN for a missing value.
    fn number(&self, record: &csv::StringRecord, column: usize) -> Result<f64, Box<Diagnostic>> {
        let cell = record.get(column).unwrap_or_default().trim();
        if cell.is_empty() || cell.eq_ignore_ascii_case("na") || cell.eq_ignore_ascii_case("nan") {
            return Ok(f64::NAN);
        }
        match cell.parse::<f64>() {
            Ok(number) if (number as f32).is_finite() => Ok(number),
            _ => {
                let help = "missing values are written as nothing, `NA` or `nan`";
                Err(self.wrong(record, column, "is not a number", Some(help)))
            }
        }
    }

    fn seconds(&mut self, record: &csv::StringRecord, column: usize) -> Result<f64, Box<Diagnostic>> {
        let cell = record.get(column).unwrap_or_default().trim();
        let seconds = cell.parse::<f64>().ok().filter(|s| s.is_finite()).or_else(|| timestamp(cell));
        let Some(seconds) = seconds else {
            let help = "times are written as 2013-03-01T05:15, 2013-03-01T05:15:30 or seconds";
            return Err(self.wrong(record, column, "is not a time", Some(help)));
        };
        if seconds < self.last {
            return Err(self.wrong(record, column, "is before the row above: recorded times must be in order", None));
        }
        self.last = seconds;
        Ok(seconds)
    }

    fn wrong(&self, record: &csv::StringRecord, column: usize, what: &str, help: Option<&str>) -> Box<Diagnostic> {
        let name = self.header.get(column).unwrap_or_default();
        let cell = record.get(column).unwrap_or_default();
        let message = format!("broken row: `{cell}` {what}");
        let found = self.source.at(self.span(record, Some(column)), message).label(format!("column `{name}`"));
        Box::new(found.maybe_help(help.map(str::to_owned)))
    }

    /// The bytes of a cell, or of the whole row.
    fn span(&self, record: &csv::StringRecord, column: Option<usize>) -> Range<usize> {
        let text = &self.source.text;
        let mut start = record.position().map_or(0, |p| p.byte() as usize).min(text.len());
        start += text[start..].len() - text[start..].trim_start_matches(['\r', '\n']).len();
        let row = &text[start..];
        let (mut quoted, mut place, mut from) = (false, 0, 0);
        for (i, c) in row.bytes().chain(std::iter::once(b'\n')).enumerate() {
            match c {
                b'"' => quoted = !quoted,
                b',' | b'\n' | b'\r' if !quoted || i == row.len() => {
                    let last = c != b',';
                    if column == Some(place) || (column.is_none() && last) {
                        let from = if column.is_none() { 0 } else { from };
                        return start + from..start + i.min(row.len());
                    }
                    if last {
                        break;
                    }
                    place += 1;
                    from = i + 1;
                }
                _ => {}
            }
        }
        start..start + row.find('\n').unwrap_or(row.len())
    }

    fn finish(mut self) -> Rows {
        // Segments are numbered as they came; give them out in the order of their values.
        let columns: Vec<&str> =
            self.columns.segment.iter().map(|&c| self.header.get(c).unwrap_or_default().trim()).collect();
        let mut order = vec![0; self.names.len()];
        for (sorted, (segment, came)) in self.names.iter().enumerate() {
            order[*came] = sorted;
            let value = |v: &str| if v.is_empty() { "?".to_owned() } else { v.to_owned() };
            let words: Vec<String> =
                columns.iter().zip(segment).map(|(c, (_, v))| format!("{c}={}", value(v))).collect();
            self.rows.segment_names.push(words.join("/"));
        }
        for segment in &mut self.rows.segments {
            *segment = order[*segment];
        }
        self.rows
    }
}

/// Seconds since 1970 of `YYYY-MM-DDTHH:MM[:SS]` (a blank may stand for the T).
fn timestamp(text: &str) -> Option<f64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let numbers = |text: &str, by: char| {
        text.split(by).map(|n| n.parse::<u16>().ok().map(i64::from)).collect::<Option<Vec<i64>>>()
    };
    let (date, time) = (numbers(date, '-')?, numbers(time.trim_end_matches('Z'), ':')?);
    let (&[year, month, day], (&[hour, minute], second)) = (
        date.as_slice(),
        match time.as_slice() {
            [h, m] => (&[*h, *m], 0),
            [h, m, s] => (&[*h, *m], *s),
            _ => return None,
        },
    ) else {
        return None;
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days from civil, after Howard Hinnant's public-domain algorithm.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    Some((days * 86_400 + hour * 3_600 + minute * 60 + second) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_count_seconds_across_leap_days() {
        assert_eq!(timestamp("1970-01-02T00:00"), Some(86_400.0));
        assert_eq!(timestamp("2013-03-01T05:15:30"), Some(1_362_114_930.0));
        assert_eq!(
            timestamp("2000-03-01T00:00").zip(timestamp("2000-02-28T00:00")).map(|(a, b)| a - b),
            Some(172_800.0)
        );
        assert_eq!(timestamp("2013-13-01T00:00"), None);
    }

    #[test]
    fn rows_missing_values_and_segments_are_read() {
        let features = [("b".to_owned(), "v1".to_owned()), ("a".to_owned(), "v1".to_owned())];
        let segment = ["s".to_owned()];
        let wanted =
            Wanted { features: &features, label: "y", segment: &segment, time: Some("t"), delay: Some(("d", 60.0)) };
        let rows = read(&Source::new("x.csv", "a,b,y,s,t,d\n1,2,1,10,5,1\n3,NA,0,9,7.5,2\n"), &wanted).unwrap();
        assert_eq!(rows.values[..2], [2.0, 1.0]);
        assert!(rows.values[2].is_nan());
        assert_eq!(rows.segment_names, ["s=9", "s=10"]);
        assert_eq!(rows.segments, [1, 0]);
        assert_eq!(rows.at, [Span::ZERO, Span::millis(2500)]);
        assert_eq!(rows.label_delay, [Span::secs(60), Span::secs(120)]);
    }
}
