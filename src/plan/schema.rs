//! Owns the check of a document against its JSON Schema: the one that editors get is the one that `check` applies.
//!
//! It understands the part of JSON Schema that the wire types use: `$ref`, `oneOf`/`anyOf` told apart by type or by a
//! constant key, `type`, `properties`, `required`, `additionalProperties`, `items`, `enum`, `const`, ranges, lengths, and
//! the formats of [`units`].

use crate::plan::diagnostic::{Diagnostic, did_you_mean};
use crate::plan::document::{Document, Entry, Node, NodeValue};
use crate::plan::units;
use schemars::JsonSchema;
use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// The JSON Schema of a wire type.
#[must_use]
pub fn of<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    unlink(&mut schema);
    schema
}

/// Turns links of the source code's documentation into words of a policy file: `[`super::MannWhitney`]` is `mann-whitney`.
fn unlink(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if key == "description" => *text = plain(text),
                    value => unlink(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(unlink),
        _ => {}
    }
}

fn plain(text: &str) -> String {
    let mut parts = text.split("[`");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (link, rest) = part.split_once("`]").unwrap_or((part, ""));
        let name = link.rsplit("::").next().unwrap_or(link);
        out.push('`');
        for (i, c) in name.trim_end_matches("Config").chars().enumerate() {
            if c.is_uppercase() && i > 0 {
                out.push('-');
            }
            out.extend(c.to_lowercase());
        }
        out.push('`');
        out.push_str(rest);
    }
    out
}

/// All ways in which the document is not of its schema.
#[must_use]
pub fn check(document: &Document, schema: &Value) -> Vec<Diagnostic> {
    let mut check = Check { document, schema, found: Vec::new() };
    check.node(&document.root, schema, "the file");
    check.found
}

