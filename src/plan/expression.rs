//! Owns the language of rules: `OPERAND OP OPERAND`, where an operand is a number, or a signal's field times a number plus a
//! number.
//!
//! ```text
//! rule    = operand ( "<" | "<=" | ">" | ">=" ) operand
//! operand = number | [ number "*" ] [ "baseline." ] SIGNAL "." FIELD [ "*" number ] [ ( "+" | "-" ) number ]
//! ```
//! A dash that touches letters on both sides belongs to a signal's name; subtraction stands between blanks.

use crate::control::config::{Comparison, Condition, Field, Operand};
use crate::detect::config::SignalConfig;
use crate::id::SignalId;
use crate::plan::diagnostic::did_you_mean;
use std::ops::Range;

/// What is wrong with a rule's text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError {
    /// The bytes of the text that are wrong.
    pub at: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// The shape of a rule.
pub const HELP: &str =
    "a rule compares two operands with <, <=, > or >=, like \"latency.value > 1.3 * baseline.latency.value\"";

/// Reads a rule against the signals there are.
///
/// # Errors
/// The first syntax error, or all names that do not exist.
pub fn parse(text: &str, signals: &[SignalConfig]) -> Result<Condition, Vec<ExpressionError>> {
    let tokens = tokens(text).map_err(|e| vec![e])?;
    let mut parser = Parser { tokens: &tokens, next: 0, end: text.len(), signals, unknown: Vec::new() };
    let condition = parser.condition().map_err(|e| vec![e])?;
    if parser.unknown.is_empty() { Ok(condition) } else { Err(parser.unknown) }
}

#[derive(Debug, Clone, PartialEq)]
enum Token<'a> {
    Number(f64),
    Name(&'a str),
    Compare(Comparison),
    Times,
    Plus,
    Minus,
}

type Spanned<'a> = (Token<'a>, Range<usize>);

fn error(at: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> ExpressionError {
    ExpressionError { at, message: message.into(), help: Some(help.into()) }
}

fn tokens(text: &str) -> Result<Vec<Spanned<'_>>, ExpressionError> {
    let bytes = text.as_bytes();
    let is_name = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'.';
    let mut out = Vec::new();
    let mut i = 0;
    while let Some(&c) = bytes.get(i) {
        let start = i;
        let followed = |by: u8| bytes.get(start + 1) == Some(&by);
        i += 1;
        let token = match c {
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b'*' => Token::Times,
            b'+' => Token::Plus,
            b'-' => Token::Minus,
            b'<' | b'>' => {
                let or_equal = followed(b'=');
                i += usize::from(or_equal);
                Token::Compare(match (c, or_equal) {
                    (b'<', false) => Comparison::Less,
                    (b'<', true) => Comparison::LessEqual,
                    (_, false) => Comparison::Greater,
                    (_, true) => Comparison::GreaterEqual,
                })
            }
            b'=' | b'!' => {
                i += usize::from(followed(b'='));
                let written = &text[start..i];
                return Err(error(
                    start..i,
                    format!("`{written}` is not a comparison of rules"),
                    "write <, <=, > or >=: measured values are hardly ever equal",
                ));
            }
            b'0'..=b'9' | b'.' => {
                while bytes.get(i).is_some_and(|&c| {
                    c.is_ascii_alphanumeric()
                        || c == b'.'
                        || (matches!(c, b'+' | b'-') && matches!(bytes[i - 1], b'e' | b'E'))
                }) {
                    i += 1;
                }
                match text[start..i].parse::<f64>() {
                    Ok(number) if number.is_finite() => Token::Number(number),
                    _ => {
                        return Err(error(
                            start..i,
                            format!("`{}` is not a number", &text[start..i]),
                            "numbers are plain, like 0.001, 1e-3 or 25; times are in seconds",
                        ));
                    }
                }
            }
            c if is_name(c) => {
                while bytes.get(i).is_some_and(|&c| {
                    is_name(c) || (c == b'-' && bytes.get(i + 1).is_some_and(|&n| n.is_ascii_alphanumeric()))
                }) {
                    i += 1;
                }
                Token::Name(&text[start..i])
            }
            _ => {
                let length = text[start..].chars().next().map_or(1, char::len_utf8);
                let written = &text[start..start + length];
                return Err(error(start..start + length, format!("unexpected `{written}` in a rule"), HELP));
            }
        };
        out.push((token, start..i));
    }
    Ok(out)
}

