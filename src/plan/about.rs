//! Owns what `rollcage explain` tells of each kind of signal: read from the configuration's own documentation and schema, and from
//! an example as the program itself reads it, so that it cannot say anything else than what is applied.

use crate::detect::sequential as seq;
use crate::detect::two_sample as two;
use crate::plan::signals::{self as wire, Signal};
use crate::plan::{examples, policy_alone, schema};
use schemars::JsonSchema;
use serde_json::Value;

/// A kind of signal.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// As policies write it.
    pub kind: String,
    /// In a sentence.
    pub summary: String,
    /// Definition, units, what it is blind to, memory, source.
    pub text: String,
    /// What a rule may read.
    pub fields: Vec<&'static str>,
    /// Its keys.
    pub parameters: Vec<Parameter>,
    /// A signal of it with a rule, as a policy file has them.
    pub example: String,
}

/// The names in the formulas of the pages' "Memory" that are no parameters of the kind.
pub const MEMORY_WORDS: &[(&str, &str)] = &[
    ("versions", "versions with traffic"),
    ("scrapes", "scrapes in the longest window of any signal, and one more"),
    ("rows", "answers of a version in that window and one more scrape"),
    ("columns", "features and the score"),
    ("observations", "what one scrape brings of all versions"),
    ("requests", "requests of a source that may still be labelled: 16 384 at least, 1 048 576 at most"),
    ("labels", "the length of the window"),
    ("replicas", "replicas of all versions"),
    ("groups", "groups of users"),
    ("doublings", "how often the window has doubled, 53 times at most"),
    ("lambdas", "how many there are in the list"),
];

/// A key of a signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// The key.
    pub name: String,
    /// What it means.
    pub what: String,
    /// What it is unless written; `None`: it must be written, or is off.
    pub default: Option<String>,
    /// It must be written.
    pub required: bool,
    /// What it can be, in words; empty where that is all, or where `choices` say it.
    pub values: String,
    /// What it can be, as it is written, and what each of these means.
    pub choices: Vec<(String, String)>,
}