struct Check<'a> {
    document: &'a Document,
    schema: &'a Value,
    found: Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    fn at(&self, node: &Node, message: impl Into<String>) -> Diagnostic {
        self.document.source.at(node.span.clone(), message)
    }

    /// The alternatives behind references and unions, `null` left out (TOML has none).
    fn alternatives(&self, schema: &'a Value, depth: usize) -> Vec<&'a Object> {
        let Some(object) = schema.as_object() else { return Vec::new() };
        // Deeper nesting than any wire type has would be a loop of references.
        if depth > 16 {
            return Vec::new();
        }
        if let Some(Value::String(path)) = object.get("$ref") {
            let target = path.strip_prefix('#').and_then(|p| self.schema.pointer(p));
            return target.map_or(Vec::new(), |t| self.alternatives(t, depth + 1));
        }
        if let Some(Value::Array(many)) = object.get("oneOf").or_else(|| object.get("anyOf")) {
            return many.iter().flat_map(|one| self.alternatives(one, depth + 1)).collect();
        }
        if types(object) == ["null"] { Vec::new() } else { vec![object] }
    }

    /// Checks one value; `name` is what the value is called in messages.
    fn node(&mut self, node: &Node, schema: &'a Value, name: &str) {
        let all = self.alternatives(schema, 0);
        if let NodeValue::BadNumber(text) = &node.value {
            return self.report(self.at(node, format!("`{text}` is not a finite number that fits")).label("here"));
        }
        let fitting: Vec<&Object> = all.iter().copied().filter(|s| fits(node, s)).collect();
        let Some(&first) = fitting.first() else {
            if !all.is_empty() {
                self.wrong_type(node, &all, name);
            }
            return;
        };
        match &node.value {
            NodeValue::Text(text) => self.text(node, text, &fitting, name),
            NodeValue::Integer(i) => self.number(node, *i as f64, first, name),
            NodeValue::Float(f) => self.number(node, *f, first, name),
            NodeValue::List(items) => self.list(node, items, first, name),
            NodeValue::Table(entries) => self.table(node, entries, &fitting, name),
            NodeValue::Bool(_) | NodeValue::BadNumber(_) | NodeValue::Datetime => {}
        }
    }

    fn wrong_type(&mut self, node: &Node, all: &[&Object], name: &str) {
        let mut wanted: Vec<String> = Vec::new();
        for word in all.iter().flat_map(|s| expected(s)) {
            if !wanted.contains(&word) {
                wanted.push(word);
            }
        }
        let formats = all.iter().filter_map(|s| s.get("format")?.as_str());
        let help = formats.filter_map(format_help).next().map(str::to_owned);
        let words: Vec<&str> = all.iter().flat_map(|s| constants(s)).collect();
        let help = help.or_else(|| did_you_mean("", &words, "it can be").filter(|_| !words.is_empty()));
        let diagnostic = self
            .at(node, format!("{name} has the wrong type: expected {}, found {}", wanted.join(" or "), node.kind()));
        self.report(diagnostic.label(format!("expected {}", wanted.join(" or "))).maybe_help(help));
    }

    fn text(&mut self, node: &Node, text: &str, fitting: &[&'a Object], name: &str) {
        let constants: Vec<&str> = fitting.iter().flat_map(|s| constants(s)).collect();
        if constants.contains(&text) {
            return;
        }
        let Some(free) = fitting.iter().find(|s| self::constants(s).is_empty()) else {
            let help = did_you_mean(text, &constants, "it can be");
            return self.report(
                self.at(node, format!("unknown value `{text}` for {name}"))
                    .label("not one of the values it can have")
                    .maybe_help(help),
            );
        };
        let format = free.get("format").and_then(Value::as_str).unwrap_or_default();
        let verdict = match format {
            "duration" => units::parse_duration(text).map(drop),
            "positive-duration" => units::parse_positive_duration(text).map(drop),
            "rate" => units::parse_rate(text).map(drop),
            "size" => units::parse_size(text).map(drop),
            _ => Ok(()),
        };
        if let Err(error) = verdict {
            self.report(
                self.at(node, error.message)
                    .label(format!("{name} is a {}", format.replace('-', " ")))
                    .help(error.help),
            );
        }
        if free.get("minLength").and_then(Value::as_u64).is_some_and(|min| (text.len() as u64) < min) {
            self.report(self.at(node, format!("{name} is empty")));
        }
    }

    fn number(&mut self, node: &Node, value: f64, schema: &Object, name: &str) {
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let width = match schema.get("format").and_then(Value::as_str) {
            Some("uint32") => Some(f64::from(u32::MAX)),
            _ => None,
        };
        let broken = [
            bound("minimum").filter(|b| value < *b).map(|b| format!("at least {b}")),
            bound("exclusiveMinimum").filter(|b| value <= *b).map(|b| format!("above {b}")),
            bound("maximum").or(width).filter(|b| value > *b).map(|b| format!("at most {b}")),
            bound("exclusiveMaximum").filter(|b| value >= *b).map(|b| format!("below {b}")),
        ];
        let is_share = (bound("minimum"), bound("maximum")) == (Some(0.0), Some(1.0));
        let help = is_share.then(|| units::SHARE_HELP.to_owned());
        for must in broken.into_iter().flatten() {
            self.report(
                self.at(node, format!("{name} is {value}, but must be {must}"))
                    .label(format!("must be {must}"))
                    .maybe_help(help.clone()),
            );
        }
    }

    fn list(&mut self, node: &Node, items: &[Node], schema: &'a Object, name: &str) {
        let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
        let count = items.len() as u64;
        if let Some(min) = bound("minItems").filter(|min| count < *min) {
            self.report(self.at(node, format!("{name} has {count} items, but needs at least {min}")));
        }
        if let Some(max) = bound("maxItems").filter(|max| count > *max) {
            self.report(self.at(node, format!("{name} has {count} items, but at most {max} are supported")));
        }
        if let Some(of) = schema.get("items") {
            for item in items {
                self.node(item, of, name);
            }
        }
    }

    fn table(&mut self, node: &Node, entries: &[Entry], fitting: &[&'a Object], name: &str) {
        let Some(schema) = self.variant(node, entries, fitting, name) else { return };
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let more = schema.get("additionalProperties");
        if let Some(max) = schema.get("maxProperties").and_then(Value::as_u64).filter(|max| entries.len() as u64 > *max)
        {
            self.report(
                self.at(node, format!("{name} has {} entries, but at most {max} are supported", entries.len())),
            );
        }
        for entry in entries {
            let called = format!("`{}`", entry.key);
            if let Some(of) = schema.get("properties").and_then(|p| p.get(&entry.key)) {
                self.node(&entry.node, of, &called);
            } else if let Some(of @ Value::Object(_)) = more {
                self.node(&entry.node, of, &called);
            } else {
                let keys: Vec<&str> = properties.keys().map(String::as_str).collect();
                let help = did_you_mean(&entry.key, &keys, "known keys");
                let message = format!("unknown key `{}` in {name}", entry.key);
                self.report(self.document.source.at(entry.span.clone(), message).label("unknown key").maybe_help(help));
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for key in required.filter(|key| !entries.iter().any(|e| e.key == **key)) {
            let about = properties.get(key).and_then(|p| p.get("description")).and_then(Value::as_str);
            let help = about.map(|text| format!("`{key}`: {}", text.replace('\n', " ")));
            self.report(
                self.at(node, format!("missing key `{key}` in {name}"))
                    .label(format!("needs `{key}`"))
                    .maybe_help(help),
            );
        }
    }

    /// The alternative that the table's constant key (`kind` and the like) picks.
    fn variant(&mut self, node: &Node, entries: &[Entry], fitting: &[&'a Object], name: &str) -> Option<&'a Object> {
        if let [only] = fitting {
            return Some(only);
        }
        let tag = fitting.first().and_then(|s| tag(s))?;
        let kinds: Vec<(&str, &'a Object)> =
            fitting.iter().filter_map(|s| Some((s.get("properties")?.get(tag)?.get("const")?.as_str()?, *s))).collect();
        let words: Vec<&str> = kinds.iter().map(|(word, _)| *word).collect();
        let Some(entry) = entries.iter().find(|e| e.key == tag) else {
            let help = did_you_mean("", &words, "it can be");
            self.report(
                self.at(node, format!("missing key `{tag}` in {name}"))
                    .label(format!("needs `{tag}`"))
                    .maybe_help(help),
            );
            return None;
        };
        let NodeValue::Text(word) = &entry.node.value else {
            self.report(
                self.at(
                    &entry.node,
                    format!("`{tag}` has the wrong type: expected a text, found {}", entry.node.kind()),
                ),
            );
            return None;
        };
        let found = kinds.iter().find(|(kind, _)| kind == word).map(|(_, schema)| *schema);
        if found.is_none() {
            let help = did_you_mean(word, &words, "it can be");
            self.report(
                self.at(&entry.node, format!("unknown {tag} `{word}` in {name}"))
                    .label(format!("unknown {tag}"))
                    .maybe_help(help),
            );
        }
        found
    }
}

/// The key with a constant value by which this alternative is told apart.
fn tag(schema: &Object) -> Option<&str> {
    let properties = schema.get("properties")?.as_object()?;
    properties.iter().find(|(_, of)| of.get("const").is_some()).map(|(key, _)| key.as_str())
}

fn types(schema: &Object) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ if schema.contains_key("const") || schema.contains_key("enum") => vec!["string"],
        _ => Vec::new(),
    }
}

/// The texts that alone are allowed here, if there are such.
fn constants(schema: &Object) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    schema.get("const").into_iter().chain(listed).filter_map(Value::as_str).collect()
}

/// Whether the value has the type that the schema asks for.
fn fits(node: &Node, schema: &Object) -> bool {
    let types = types(schema);
    types.is_empty()
        || types.iter().any(|t| {
            matches!(
                (&node.value, *t),
                (NodeValue::Bool(_), "boolean")
                    | (NodeValue::Integer(_), "integer" | "number")
                    | (NodeValue::Float(_), "number")
                    | (NodeValue::Text(_), "string")
                    | (NodeValue::List(_), "array")
                    | (NodeValue::Table(_), "object")
            )
        })
}

fn expected(schema: &Object) -> Vec<String> {
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    let word = |t: &str| match (t, format) {
        ("string", "duration" | "positive-duration") => "a duration in quotes".to_owned(),
        ("string", "rate") => "a rate in quotes".to_owned(),
        ("string", "size") => "a size in quotes".to_owned(),
        ("string", _) => "a text".to_owned(),
        ("boolean", _) => "true or false".to_owned(),
        ("integer", _) => "a whole number".to_owned(),
        ("number", _) => "a number".to_owned(),
        ("array", _) => "a list".to_owned(),
        ("object", _) => "a table".to_owned(),
        (other, _) => other.to_owned(),
    };
    types(schema).into_iter().filter(|t| *t != "null").map(word).collect()
}

fn format_help(format: &str) -> Option<&'static str> {
    match format {
        "duration" | "positive-duration" => Some(units::DURATION_HELP),
        "rate" => Some(units::RATE_HELP),
        "size" => Some(units::SIZE_HELP),
        "bound" => Some(units::BOUND_HELP),
        _ => None,
    }
}
