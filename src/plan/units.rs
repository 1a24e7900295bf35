//! Owns the units people write: durations, rates, sizes, shares and bounds, each a newtype with its own JSON Schema.
//!
//! Each `parse_*` function says in its error what is wrong and what to write instead; the schema check and serde use the
//! same functions, so that an editor, `check` and `run` agree.

use crate::time::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// How to write a duration.
pub const DURATION_HELP: &str =
    "a duration is a number with a unit (ns, us, ms, s, m, h, d), like \"250ms\", \"90s\" or \"1h30m\"";
/// How to write a rate.
pub const RATE_HELP: &str = "a rate is a number per unit of time, like \"200/s\", \"12/min\" or \"1000/h\"";
/// How to write a size.
pub const SIZE_HELP: &str =
    "a size is a number with a unit (B, kB, MB, GB, KiB, MiB, GiB), like \"200MiB\" or \"1.5GB\"";
/// How to write a share.
pub const SHARE_HELP: &str = "a share or a chance is a number from 0 to 1, like 0.05 for 5 %";
/// How to write a bound.
pub const BOUND_HELP: &str =
    "a bound is a comparison and a value, like \"<= 4m\", \">= 0.95\" or \"> 0\"; a bare value is the limit";

/// Why a text is not what it should be, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError {
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub help: String,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message, self.help)
    }
}

fn wrong(message: String, help: impl Into<String>) -> UnitError {
    UnitError { message, help: help.into() }
}

/// The length of a unit in nanoseconds.
fn unit_ns(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    })
}

/// The unit that somebody who wrote `unit` has in mind.
fn unit_meant(unit: &str) -> Option<&'static str> {
    Some(match unit.to_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => "s",
        "mins" | "minute" | "minutes" => "m",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "usec" | "micros" | "microsecond" | "microseconds" => "us",
        "nanos" | "nanosecond" | "nanoseconds" => "ns",
        _ => return None,
    })
}

/// So many nanoseconds (or bytes) as `number` units are, exact (what is below one is cut); `None` if it does not fit.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // 15 decimals of the longest unit are below a nanosecond (or byte), and fit.
    let (mut digits, mut power) = (0u128, 1u128);
    for digit in fraction.bytes().take(15) {
        digits = digits * 10 + u128::from(digit - b'0');
        power *= 10;
    }
    let ns = u128::from(whole) * u128::from(unit) + digits * u128::from(unit) / power;
    u64::try_from(ns).ok()
}

/// Reads a duration.
///
/// # Errors
/// Not a number, no unit, an unknown unit, negative, or longer than 2^64 ns (584 years).
pub fn parse_duration(text: &str) -> Result<Span, UnitError> {
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(wrong(format!("negative duration `{text}`"), DURATION_HELP));
    }
    let too_long = || {
        wrong(format!("the duration `{text}` does not fit"), "at most 584 years can be counted in 64-bit nanoseconds")
    };
    let mut rest = trimmed;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let length = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(length);
        let unit = unit.trim();
        if number.is_empty() || number == "." || number.matches('.').count() > 1 {
            return Err(wrong(format!("`{text}` is not a duration"), DURATION_HELP));
        }
        if unit.is_empty() {
            return Err(wrong(
                format!("the duration `{text}` has no unit"),
                format!("write \"{number}s\" or \"{number}ms\"; {DURATION_HELP}"),
            ));
        }
        let Some(ns) = unit_ns(unit) else {
            let help = match unit_meant(unit) {
                Some(meant) => format!("write \"{number}{meant}\"; {DURATION_HELP}"),
                None => DURATION_HELP.to_owned(),
            };
            return Err(wrong(format!("wrong unit `{unit}` in the duration `{text}`"), help));
        };
        total = scale(number, ns).and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
        rest = next.trim_start();
    }
    if trimmed.is_empty() {
        return Err(wrong("empty duration".to_owned(), DURATION_HELP));
    }
    Ok(Span(total))
}

/// Reads a duration that is not zero.
///
/// # Errors
/// As [`parse_duration`], or zero.
pub fn parse_positive_duration(text: &str) -> Result<Span, UnitError> {
    match parse_duration(text)? {
        Span::ZERO => Err(wrong("zero duration".to_owned(), "it must be longer than zero here")),
        span => Ok(span),
    }
}

