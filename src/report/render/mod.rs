//! Owns every rendering of a trial, of a validation and of a power analysis: console, JSON, CSV, JSON lines, Markdown, and the pictures. Each is a
//! pure function of the report, deterministic to the byte; only `write_all` touches files.

mod canvas;
mod console;
mod csv;
mod font;
mod jsonl;
mod many;
mod markdown;
mod png;
mod power;
#[cfg(test)]
mod sample;
mod story;
mod summary;
#[cfg(test)]
mod tests;
mod timeline;
mod validation;

pub use canvas::DrawError;
pub use console::{COLUMNS_MAX, ConsoleOptions, LINES_MAX, console};
pub use csv::{requests_csv, windows_csv};
pub use jsonl::events_jsonl;
pub use many::{Many, console_many};
pub use markdown::incident_md;
pub use power::{console_power, power_csv, power_files, power_json, power_md, power_png, power_svg};
pub use summary::{summary_json, summary_many};
pub use timeline::{timeline_png, timeline_svg};
pub use validation::{
    console_validation, validation_csv, validation_files, validation_json, validation_md, validation_png,
    validation_svg,
};

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

/// Writes all files of a report into the folder `dir` and returns their names, the one to open first in front. `command` is
/// the line that reproduces the trial; `requests` is the table of [`requests_csv`], if it was asked for.
///
/// # Errors
/// When a file cannot be drawn or written, see [`write_files`].
pub fn write_all(
    dir: &Path,
    report: &TrialReport,
    command: &str,
    requests: Option<String>,
) -> Result<Vec<&'static str>, WriteError> {
    let mut files = vec![
        ("incident.md", incident_md(report, command).into_bytes()),
        ("timeline.svg", timeline_svg(report)?.into_bytes()),
        ("timeline.png", timeline_png(report)?),
        ("summary.json", format!("{:#}\n", summary_json(report)).into_bytes()),
        ("windows.csv", windows_csv(report).into_bytes()),
        ("events.jsonl", events_jsonl(report).into_bytes()),
    ];
    files.extend(requests.map(|table| ("requests.csv", table.into_bytes())));
    write_files(dir, &files)?;
    Ok(files.into_iter().map(|(name, _)| name).collect())
}

/// Writes files into the folder `dir`, which is made if it is not there. All are written in full into a hidden folder inside
/// it before the first gets its name, so that none is ever half written; files of other names are left alone.
///
/// # Errors
/// When a file or folder cannot be made.
pub fn write_files(dir: &Path, files: &[(&str, Vec<u8>)]) -> Result<(), WriteError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| WriteError::Io { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let scratch = tempfile::Builder::new().prefix(".rollcage-").tempdir_in(dir).map_err(failed(dir))?;
    for (name, bytes) in files {
        let path = scratch.path().join(name);
        fs::write(&path, bytes).map_err(failed(&path))?;
    }
    for (name, _) in files {
        let path = dir.join(name);
        fs::rename(scratch.path().join(name), &path).map_err(failed(&path))?;
    }
    Ok(())
}