fn text<T: JsonSchema>() -> String {
    let schema = schema::of::<T>();
    schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The documentation of the configuration behind a kind.
fn definition(kind: &str) -> String {
    match kind {
        "latency-quantile" => text::<wire::LatencyQuantile>(),
        "error-rate" => text::<wire::ErrorRate>(),
        "burn-rate" => text::<wire::BurnRate>(),
        "saturation" => text::<wire::Saturation>(),
        "data-quality" => text::<wire::DataQuality>(),
        "calibration" => text::<wire::Calibration>(),
        "performance-estimate" => text::<wire::PerformanceEstimate>(),
        "fairness" => text::<wire::Fairness>(),
        "outcome" => text::<wire::Outcome>(),
        "ks" => text::<two::Ks>(),
        "psi" => text::<two::Psi>(),
        "jensen-shannon" => text::<two::JensenShannon>(),
        "hellinger" => text::<two::Hellinger>(),
        "total-variation" => text::<two::TotalVariation>(),
        "wasserstein" => text::<two::Wasserstein>(),
        "energy" => text::<two::Energy>(),
        "chi-squared" => text::<two::ChiSquared>(),
        "mann-whitney" => text::<two::MannWhitney>(),
        "welch" => text::<two::Welch>(),
        "cramer-von-mises" => text::<two::CramerVonMises>(),
        "anderson-darling" => text::<two::AndersonDarling>(),
        "kayenta" => text::<two::Kayenta>(),
        "mmd" => text::<two::Mmd>(),
        "cusum" => text::<seq::CusumConfig>(),
        "ewma" => text::<seq::EwmaConfig>(),
        "shiryaev-roberts" => text::<seq::ShiryaevRobertsConfig>(),
        "page-hinkley" => text::<seq::PageHinkleyConfig>(),
        "adwin" => text::<seq::AdwinConfig>(),
        "ddm" => text::<seq::DdmConfig>(),
        "eddm" => text::<seq::EddmConfig>(),
        "hddm-a" => text::<seq::HddmAConfig>(),
        "hddm-w" => text::<seq::HddmWConfig>(),
        "fhddm" => text::<seq::FhddmConfig>(),
        "kswin" => text::<seq::KswinConfig>(),
        "sprt-bernoulli" => text::<seq::SprtBernoulliConfig>(),
        "sprt-gaussian" => text::<seq::SprtGaussianConfig>(),
        "msprt" => text::<seq::MsprtConfig>(),
        "e-detector" => text::<seq::EDetectorConfig>(),
        "ecdd" => text::<seq::EcddConfig>(),
        "stepd" => text::<seq::StepdConfig>(),
        "rddm" => text::<seq::RddmConfig>(),
        "frouros-cusum" => text::<seq::FrourosCusumConfig>(),
        "frouros-page-hinkley" => text::<seq::FrourosPageHinkleyConfig>(),
        "confidence-sequence" => text::<wire::ConfidenceSequence>(),
        "coin" => text::<wire::Coin>(),
        _ => String::new(),
    }
}

/// All kinds, in the order of the schema: service, windows, single observations.
#[must_use]
pub fn kinds() -> Vec<About> {
    let schema = schema::of::<Signal>();
    let variants = schema.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    variants.iter().filter_map(|variant| about(variant, &schema)).collect()
}

fn about(variant: &Value, schema: &Value) -> Option<About> {
    let properties = variant.get("properties")?.as_object()?;
    let kind = properties.get("kind")?.get("const")?.as_str()?.to_owned();
    let required: Vec<&str> =
        variant.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let parameter = |(name, of): (&String, &Value)| {
        let (values, choices) = values(of, schema);
        Parameter {
            name: name.clone(),
            what: without_default(&word(of, "description")),
            default: of.get("default").filter(|d| !d.is_null()).map(ToString::to_string),
            required: required.contains(&name.as_str()),
            values,
            choices,
        }
    };
    let parameters = properties.iter().filter(|(name, _)| *name != "kind").map(parameter).collect();
    let said = variant.get("description").and_then(Value::as_str).unwrap_or_default();
    let (summary, rest) = said.split_once("\n\n").unwrap_or((said, ""));
    let texts = [rest.to_owned(), definition(&kind)];
    let text = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n");
    let example = examples::example(&kind).unwrap_or_default();
    let fields = policy_alone("example.toml", &format!("name = \"example\"\n{example}"))
        .ok()
        .and_then(|policy| Some(policy.signals.first()?.kind.fields().to_vec()))
        .unwrap_or_default();
    // The fields stand by themselves.
    let summary = summary.split(" Fields: ").next().unwrap_or_default().replace('\n', " ");
    Some(About { kind, summary, text, fields, parameters, example })
}

fn word(of: &Value, key: &str) -> String {
    of.get(key).and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

/// A text without what it says of the default, which stands beside it.
fn without_default(text: &str) -> String {
    match text.rfind(" Default: ") {
        Some(at) if !text[at + 1..].contains(". ") => text[..at].to_owned(),
        _ => text.to_owned(),
    }
}

/// What a key can be: bounds and forms in words, and words with their meanings.
fn values(of: &Value, schema: &Value) -> (String, Vec<(String, String)>) {
    let (mut forms, mut choices): (Vec<String>, Vec<(String, String)>) = (Vec::new(), Vec::new());
    for one in alternatives(of, schema, 0) {
        let said = word(&one, "description");
        let listed = one.get("enum").and_then(Value::as_array).into_iter().flatten();
        let constants = one.get("const").into_iter().chain(listed).filter_map(Value::as_str);
        choices.extend(constants.map(|constant| (constant.to_owned(), said.clone())));
        if let Some(keys) = one.get("properties").and_then(Value::as_object) {
            let keys: Vec<String> = keys.iter().map(|(key, of)| format!("{key} = {}", sample(of))).collect();
            choices.push((format!("{{ {} }}", keys.join(", ")), said.clone()));
        }
        if let Some(format) = one.get("format").and_then(Value::as_str).filter(|f| f.ends_with("duration")) {
            forms.push(format!("a {}, like {}", format.replace('-', " "), sample(&one)));
        }
        if one.get("type").is_some_and(|of| of == "boolean") {
            forms.push("true or false".to_owned());
        }
        let bound = |key: &str, sign: &str| Some(format!("{sign} {}", one.get(key)?));
        let bounds = [("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")];
        let bounds: Vec<String> = bounds.into_iter().filter_map(|(key, sign)| bound(key, sign)).collect();
        if !choices.is_empty() && !bounds.is_empty() {
            choices.push((format!("a number {}", bounds.join(", ")), said));
        } else {
            forms.extend(bounds);
        }
    }
    (forms.join(", "), choices)
}

/// The alternatives behind references and unions, each with its description; `null` is none, for TOML has none.
fn alternatives(of: &Value, schema: &Value, depth: usize) -> Vec<Value> {
    // Deeper nesting than any wire type has would be a loop of references.
    let Some(object) = of.as_object().filter(|_| depth < 16) else { return Vec::new() };
    if let Some(target) =
        of.get("$ref").and_then(Value::as_str).and_then(|path| schema.pointer(path.strip_prefix('#')?))
    {
        let mut found = alternatives(target, schema, depth + 1);
        // What is said where it is used is about this use.
        if let ([one], Some(said)) = (found.as_mut_slice(), object.get("description"))
            && let Some(one) = one.as_object_mut()
        {
            one.insert("description".to_owned(), said.clone());
        }
        return found;
    }
    if let Some(many) = ["oneOf", "anyOf"].iter().find_map(|key| of.get(key)?.as_array()) {
        return many.iter().flat_map(|one| alternatives(one, schema, depth + 1)).collect();
    }
    if of.get("type").is_some_and(|of| of == "null") { Vec::new() } else { vec![of.clone()] }
}

/// A value of this schema, as it is written.
fn sample(of: &Value) -> String {
    match of.get("type").and_then(Value::as_str) {
        Some("integer") => "1000".to_owned(),
        Some("number") => "0.5".to_owned(),
        _ => of.pointer("/examples/0").map_or("…".to_owned(), ToString::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_says_what_it_is_blind_to_and_where_it_comes_from() {
        let kinds = kinds();
        assert!(kinds.len() > 40, "{}", kinds.len());
        for kind in &kinds {
            let says = |words: &[&str]| words.iter().any(|word| kind.text.contains(word));
            for needed in [&["Blind", "blind"][..], &["Source"], &["Units", "Fields"], &["Memory: at most `"]] {
                assert!(says(needed), "{}: none of {needed:?} in:\n{}", kind.kind, kind.text);
            }
            for parameter in &kind.parameters {
                assert!(!parameter.what.is_empty(), "{}: nothing about `{}`", kind.kind, parameter.name);
                for (choice, meaning) in &parameter.choices {
                    assert!(!meaning.is_empty(), "{}: nothing about `{}` = {choice}", kind.kind, parameter.name);
                }
            }
        }
    }

    #[test]
    fn every_kind_has_an_example_that_the_program_reads() {
        for kind in kinds() {
            let text = format!("name = \"example\"\n{}", kind.example);
            let policy = policy_alone("example.toml", &text)
                .unwrap_or_else(|found| panic!("{}: {}\n{text}", kind.kind, found[0].message));
            assert_eq!((policy.signals.len(), policy.rules.len()), (1, 1), "{}", kind.kind);
            assert!(kind.example.contains(&format!("kind = \"{}\"", kind.kind)));
            assert_eq!(kind.fields, policy.signals[0].kind.fields(), "{}", kind.kind);
        }
    }

    #[test]
    fn fields_that_a_text_lists_are_the_fields_there_are() {
        let schema = schema::of::<Signal>();
        let kinds = kinds();
        let mut listed = 0;
        for (variant, kind) in schema["oneOf"].as_array().expect("kinds").iter().zip(&kinds) {
            let said = word(variant, "description");
            let Some((_, fields)) = said.split_once("Fields: ") else { continue };
            let fields = fields.split(". ").next().unwrap_or_default().trim_end_matches('.');
            // Remarks in brackets are no names.
            let plain: String =
                fields.split('(').map(|part| part.split_once(')').map_or(part, |(_, rest)| rest)).collect();
            let names: Vec<&str> = plain.split(',').map(str::trim).collect();
            assert_eq!(names, kind.fields, "{}", kind.kind);
            listed += 1;
        }
        assert!(listed >= 12, "{listed} texts list fields");
        // Where a definition explains fields, it explains all of them.
        for kind in kinds.iter().filter(|kind| kind.text.contains("\n\nFields: ")) {
            for field in &kind.fields {
                assert!(kind.text.contains(&format!("`{field}`")), "{}: nothing about {field}", kind.kind);
            }
        }
    }

    #[test]
    fn nothing_is_written_as_the_source_code_has_it() {
        for kind in kinds() {
            let parameters = kind.parameters.iter().flat_map(|p| p.choices.iter().map(|c| &c.1).chain([&p.what]));
            for text in parameters.chain([&kind.summary, &kind.text]) {
                assert!(!text.contains("[`") && !text.contains("::"), "{}: {text}", kind.kind);
            }
        }
    }

    #[test]
    fn defaults_and_choices_are_told() {
        let kinds = kinds();
        let parameter = |kind: &str, name: &str| {
            let about = kinds.iter().find(|k| k.kind == kind).expect("a kind");
            about.parameters.iter().find(|p| p.name == name).expect("a parameter").clone()
        };
        for (kind, name, default) in [
            ("performance-estimate", "measure", "\"accuracy\""),
            ("fairness", "disparity", "\"demographic-parity\""),
            ("confidence-sequence", "method", "\"empirical-bernstein\""),
        ] {
            assert_eq!(parameter(kind, name).default.as_deref(), Some(default), "{kind}.{name}");
        }
        let written = |kind, name| parameter(kind, name).choices.into_iter().map(|c| c.0).collect::<Vec<_>>();
        assert_eq!(written("cusum", "standardise"), ["baseline", "{ first = \"60s\" }", "{ own = \"60s\" }"]);
        assert_eq!(written("accuracy", "window"), ["{ labels = 1000 }"]);
        assert_eq!(parameter("burn-rate", "slower_than").values, "a positive duration, like \"60s\"");
    }
}