/// Reads a rate, in events a second.
///
/// # Errors
/// Not a number per unit, negative, zero or not finite.
pub fn parse_rate(text: &str) -> Result<f64, UnitError> {
    let Some((number, unit)) = text.split_once('/') else {
        return Err(wrong(format!("`{text}` is not a rate"), RATE_HELP));
    };
    let Ok(number) = number.trim().parse::<f64>() else {
        return Err(wrong(format!("`{text}` is not a rate"), RATE_HELP));
    };
    let unit = unit.trim();
    let Some(ns) = unit_ns(unit) else {
        return Err(wrong(format!("wrong unit `{unit}` in the rate `{text}`"), RATE_HELP));
    };
    let rate = number / (ns as f64 / 1e9);
    if number < 0.0 {
        Err(wrong(format!("negative rate `{text}`"), RATE_HELP))
    } else if rate == 0.0 || !rate.is_finite() {
        Err(wrong(format!("the rate `{text}` is not above zero and finite"), "leave the traffic out instead"))
    } else if rate > 1e7 {
        Err(wrong(
            format!("the rate `{text}` is above 10 million a second"),
            "smaller fleets at smaller rates tell the same",
        ))
    } else {
        Ok(rate)
    }
}

/// The bytes in a unit of size: thousands in kB, 1024s in KiB.
fn unit_bytes(unit: &str) -> Option<u64> {
    Some(match unit {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    })
}

/// The unit of size that somebody who wrote `unit` has in mind.
fn size_meant(unit: &str) -> Option<&'static str> {
    let unit = unit.to_lowercase();
    Some(match unit.as_str() {
        "byte" | "bytes" => "B",
        "k" | "ki" => "KiB",
        "m" | "mi" | "mbytes" | "megabytes" => "MiB",
        "g" | "gi" | "gbytes" | "gigabytes" => "GiB",
        _ => return ["B", "kB", "MB", "GB", "KiB", "MiB", "GiB"].into_iter().find(|u| u.to_lowercase() == unit),
    })
}

/// Reads a size, in bytes.
///
/// # Errors
/// Not a number, no unit, an unknown unit, negative, or more than 2^64 bytes.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(wrong(format!("negative size `{text}`"), SIZE_HELP));
    }
    let (number, unit) =
        trimmed.split_at(trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len()));
    let unit = unit.trim();
    if number.is_empty() || number == "." || number.matches('.').count() > 1 {
        return Err(wrong(format!("`{text}` is not a size"), SIZE_HELP));
    }
    if unit.is_empty() {
        let help = format!("write \"{number}MiB\" or \"{number}B\"; {SIZE_HELP}");
        return Err(wrong(format!("the size `{text}` has no unit"), help));
    }
    let Some(bytes) = unit_bytes(unit) else {
        let help = match size_meant(unit) {
            Some(meant) => format!("write \"{number}{meant}\"; {SIZE_HELP}"),
            None => SIZE_HELP.to_owned(),
        };
        return Err(wrong(format!("wrong unit `{unit}` in the size `{text}`"), help));
    };
    scale(number, bytes)
        .ok_or_else(|| wrong(format!("the size `{text}` does not fit"), "at most 2^64 bytes can be counted"))
}

/// A size as it would be written: the largest unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    let units = ["GiB", "MiB", "KiB", "GB", "MB", "kB"];
    let fits = |unit: &str| unit_bytes(unit).filter(|&n| bytes >= n && bytes.is_multiple_of(n));
    match units.into_iter().find_map(|unit| Some((unit, fits(unit)?))) {
        Some((unit, n)) => format!("{}{unit}", bytes / n),
        None => format!("{bytes}B"),
    }
}

macro_rules! text_unit {
    ($(#[$doc:meta])* $name:ident($inner:ty), $parse:path, $format:literal, $example:literal, $show:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $name(pub $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                $parse(&text).map(Self).map_err(de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                let show: fn($inner) -> String = $show;
                s.serialize_str(&show(self.0))
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "examples": [$example] })
            }
        }
    };
}

text_unit! {
    /// A length of time, zero included.
    Duration(Span), parse_duration, "duration", "1h30m", show_duration
}
text_unit! {
    /// A length of time above zero.
    PositiveDuration(Span), parse_positive_duration, "positive-duration", "60s", show_duration
}
text_unit! {
    /// Events a second, above zero.
    Rate(f64), parse_rate, "rate", "200/s", |rate| format!("{rate}/s")
}

