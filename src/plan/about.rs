//! Owns what `rollcage explain` tells of each kind of signal: read from the configuration's own documentation and schema, so that
//! it cannot say anything else than what is applied.

use crate::detect::sequential as seq;
use crate::detect::two_sample as two;
use crate::plan::schema;
use crate::plan::signals::{self as wire, Signal};
use schemars::JsonSchema;
use serde_json::Value;

/// A kind of signal.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// As policies write it.
    pub kind: String,
    /// In a sentence, with its fields.
    pub summary: String,
    /// Definition, units, what it is blind to, source.
    pub text: String,
    /// Its keys.
    pub parameters: Vec<Parameter>,
}

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
    /// What it can be, in words; empty where that is all.
    pub values: String,
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
        "accuracy" | "f1" | "auc" => text::<wire::Labelled>(),
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
    let parameter = |(name, of): (&String, &Value)| Parameter {
        name: name.clone(),
        what: without_default(&word(of, "description")),
        default: of.get("default").filter(|d| !d.is_null()).map(ToString::to_string),
        required: required.contains(&name.as_str()),
        values: values(of, schema),
    };
    let parameters = properties.iter().filter(|(name, _)| *name != "kind").map(parameter).collect();
    Some(About { summary: word(variant, "description"), text: definition(&kind), kind, parameters })
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

/// What a key can be: words, or bounds.
fn values(of: &Value, schema: &Value) -> String {
    let target = of.get("$ref").and_then(Value::as_str).and_then(|path| schema.pointer(path.strip_prefix('#')?));
    let of = target.unwrap_or(of);
    let mut words: Vec<String> = Vec::new();
    let constants = |of: &Value| -> Vec<String> {
        let listed = of.get("enum").and_then(Value::as_array).into_iter().flatten();
        of.get("const").into_iter().chain(listed).filter_map(Value::as_str).map(str::to_owned).collect()
    };
    words.extend(constants(of));
    for one in ["oneOf", "anyOf"].iter().filter_map(|key| of.get(key)?.as_array()).flatten() {
        words.extend(constants(one));
        let keys = one.get("properties").and_then(Value::as_object).into_iter().flatten();
        words.extend(keys.map(|(key, _)| format!("{{ {key} = … }}")));
    }
    let bound = |key: &str, sign: &str| Some(format!("{sign} {}", of.get(key)?));
    let bounds = [("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")];
    words.extend(bounds.into_iter().filter_map(|(key, sign)| bound(key, sign)));
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_says_what_it_is_blind_to_and_where_it_comes_from() {
        let kinds = kinds();
        assert!(kinds.len() > 40, "{}", kinds.len());
        for kind in kinds.iter().filter(|k| k.kind != "coin") {
            let says = |words: &[&str]| words.iter().any(|word| kind.text.contains(word));
            for needed in [&["Blind", "blind"][..], &["Source"], &["Units", "Fields"]] {
                assert!(says(needed), "{}: none of {needed:?} in:\n{}", kind.kind, kind.text);
            }
            for parameter in &kind.parameters {
                assert!(!parameter.what.is_empty(), "{}: nothing about `{}`", kind.kind, parameter.name);
            }
        }
    }
}
