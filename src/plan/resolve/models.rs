//! Owns the loading of models: manifest, bytes and digest → vetted artifacts.

use crate::artifact::Artifact;
use crate::artifact::manifest::{Manifest, ManifestError};
use crate::artifact::onnx::OnnxModel;
use crate::digest::Digest;
use crate::plan::Vet;
use crate::plan::diagnostic::{Diagnostic, Source};
use crate::plan::document::Place;
use crate::plan::files::{Files, shown};
use crate::plan::resolve::distribution;
use crate::plan::scenario::Model;
use crate::world::distribution::Distribution;
use std::path::Path;
use std::sync::Arc;

/// A model that can be served.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// Its bytes and how they are fed.
    pub artifact: Arc<Artifact>,
    /// The features it is fed, in order.
    pub features: Vec<String>,
    /// Its own service time.
    pub service: Option<Distribution>,
}

pub(crate) fn load(
    wire: &Model,
    place: &Place<'_>,
    base: &Path,
    files: &mut Files,
    vet: &mut Vet<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<Loaded> {
    let service = wire.service_time.as_ref().map(|d| distribution(d, &place.at("service_time"), found));
    let artifact_path = base.join(&wire.artifact);
    let (manifest_path, manifest_place) = match &wire.manifest {
        Some(path) => (base.join(path), place.at("manifest")),
        None => (artifact_path.with_extension("json"), place.at("artifact")),
    };
    let bytes = match files.read(&artifact_path) {
        Ok(bytes) => match OnnxModel::read(&bytes) {
            Ok(_) => Some(bytes),
            Err(why) => {
                let message = format!("`{}` is not an ONNX file: {why}", shown(&artifact_path));
                found.push(place.at("artifact").wrong(message).help("it is something else, or cut off"));
                None
            }
        },
        Err(e) => {
            found.push(place.at("artifact").wrong(e.message).maybe_help(e.help));
            None
        }
    };
    // A manifest that was only looked for beside a missing artifact is not missing on its own.
    if bytes.is_none() && wire.manifest.is_none() && !files.exists(&manifest_path) {
        return None;
    }
    let (manifest, source) = manifest(&manifest_path, &manifest_place, files, found)?;
    let bytes = bytes?;
    let digest = Digest::of(&bytes);
    if digest != manifest.digest {
        let message =
            format!("the manifest promises another file: `{}` has the digest {digest}", shown(&artifact_path));
        let at = find(&source, &manifest.digest.to_string());
        found.push(
            source
                .at(at, message)
                .label("not the digest of the file")
                .help("train or fetch the artifact again, or write its manifest anew"),
        );
        return None;
    }
    let signature = manifest.signature();
    match vet(&bytes, &signature) {
        Ok(vetting) => Some(Loaded {
            artifact: Arc::new(Artifact {
                bytes,
                digest,
                promised: manifest.digest,
                signature,
                vetted: vetting.vetted,
                rowwise: vetting.rowwise,
            }),
            features: manifest.input.features,
            service,
        }),
        Err(why) => {
            found.push(place.at("artifact").wrong(format!("`{}` cannot be served: {why}", shown(&artifact_path))));
            None
        }
    }
}

/// A manifest and its text.
pub(crate) fn manifest(
    path: &Path,
    place: &Place<'_>,
    files: &mut Files,
    found: &mut Vec<Diagnostic>,
) -> Option<(Manifest, Source)> {
    let source = match files.text(path) {
        Ok(source) => source,
        Err(e) => {
            found.push(place.wrong(format!("no manifest: {}", e.message)).maybe_help(e.help));
            return None;
        }
    };
    match Manifest::parse(source.text.as_bytes()) {
        Ok(manifest) => Some((manifest, source)),
        Err(error) => {
            found.push(match &error {
                ManifestError::Json { line, column, reason } if *line > 0 => {
                    source.at_line(*line, *column, format!("not a manifest: {reason}"))
                }
                ManifestError::BadDigest { field, text, .. } => {
                    let message = format!("`{field}` is not a digest");
                    source.at(find(&source, text), message).help("a digest is `sha256:` and 64 hex digits")
                }
                ManifestError::Invalid { field, .. } => {
                    let key = field.rsplit('.').next().unwrap_or_default();
                    source.at(find(&source, &format!("\"{key}\"")), format!("not a manifest: {error}"))
                }
                ManifestError::Json { .. } | ManifestError::UnknownFormat(_) => {
                    source.at(find(&source, "\"format\""), format!("not a manifest: {error}"))
                }
            });
            None
        }
    }
}

/// Where `part` stands in the text; its first line if nowhere.
fn find(source: &Source, part: &str) -> std::ops::Range<usize> {
    source.text.find(part).map_or(0..1, |at| at..at + part.len())
}
