//! Owns `models`: what artifacts are, where they come from, whether they may run.

use crate::artifact::manifest::Manifest;
use crate::artifact::onnx;
use crate::cli::exit::Exit;
use crate::cli::{Format, Stop, lab, print};
use crate::digest::Digest;
use crate::world::inference::LoadOutcome;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct Models {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One line for each artifact in a folder
    List {
        /// Folder with manifests
        #[arg(default_value = "synthetic/models")]
        folder: PathBuf,
    },
    /// Digest, signature, lineage and evaluation of one artifact
    Show {
        /// Its manifest (.json) or model (.onnx)
        path: PathBuf,
        /// For people or for programs
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Load an artifact and run it on a probe set, in a worker
    Vet {
        /// Their manifests (.json) or models (.onnx)
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
}

/// A manifest with the bytes it is about.
struct Found {
    manifest: Manifest,
    bytes: Vec<u8>,
    digest: Digest,
}

impl Models {
    pub(super) fn execute(self) -> Result<Exit, Stop> {
        match self.what {
            What::List { folder } => list(&folder),
            What::Show { path, format } => show(&path, format),
            What::Vet { paths } => vet(&paths),
        }
    }
}

fn read(path: &Path) -> Result<Found, Stop> {
    let unreadable = |p: &Path, e: &dyn std::fmt::Display| Stop::Usage(format!("{}: {e}", p.display()));
    let manifest_path = path.with_extension("json");
    let text = std::fs::read(&manifest_path).map_err(|e| unreadable(&manifest_path, &e))?;
    let manifest = Manifest::parse(&text).map_err(|e| unreadable(&manifest_path, &e))?;
    let model = manifest_path.with_file_name(&manifest.model);
    let bytes = std::fs::read(&model).map_err(|e| unreadable(&model, &e))?;
    let digest = Digest::of(&bytes);
    Ok(Found { manifest, bytes, digest })
}

impl Found {
    fn is_intact(&self) -> bool {
        self.digest == self.manifest.digest
    }
    fn integrity(&self) -> String {
        if self.is_intact() { "as promised".to_owned() } else { format!("NOT as promised: {}", self.manifest.digest) }
    }
}

fn list(folder: &Path) -> Result<Exit, Stop> {
    let entries = std::fs::read_dir(folder).map_err(|e| Stop::Usage(format!("{}: {e}", folder.display())))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "json"));
    paths.sort();
    if paths.is_empty() {
        return Err(Stop::Nothing(format!("{} has no manifests (.json)", folder.display())));
    }
    let mut intact = true;
    for path in &paths {
        let found = read(path)?;
        intact &= found.is_intact();
        let m = &found.manifest;
        print(&format!(
            "{:20} {:10} {:3} features  schema {} {}  {}  {}\n",
            m.name,
            m.task,
            m.input.features.len(),
            m.schema.name,
            m.schema.version,
            found.digest.short(),
            found.integrity(),
        ));
    }
    Ok(if intact { Exit::Holds } else { Exit::Invalid })
}

fn show(path: &Path, format: Format) -> Result<Exit, Stop> {
    let found = read(path)?;
    let m = &found.manifest;
    let model = onnx::Model::parse(&found.bytes).map_err(|e| Stop::Usage(format!("{}: {e}", path.display())))?;
    let code = if found.is_intact() { Exit::Holds } else { Exit::Invalid };
    let operators: Vec<&str> = model.operators().collect();
    let weights = model.weights().count();
    if format == Format::Json {
        let raw = std::fs::read(path.with_extension("json")).unwrap_or_default();
        let manifest: serde_json::Value = serde_json::from_slice(&raw).unwrap_or_default();
        let value = json!({ "manifest": manifest, "digest": found.digest.to_string(), "intact": found.is_intact(),
            "operators": operators, "float_weights": weights });
        print(&format!("{value:#}\n"));
        return Ok(code);
    }
    let mut text = format!("{} · {}\n\n", m.name, m.task);
    text.push_str(&format!("  digest     {} ({})\n", found.digest, found.integrity()));
    text.push_str(&format!("  bytes      {}\n", found.bytes.len()));
    text.push_str(&format!("  input      {}: {}\n", m.input.name, m.input.features.join(", ")));
    text.push_str(&format!("  score      {} column {}\n", m.output.name, m.output.column));
    text.push_str(&format!("  schema     {} version {}\n", m.schema.name, m.schema.version));
    text.push_str(&format!("  graph      {} · {weights} float weights\n", operators.join(", ")));
    let raw = std::fs::read(path.with_extension("json")).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_slice(&raw).unwrap_or_default();
    for part in ["lineage", "evaluation"] {
        text.push_str(&format!("\n{part}\n"));
        text.push_str(&outline(&manifest[part], 1));
    }
    print(&text);
    Ok(code)
}

/// Nested JSON as indented lines.
fn outline(value: &serde_json::Value, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    let serde_json::Value::Object(map) = value else { return format!("{pad}{value}\n") };
    map.iter()
        .map(|(key, value)| match value {
            serde_json::Value::Object(inner) if inner.values().any(serde_json::Value::is_object) => {
                format!("{pad}{key}\n{}", outline(value, depth + 1))
            }
            serde_json::Value::Object(inner) => {
                let parts: Vec<String> = inner.iter().map(|(k, v)| format!("{k} {}", plain(v))).collect();
                format!("{pad}{key}: {}\n", parts.join(" · "))
            }
            other => format!("{pad}{key}: {}\n", plain(other)),
        })
        .collect()
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn vet(paths: &[PathBuf]) -> Result<Exit, Stop> {
    let lab = lab()?;
    let mut all = true;
    for path in paths {
        let found = read(path)?;
        let report =
            lab.vet(&found.bytes, &found.manifest.signature()).map_err(|e| Stop::Environment(e.to_string()))?;
        let load = match &report.load {
            LoadOutcome::Loaded => "loads".to_owned(),
            LoadOutcome::Refused(why) => format!("refuses to load: {why}"),
            LoadOutcome::NoReturn => "load does not return".to_owned(),
            LoadOutcome::Crashed => "load kills the process".to_owned(),
        };
        let good = report.passes() && found.is_intact();
        all &= good;
        let word = |yes: bool, words: [&'static str; 2]| words[usize::from(!yes)];
        print(&format!(
            "{}: {} · {} · {load} · {} · {} · {}\n",
            found.manifest.name,
            word(good, ["vetted", "NOT vetted"]),
            found.integrity(),
            word(report.answers, ["answers every probe row", "does not answer every probe row"]),
            word(report.finite, ["finite scores", "scores that are not finite"]),
            word(report.rowwise, ["rows independent", "rows depend on their block: runs at batch 1"]),
        ));
    }
    Ok(if all { Exit::Holds } else { Exit::Invalid })
}