text_unit! {
    /// So many bytes.
    Size(u64), parse_size, "size", "200MiB", show_size
}

/// A duration as it would be written: the largest unit that divides it.
fn show_duration(span: Span) -> String {
    let units = ["d", "h", "m", "s", "ms", "us"];
    let fits = units
        .into_iter()
        .filter_map(|u| Some((u, unit_ns(u)?)))
        .find(|&(_, ns)| span.0 >= ns && span.0.is_multiple_of(ns));
    match fits {
        Some((unit, ns)) => format!("{}{unit}", span.0 / ns),
        None if span.0 == 0 => "0s".to_owned(),
        None => format!("{}ns", span.0),
    }
}

/// A share in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize, Serialize)]
#[serde(transparent)]
pub struct Share(pub f64);

impl JsonSchema for Share {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

/// A limit on a measure, as text: a comparison and a value, or a bare value.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound(pub String);

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct TextOrNumber;
        impl Visitor<'_> for TextOrNumber {
            type Value = Bound;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(BOUND_HELP)
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Bound, E> {
                Ok(Bound(v.to_owned()))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Bound, E> {
                Ok(Bound(v.to_string()))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Bound, E> {
                Ok(Bound(v.to_string()))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Bound, E> {
                Ok(Bound(v.to_string()))
            }
        }
        d.deserialize_any(TextOrNumber)
    }
}

impl JsonSchema for Bound {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Bound".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"], "format": "bound", "examples": ["<= 4m", 0] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_and_add_up() {
        let ns = |text: &str| parse_duration(text).map(|s| s.0);
        assert_eq!(ns("250ms"), Ok(250_000_000));
        assert_eq!(ns("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(ns("2.5s"), Ok(2_500_000_000));
        assert_eq!(ns("1.05s"), Ok(1_050_000_000));
        assert_eq!(ns("0s"), Ok(0));
        assert_eq!(ns("18446744073709551615ns"), Ok(u64::MAX));
    }

    #[test]
    fn wrong_durations_say_what_to_write() {
        let says = |text: &str| parse_duration(text).map_err(|e| e.to_string()).unwrap_err();
        assert!(says("18446744073709551616ns").contains("does not fit"));
        assert!(says("5 minutes").contains("write \"5m\""));
        assert!(says("40").contains("no unit"));
        assert!(says("-5s").contains("negative"));
        assert!(says("fast").contains("not a duration"));
        assert!(says("1..2s").contains("not a duration"));
        assert!(says("").contains("empty"));
        assert!(parse_positive_duration("0ms").is_err());
    }

    #[test]
    fn sizes_are_exact_and_come_back_as_written() {
        assert_eq!(parse_size("200MiB"), Ok(200 << 20));
        assert_eq!(parse_size(" 1.5 GB "), Ok(1_500_000_000));
        assert_eq!(parse_size("0B"), Ok(0));
        assert_eq!(parse_size("18446744073709551615B"), Ok(u64::MAX));
        for text in ["1GiB", "200MiB", "3KiB", "5GB", "7MB", "9kB", "1023B", "0B"] {
            assert_eq!(parse_size(text).map(show_size).as_deref(), Ok(text));
        }
    }

    #[test]
    fn wrong_sizes_say_what_to_write() {
        let says = |text: &str| parse_size(text).map_err(|e| e.to_string()).unwrap_err();
        assert!(says("18446744073709551616B").contains("does not fit"));
        assert!(says("17179869184GiB").contains("does not fit"));
        assert!(says("200mib").contains("write \"200MiB\""));
        assert!(says("200Mi").contains("write \"200MiB\""));
        assert!(says("40").contains("no unit"));
        assert!(says("-5MB").contains("negative"));
        assert!(says("1MB2").contains("wrong unit `MB2`"));
        for text in ["", "MiB", ".MB", "1..2MB", "big"] {
            assert!(says(text).contains("not a size"), "{text}");
        }
    }

    #[test]
    fn rates_are_per_second() {
        assert_eq!(parse_rate("200/s"), Ok(200.0));
        assert_eq!(parse_rate("12/min"), Ok(0.2));
        assert!(parse_rate("-5/s").unwrap_err().message.contains("negative"));
        assert!(parse_rate("0/s").is_err());
        assert!(parse_rate("5").is_err());
        assert!(parse_rate("nan/s").is_err());
    }
}
