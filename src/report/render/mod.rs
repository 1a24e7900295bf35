//! Owns every rendering of a trial: console, JSON, CSV, JSON lines, Markdown, and the picture. Each is a pure function of
//! the report, deterministic to the byte; only `write_all` touches files.

mod console;
mod csv;
mod font;
mod jsonl;
mod many;
mod markdown;
mod png;
#[cfg(test)]
mod sample;
mod story;
mod summary;
#[cfg(test)]
mod tests;
mod timeline;

pub use console::{COLUMNS_MAX, ConsoleOptions, LINES_MAX, console};
pub use csv::windows_csv;
pub use jsonl::events_jsonl;
pub use many::{Many, console_many};
pub use markdown::incident_md;
pub use summary::{summary_json, summary_many};
pub use timeline::{DrawError, timeline_png, timeline_svg};

use crate::report::trial::TrialReport;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The picture could not be drawn.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// A file or folder could not be made; nothing was replaced.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes all files of a report into the folder `dir` and returns their names, the one to open first in front.
///
/// They are written into a temporary folder beside it that is renamed at the end: nothing is ever half written, and an
/// earlier report of the same name is replaced as a whole. `command` is the line that reproduces the trial.
///
/// # Errors
/// When a file cannot be written; an earlier report is then still there.
pub fn write_all(dir: &Path, report: &TrialReport, command: &str) -> Result<Vec<String>, WriteError> {
    let mut summary = format!("{:#}", summary_json(report));
    summary.push('\n');
    let files: [(&str, Vec<u8>); 6] = [
        ("incident.md", incident_md(report, command).into_bytes()),
        ("timeline.svg", timeline_svg(report)?.into_bytes()),
        ("timeline.png", timeline_png(report)?),
        ("summary.json", summary.into_bytes()),
        ("windows.csv", windows_csv(report).into_bytes()),
        ("events.jsonl", events_jsonl(report).into_bytes()),
    ];
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| WriteError::Io { path, source }
    };
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(failed(parent))?;
    // Whatever is in it when it goes out of scope is removed: a half-written report, or the one that was replaced.
    let scratch = tempfile::Builder::new().prefix(".rollcage-").tempdir_in(parent).map_err(failed(parent))?;
    let (new, old) = (scratch.path().join("new"), scratch.path().join("old"));
    fs::create_dir(&new).map_err(failed(&new))?;
    for (name, bytes) in &files {
        let path = new.join(name);
        fs::write(&path, bytes).map_err(failed(&path))?;
    }
    let replaced = match fs::rename(dir, &old) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed(dir)(error)),
    };
    if let Err(error) = fs::rename(&new, dir) {
        if replaced {
            fs::rename(&old, dir).map_err(failed(dir))?;
        }
        return Err(failed(dir)(error));
    }
    Ok(files.iter().map(|(name, _)| (*name).to_owned()).collect())
}
