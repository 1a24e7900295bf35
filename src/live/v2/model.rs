//! Owns the smaller messages: metadata of servers and models, the repository, errors.

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::V2Error;
use crate::world::inference::TensorSpec;

/// What `GET /v2` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMetadata {
    /// The server's name.
    pub name: String,
    /// The server's version.
    pub version: String,
    /// Extensions of the protocol that it serves.
    #[serde(default)]
    pub extensions: Vec<String>,
}

/// What `GET /v2/models/{name}` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// The model's name.
    pub name: String,
    /// Its versions that can be asked.
    #[serde(default)]
    pub versions: Vec<String>,
    /// What runs it.
    #[serde(default)]
    pub platform: String,
    /// Its inputs.
    #[serde(default)]
    pub inputs: Vec<TensorMetadata>,
    /// Its outputs.
    #[serde(default)]
    pub outputs: Vec<TensorMetadata>,
    /// Opaque. A replica of ours tells `digest`, that of the bytes it has loaded.
    #[serde(default)]
    pub parameters: Map<String, Value>,
}

/// An input or output in a model's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorMetadata {
    /// Its name.
    pub name: String,
    /// The name of its type; other servers have more types than ours.
    pub datatype: String,
    /// Its dimensions, -1 where they are free.
    pub shape: Vec<i64>,
}

impl From<&TensorSpec> for TensorMetadata {
    fn from(spec: &TensorSpec) -> Self {
        Self { name: spec.name.clone(), datatype: spec.datatype.name().to_owned(), shape: spec.shape.clone() }
    }
}

/// Where a model is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// It answers.
    Ready,
    /// It is being loaded for the first time.
    Loading,
    /// It does not answer; the reason says why.
    Unavailable,
    /// Another server's word.
    #[serde(other)]
    Unknown,
}

/// One line of `POST /v2/repository/index`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// The model's name.
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Its state.
    pub state: State,
    /// Why it is not ready; empty if it is.
    #[serde(default)]
    pub reason: String,
}

/// The body of `POST /v2/repository/index`; an empty one is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IndexRequest {
    /// Only models that are ready.
    #[serde(default)]
    pub ready: bool,
}

impl IndexRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// [`V2Error::Json`].
    pub fn decode(body: &[u8]) -> Result<Self, V2Error> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body).map_err(|error| V2Error::json("an index request", error))
    }
}

/// The body of every answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: String,
}

/// The body of `POST /v2/repository/models/{name}/load`; an empty one loads what the server has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadRequest {
    /// The model's configuration, as JSON text. Triton wants one (`{}` will do) where files are given; a replica of ours
    /// refuses one that asks for anything.
    pub config: Option<String>,
    /// Files by path below the model's folder: `1/model.onnx`.
    pub files: Vec<(String, Vec<u8>)>,
}

const FILE: &str = "file:";

impl LoadRequest {
    /// One model file, as its version's.
    #[must_use]
    pub fn of_bytes(version: &str, bytes: &[u8]) -> Self {
        Self { config: Some("{}".to_owned()), files: vec![(format!("{version}/model.onnx"), bytes.to_vec())] }
    }

    /// Writes the body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut parameters = Map::new();
        if let Some(config) = &self.config {
            parameters.insert("config".to_owned(), Value::String(config.clone()));
        }
        for (path, bytes) in &self.files {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            parameters.insert(format!("{FILE}{path}"), Value::String(text));
        }
        if parameters.is_empty() {
            return b"{}".to_vec();
        }
        serde_json::json!({ "parameters": parameters }).to_string().into_bytes()
    }

    /// Reads a body; parameters that are neither `config` nor `file:…` are passed over.
    ///
    /// # Errors
    /// [`V2Error::Json`]; [`V2Error::Base64`].
    pub fn decode(body: &[u8]) -> Result<Self, V2Error> {
        #[derive(Deserialize)]
        struct Wire {
            parameters: Option<Map<String, Value>>,
        }
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let wire: Wire = serde_json::from_slice(body).map_err(|error| V2Error::json("a load request", error))?;
        let mut load = Self::default();
        for (name, value) in wire.parameters.unwrap_or_default() {
            let (file, text) = match (name.strip_prefix(FILE), value) {
                (None, Value::String(text)) if name == "config" => {
                    load.config = Some(text);
                    continue;
                }
                (Some(file), Value::String(text)) => (file, text),
                (Some(_), _) => {
                    return Err(V2Error::Base64 { why: "it is no text".to_owned(), name });
                }
                (None, _) => continue,
            };
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|error| V2Error::Base64 { name: name.clone(), why: error.to_string() })?;
            load.files.push((file.to_owned(), bytes));
        }
        Ok(load)
    }
}