struct Parser<'a> {
    tokens: &'a [Spanned<'a>],
    next: usize,
    end: usize,
    signals: &'a [SignalConfig],
    unknown: Vec<ExpressionError>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token<'a>> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    /// The bytes of the next token, or the end of the text.
    fn here(&self) -> Range<usize> {
        self.tokens.get(self.next).map_or(self.end..self.end, |(_, span)| span.clone())
    }

    fn take(&mut self, token: &Token<'_>) -> bool {
        let taken = self.peek() == Some(token);
        self.next += usize::from(taken);
        taken
    }

    fn condition(&mut self) -> Result<Condition, ExpressionError> {
        let left = self.operand()?;
        let Some(&Token::Compare(op)) = self.peek() else {
            return Err(error(self.here(), "expected a comparison here", HELP));
        };
        self.next += 1;
        let right = self.operand()?;
        if self.next < self.tokens.len() {
            return Err(error(
                self.here(),
                "the rule should end here",
                "one rule has one comparison; write two rules instead",
            ));
        }
        if left.value.is_none() && right.value.is_none() && self.unknown.is_empty() {
            return Err(error(0..self.end, "the rule compares two numbers", HELP));
        }
        Ok(Condition { left, op, right })
    }

    fn number(&mut self) -> Result<f64, ExpressionError> {
        let sign = if self.take(&Token::Minus) { -1.0 } else { 1.0 };
        let Some(&Token::Number(number)) = self.peek() else {
            return Err(error(self.here(), "expected a number here", HELP));
        };
        self.next += 1;
        Ok(sign * number)
    }

    fn operand(&mut self) -> Result<Operand, ExpressionError> {
        let mut operand = Operand { factor: 1.0, value: None, offset: 0.0 };
        if matches!(self.peek(), Some(Token::Number(_) | Token::Minus)) {
            let number = self.number()?;
            if !self.take(&Token::Times) {
                operand.offset = number;
                return Ok(operand);
            }
            operand.factor = number;
        }
        let Some(&Token::Name(name)) = self.peek() else {
            return Err(error(self.here(), "expected a number or SIGNAL.FIELD here", HELP));
        };
        let at = self.here();
        self.next += 1;
        operand.value = self.field(name, at);
        if self.take(&Token::Times) {
            operand.factor *= self.number()?;
        }
        if self.take(&Token::Plus) {
            operand.offset = self.number()?;
        } else if self.take(&Token::Minus) {
            operand.offset = -self.number()?;
        }
        Ok(operand)
    }

    /// Resolves `[baseline.]SIGNAL.FIELD`; what does not exist is noted, so that all of it is reported.
    fn field(&mut self, name: &str, at: Range<usize>) -> Option<Field> {
        let (baseline, path) = match name.strip_prefix("baseline.") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let start = at.end - path.len();
        let names: Vec<&str> = self.signals.iter().map(|s| s.name.as_str()).collect();
        let Some((signal, field)) = path.split_once('.') else {
            let found = self.signals.iter().find(|s| s.name == path);
            let (message, help) = match found {
                Some(s) => (format!("`{path}` needs a field"), did_you_mean("", s.kind.fields(), "its fields")),
                None => (format!("unknown signal `{path}`"), did_you_mean(path, &names, "signals of this policy")),
            };
            self.unknown.push(ExpressionError { at: start..at.end, message, help });
            return None;
        };
        let Some((index, found)) = self.signals.iter().enumerate().find(|(_, s)| s.name == signal) else {
            let help = did_you_mean(signal, &names, "signals of this policy");
            let message = format!("unknown signal `{signal}`");
            self.unknown.push(ExpressionError { at: start..start + signal.len(), message, help });
            return None;
        };
        let fields = found.kind.fields();
        let Some(place) = fields.iter().position(|f| *f == field) else {
            let help = did_you_mean(field, fields, "its fields");
            let message = format!("the signal `{signal}` has no field `{field}`");
            self.unknown.push(ExpressionError { at: start + signal.len() + 1..at.end, message, help });
            return None;
        };
        if baseline && found.kind.compares() {
            let message = format!("`{signal}` compares with the baseline itself");
            self.unknown.push(error(at, message, format!("write `{signal}.{field}` without `baseline.`")));
            return None;
        }
        Some(Field { signal: SignalId(u16::try_from(index).ok()?), field: place, baseline })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::config::{Columns, Level, Reference, SignalKind};
    use crate::detect::two_sample::{Ks, Test};
    use crate::time::Span;

    fn signals() -> Vec<SignalConfig> {
        let window = Span::secs(60);
        let reference = Reference::Baseline;
        let ks = SignalKind::comparison(Columns::Score, window, reference, 50, Test::Ks(Ks::default()));
        vec![
            SignalConfig::new(
                "latency",
                SignalKind::LatencyQuantile { quantile: 0.99, window, level: Level::each(0.95) },
            ),
            SignalConfig::new("score-drift", ks),
        ]
    }

    fn wrong(text: &str) -> (Range<usize>, String) {
        let e = parse(text, &signals()).unwrap_err().remove(0);
        (e.at, e.message + " / " + &e.help.unwrap_or_default())
    }

    #[test]
    fn operands_scale_and_shift_fields() {
        let field = |signal, field, baseline| Some(Field { signal: SignalId(signal), field, baseline });
        let c = parse("latency.value >= 1.3 * baseline.latency.value + 0.01", &signals()).unwrap();
        assert_eq!(c.left, Operand { factor: 1.0, value: field(0, 0, false), offset: 0.0 });
        assert_eq!(c.right, Operand { factor: 1.3, value: field(0, 0, true), offset: 0.01 });
        assert_eq!(c.op, Comparison::GreaterEqual);
        let c = parse("score-drift.p * 2 - 1e-3<-0.5", &signals()).unwrap();
        assert_eq!(c.left, Operand { factor: 2.0, value: field(1, 1, false), offset: -0.001 });
        assert_eq!(c.right, Operand { factor: 1.0, value: None, offset: -0.5 });
    }

    #[test]
    fn mistakes_point_at_their_place() {
        assert_eq!(wrong("latncy.value > 1").0, 0..6);
        assert!(wrong("latncy.value > 1").1.contains("did you mean `latency`"));
        assert_eq!(wrong("1 < latency.valeu").0, 12..17);
        assert!(wrong("score-drift.p == 0").1.contains("not a comparison"));
        assert!(wrong("baseline.score-drift.p < 1").1.contains("without `baseline.`"));
        assert!(wrong("1 < 2").1.contains("two numbers"));
        assert_eq!(wrong("latency.value >").0, 15..15);
        assert!(wrong("latency.value > 60ms").1.contains("seconds"));
        assert!(wrong("latency > 1").1.contains("needs a field"));
        assert!(wrong("latency.value > µ").1.contains("unexpected `µ`"));
    }
}
