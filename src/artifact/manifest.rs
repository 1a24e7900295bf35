//! Owns the manifest: what an artifact is, how it is fed, and where it comes from.
//!
//! A manifest is a JSON file beside the model. Fields it does not know are ignored; a change that older readers must not
//! ignore gets a new format number.

use super::Signature;
use crate::digest::Digest;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The format this reader knows.
pub const FORMAT: u64 = 1;

/// What is promised about one artifact.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Manifest {
    /// The artifact's name.
    pub name: String,
    /// What it is for; artifacts of one task can replace each other.
    pub task: String,
    /// The name of the model file, which lies beside the manifest.
    pub model: String,
    /// The digest of the model file.
    pub digest: Digest,
    /// The length of the model file.
    pub bytes: u64,
    /// How it is fed.
    pub input: InputPort,
    /// What is read from it.
    pub output: OutputPort,
    /// The version of the features it was made for.
    pub schema: Schema,
    /// Where it comes from.
    #[serde(default)]
    pub lineage: Lineage,
    /// How good it was when it was made.
    #[serde(default)]
    pub evaluation: Evaluation,
}

/// The model's input.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InputPort {
    /// Its name in the model.
    pub name: String,
    /// Its columns in order.
    pub features: Vec<String>,
}

/// The model's output.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OutputPort {
    /// Its name in the model.
    pub name: String,
    /// The column that is the score.
    pub column: usize,
}

/// A version of a set of features.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Schema {
    /// Which set.
    pub name: String,
    /// Its version.
    pub version: u32,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Lineage {
    /// What it was trained on, unless it was constructed.
    pub training_data: Option<TrainingData>,
    /// How it was trained.
    pub estimator: Option<String>,
    /// With which settings.
    pub hyperparameters: BTreeMap<String, serde_json::Value>,
    /// By which libraries, with their versions.
    pub libraries: BTreeMap<String, String>,
    /// The artifact it follows.
    pub parent: Option<Digest>,
    /// Its weights were chosen, not trained.
    pub constructed: bool,
    /// The truth it was constructed for.
    pub concept: Option<Concept>,
}

/// What a model was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TrainingData {
    /// The file's name.
    pub file: String,
    /// The file's digest.
    pub digest: Digest,
    /// How many of its rows.
    pub rows: u64,
    /// Which of its rows, in words.
    #[serde(default)]
    pub selection: String,
}

/// A linear truth: a label is 1 with the probability logistic(weights · x + bias).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Concept {
    /// One weight per feature.
    pub weights: Vec<f64>,
    /// Added.
    pub bias: f64,
}

/// How good a model was when it was made; absent where it was not measured or means nothing for the task.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Evaluation {
    /// On how many rows.
    pub rows: u64,
    /// On which rows, in words.
    pub selection: String,
    /// The share of right classes at 0.5.
    pub accuracy: Option<f64>,
    /// The area under the ROC curve.
    pub auc: Option<f64>,
    /// The mean squared error of the probability.
    pub brier: Option<f64>,
    /// The mean negative log-likelihood, natural logarithm.
    pub log_loss: Option<f64>,
    /// Feature → its value → measure → number.
    pub segments: BTreeMap<String, BTreeMap<String, BTreeMap<String, Option<f64>>>>,
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is not the JSON of a manifest.
    #[error("line {line}, column {column}: {reason}")]
    Json {
        /// From 1; 0 if there is no place.
        line: usize,
        /// From 1; 0 if there is no place.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// It is of a format that this version cannot read.
    #[error("format {0} is unknown, this version reads format {FORMAT}")]
    UnknownFormat(u64),
    /// A digest is not written as one.
    #[error("line {line}, column {column}: {field} must be sha256: and 64 hex digits, not {text:?}")]
    BadDigest {
        /// Which digest.
        field: &'static str,
        /// What stands there, cut to 80 characters.
        text: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A value that parses and cannot be meant.
    #[error("{field} {reason}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What is read first, so that an unknown format is named as such, whatever else has changed, and so are bad digests.
#[derive(Deserialize)]
struct Head {
    format: u64,
    #[serde(default)]
    digest: serde_json::Value,
    #[serde(default)]
    lineage: serde_json::Value,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError`], with line and column where the text has them.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        let head: Head = serde_json::from_slice(json).map_err(|e| json_error(&e))?;
        if head.format != FORMAT {
            return Err(ManifestError::UnknownFormat(head.format));
        }
        let manifest: Self =
            serde_json::from_slice(json).map_err(|e| head.bad_digest(&e).unwrap_or_else(|| json_error(&e)))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// How the model is fed and what is read from it.
    #[must_use]
    pub fn signature(&self) -> Signature {
        Signature {
            input: self.input.name.clone(),
            features: self.input.features.len(),
            output: self.output.name.clone(),
            column: self.output.column,
        }
    }

    /// Weights and bias of the truth a constructed model was made for.
    #[must_use]
    pub fn concept(&self) -> Option<(Vec<f64>, f64)> {
        self.lineage.concept.as_ref().map(|concept| (concept.weights.clone(), concept.bias))
    }

    fn check(&self) -> Result<(), ManifestError> {
        let features = &self.input.features;
        let distinct: BTreeSet<&String> = features.iter().collect();
        // The model is looked for beside the manifest and nowhere else.
        let elsewhere = self.model.contains(['/', '\\', ':', '\0']) || [".", ".."].contains(&self.model.as_str());
        let concept = self.lineage.concept.as_ref().map_or(features.len(), |concept| concept.weights.len());
        let (field, reason) = match () {
            () if self.name.is_empty() => ("name", "is empty"),
            () if self.model.is_empty() => ("model", "is empty"),
            () if elsewhere => ("model", "must be the name of a file beside the manifest, not a path"),
            () if features.is_empty() => ("input.features", "is empty"),
            () if distinct.len() < features.len() => ("input.features", "names a feature twice"),
            () if concept != features.len() => ("lineage.concept.weights", "must have one weight per feature"),
            () => return Ok(()),
        };
        Err(ManifestError::Invalid { field, reason })
    }
}

impl Head {
    /// Names the digest that `error` is about, if it is about one.
    fn bad_digest(&self, error: &serde_json::Error) -> Option<ManifestError> {
        if !(error.is_data() && error.to_string().contains("sha256:")) {
            return None;
        }
        let digests = [
            ("digest", &self.digest),
            ("lineage.training_data.digest", &self.lineage["training_data"]["digest"]),
            ("lineage.parent", &self.lineage["parent"]),
        ];
        let (field, text) = digests
            .into_iter()
            .find_map(|(field, value)| Some((field, value.as_str().filter(|t| Digest::parse(t).is_none())?)))?;
        let text = text.chars().take(80).collect();
        Some(ManifestError::BadDigest { field, text, line: error.line(), column: error.column() })
    }
}

fn json_error(error: &serde_json::Error) -> ManifestError {
    let (line, column) = (error.line(), error.column());
    // serde_json puts the place behind the reason; here it stands in front.
    let text = error.to_string();
    let place = format!(" at line {line} column {column}");
    ManifestError::Json { line, column, reason: text.strip_suffix(&place).unwrap_or(&text).to_owned() }
}

#[cfg(test)]
mod tests;
