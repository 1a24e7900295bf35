//! Owns TOML documents with the place of every key and value, found again by path.

use crate::plan::diagnostic::{Diagnostic, Source, did_you_mean};
use serde_json::{Map, Number, Value};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The bytes of the value.
    pub span: Range<usize>,
    /// The value.
    pub value: NodeValue,
}

/// What a document can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A finite number with a fraction or an exponent.
    Float(f64),
    /// A number that fits no type here, or nan or inf.
    BadNumber(String),
    /// Text.
    Text(String),
    /// A date or time, which no setting takes.
    Datetime,
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order they stand.
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The bytes of the key.
    pub span: Range<usize>,
    /// The value.
    pub node: Node,
}

/// A parsed file.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its name and text.
    pub source: Source,
    /// Its content.
    pub root: Node,
}

impl Document {
    /// Parses TOML.
    ///
    /// # Errors
    /// All syntax errors of the text.
    pub fn parse(source: Source) -> Result<Self, Vec<Diagnostic>> {
        let text = source.text.clone();
        let (table, errors) = DeTable::parse_recoverable(&text);
        if !errors.is_empty() {
            let end = text.len();
            let show = |e: &toml::de::Error| {
                let message = e.message().trim();
                let help = message.contains("duplicate key").then(|| "each key stands once in its table".to_owned());
                source.at(e.span().unwrap_or(end..end), message).label("not TOML").maybe_help(help)
            };
            return Err(errors.iter().map(show).collect());
        }
        let root = Node { span: table.span(), value: table_node(table.get_ref()) };
        Ok(Self { source, root })
    }

    /// The value at a path; list items are named by their index.
    #[must_use]
    pub fn find(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(&self.root, |node, step| node.get(step))
    }

    /// The text at a path, if it is text.
    #[must_use]
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        match &self.find(path)?.value {
            NodeValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of the value at a path, or of the nearest thing around it that exists.
    #[must_use]
    pub fn span(&self, path: &[&str]) -> Range<usize> {
        let mut path = path;
        loop {
            if let Some(node) = self.find(path) {
                return node.span.clone();
            }
            match path.split_last() {
                Some((_, shorter)) => path = shorter,
                None => return 0..0,
            }
        }
    }

    /// The bytes of the key at a path, or of the value where there is no key (list items).
    #[must_use]
    pub fn key_span(&self, path: &[&str]) -> Range<usize> {
        let entry = path.split_last().and_then(|(last, parent)| match &self.find(parent)?.value {
            NodeValue::Table(entries) => entries.iter().find(|e| e.key == **last).map(|e| e.span.clone()),
            _ => None,
        });
        entry.unwrap_or_else(|| self.span(path))
    }

    /// The bytes of `part` of the text value at a path, if it stands there as it is (without escapes).
    #[must_use]
    pub fn span_within(&self, path: &[&str], part: Range<usize>) -> Range<usize> {
        let span = self.span(path);
        let inside = self.text_at(path).and_then(|text| {
            let raw = self.source.text.get(span.clone())?;
            let at = span.start + raw.find(text)?;
            Some(at + part.start..at + part.end.max(part.start))
        });
        inside.unwrap_or(span)
    }

    /// A mistake in the value at a path.
    #[must_use]
    pub fn wrong(&self, path: &[&str], message: impl Into<String>) -> Diagnostic {
        self.source.at(self.span(path), message)
    }

    /// A mistake in the key at a path.
    #[must_use]
    pub fn wrong_key(&self, path: &[&str], message: impl Into<String>) -> Diagnostic {
        self.source.at(self.key_span(path), message)
    }

    /// The content without places.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.root.to_json()
    }
}

impl Node {
    /// The value under a key, or a list item by its index.
    #[must_use]
    pub fn get(&self, step: &str) -> Option<&Self> {
        match &self.value {
            NodeValue::Table(entries) => entries.iter().find(|e| e.key == step).map(|e| &e.node),
            NodeValue::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// The value as a person would call it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.value {
            NodeValue::Bool(_) => "true or false",
            NodeValue::Integer(_) => "a whole number",
            NodeValue::Float(_) | NodeValue::BadNumber(_) => "a number",
            NodeValue::Text(_) => "a text",
            NodeValue::Datetime => "a date",
            NodeValue::List(_) => "a list",
            NodeValue::Table(_) => "a table",
        }
    }

    fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Bool(b) => Value::Bool(*b),
            NodeValue::Integer(i) => Value::Number((*i).into()),
            NodeValue::Float(f) => Number::from_f64(*f).map_or(Value::Null, Value::Number),
            NodeValue::Text(t) => Value::String(t.clone()),
            NodeValue::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            NodeValue::Table(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect::<Map<_, _>>())
            }
            NodeValue::BadNumber(_) | NodeValue::Datetime => Value::Null,
        }
    }
}

fn table_node(table: &DeTable<'_>) -> NodeValue {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            span: key.span(),
            node: Node { span: value.span(), value: node_value(value.get_ref()) },
        })
        .collect();
    entries.sort_by_key(|e| e.span.start);
    NodeValue::Table(entries)
}

fn node_value(value: &DeValue<'_>) -> NodeValue {
    match value {
        DeValue::String(text) => NodeValue::Text(text.to_string()),
        DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
            Ok(number) => NodeValue::Integer(number),
            Err(_) => NodeValue::BadNumber(i.to_string()),
        },
        DeValue::Float(f) => match f.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => NodeValue::Float(number),
            _ => NodeValue::BadNumber(f.to_string()),
        },
        DeValue::Boolean(b) => NodeValue::Bool(*b),
        DeValue::Datetime(_) => NodeValue::Datetime,
        DeValue::Array(items) => NodeValue::List(
            items.iter().map(|item| Node { span: item.span(), value: node_value(item.get_ref()) }).collect(),
        ),
        DeValue::Table(table) => table_node(table),
    }
}

/// A place in a document, to walk typed values and point into their text at the same time.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    document: &'a Document,
    path: Vec<String>,
}

impl<'a> Place<'a> {
    /// The whole document.
    #[must_use]
    pub const fn root(document: &'a Document) -> Self {
        Self { document, path: Vec::new() }
    }

    /// What stands under a key or index.
    #[must_use]
    pub fn at(&self, step: impl ToString) -> Self {
        let mut path = self.path.clone();
        path.push(step.to_string());
        Self { document: self.document, path }
    }

    /// Whether something is written here.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.document.find(&self.steps()).is_some()
    }

    fn steps(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// A mistake in the value here, or around it where there is none.
    #[must_use]
    pub fn wrong(&self, message: impl Into<String>) -> Diagnostic {
        self.document.wrong(&self.steps(), message)
    }

    /// A mistake in the key here.
    #[must_use]
    pub fn wrong_key(&self, message: impl Into<String>) -> Diagnostic {
        self.document.wrong_key(&self.steps(), message)
    }

    /// A mistake in a part of the text here.
    #[must_use]
    pub fn wrong_part(&self, part: Range<usize>, message: impl Into<String>) -> Diagnostic {
        self.document.source.at(self.document.span_within(&self.steps(), part), message)
    }

    /// The index of `name` among `names`; a name that is not there is noted with what there is.
    pub fn lookup(&self, name: &str, names: &[&str], noun: (&str, &str), found: &mut Vec<Diagnostic>) -> Option<usize> {
        let index = names.iter().position(|n| *n == name);
        if index.is_none() {
            let help = did_you_mean(name, names, noun.1);
            found.push(
                self.wrong(format!("unknown {} `{name}`", noun.0))
                    .label(format!("no such {}", noun.0))
                    .maybe_help(help),
            );
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_values_and_parts_of_texts_are_found_by_path() {
        let text = "a = 1\n[[fault]]\nat = \"6m\"\nwhen = 'p < x.y'\n";
        let doc = Document::parse(Source::new("t", text)).unwrap();
        let cut = |span: Range<usize>| &text[span];
        assert_eq!(cut(doc.span(&["fault", "0", "at"])), "\"6m\"");
        assert_eq!(cut(doc.key_span(&["fault", "0", "at"])), "at");
        assert_eq!(cut(doc.span_within(&["fault", "0", "when"], 4..7)), "x.y");
        assert_eq!(doc.span(&["nothing", "here"]), doc.root.span);
    }

    #[test]
    fn all_syntax_errors_come_at_once() {
        let errors = Document::parse(Source::new("t", "a = \nb = [1\nc = 1\n= 2\n")).unwrap_err();
        assert!(errors.len() > 1, "{errors:?}");
    }
}
