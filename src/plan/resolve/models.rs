//! Owns the loading of models: manifest, bytes and digest → vetted artifacts.

use crate::artifact::manifest::Manifest;
use crate::artifact::{Artifact, Signature};
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
        Ok(bytes) if is_onnx(&bytes) => Some(bytes),
        Ok(_) => {
            let message = format!("`{}` is not an ONNX file", shown(&artifact_path));
            found.push(place.at("artifact").wrong(message).help("an ONNX file is a protocol buffer with a graph; this is something else, or cut off"));
            None
        }
        Err(e) => {
            found.push(place.at("artifact").wrong(e.message).maybe_help(e.help));
            None
        }
    };
    let (manifest, source) = manifest(&manifest_path, &manifest_place, files, found)?;
    let bytes = bytes?;
    let digest = Digest::of(&bytes);
    if digest != manifest.digest {
        let message = format!("the manifest promises another file: `{}` has the digest {digest}", shown(&artifact_path));
        let at = find(&source, &manifest.digest.to_string());
        found.push(source.at(at, message).label("not the digest of the file").help("train or fetch the artifact again, or write its manifest anew"));
        return None;
    }
    let signature = Signature {
        input: manifest.input.name.clone(),
        features: manifest.input.features.len(),
        output: manifest.output.name.clone(),
        column: manifest.output.column,
    };
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
        Ok(manifest) => {
            let mut sorted = manifest.input.features.clone();
            sorted.sort();
            if let Some(twice) = sorted.windows(2).find(|w| w[0] == w[1]) {
                let at = find(&source, &format!("\"{}\"", twice[0]));
                found.push(source.at(at, format!("the feature `{}` is named twice", twice[0])));
                return None;
            }
            Some((manifest, source))
        }
        Err(error) => {
            let text = error.to_string();
            // serde_json ends its messages with the place; other messages are about the file as a whole.
            let place = text.rsplit_once(" at line ").and_then(|(what, place)| {
                let (line, column) = place.split_once(" column ")?;
                Some((what, line.parse().ok()?, column.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()?))
            });
            found.push(match place {
                Some((what, line, column)) => source.at_line(line, column, format!("not a manifest: {what}")),
                None => Diagnostic::whole(&source.file, format!("not a manifest: {text}")),
            });
            None
        }
    }
}

/// Where `part` stands in the text; its first line if nowhere.
fn find(source: &Source, part: &str) -> std::ops::Range<usize> {
    source.text.find(part).map_or(0..1, |at| at..at + part.len())
}

/// Whether the bytes have the shape of an ONNX `ModelProto`: well-formed protocol buffer fields, one of them the graph.
fn is_onnx(bytes: &[u8]) -> bool {
    const GRAPH: u64 = 7;
    let mut rest = bytes;
    let mut graph = false;
    while !rest.is_empty() {
        let Some(key) = varint(&mut rest) else { return false };
        let skip = match key & 7 {
            0 => varint(&mut rest).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut rest),
            5 => Some(4),
            _ => None,
        };
        let Some(skip) = skip.and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= rest.len()) else { return false };
        rest = &rest[skip..];
        graph |= key >> 3 == GRAPH && key & 7 == 2;
    }
    graph
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
