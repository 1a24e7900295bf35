//! Owns access to input files: from disk, or from memory so that tests feed strings. Remembers what was read, for the digest.

use crate::digest::{Digest, keyed};
use crate::plan::diagnostic::{Diagnostic, Source, did_you_mean, nearest};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// No input may be larger, unpacked.
pub const FILE_BYTES_MAX: u64 = 1 << 29;

/// Where inputs come from.
#[derive(Debug, Clone, Default)]
pub struct Files {
    memory: BTreeMap<PathBuf, Arc<[u8]>>,
    disk: bool,
    read: BTreeMap<PathBuf, Arc<[u8]>>,
    digests: Vec<Digest>,
}

impl Files {
    /// Files on disk.
    #[must_use]
    pub fn disk() -> Self {
        Self { disk: true, ..Self::default() }
    }

    /// Files in memory; with `disk`, what is not there is looked for on disk.
    #[must_use]
    pub fn memory<P: AsRef<Path>, B: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, B)>, disk: bool) -> Self {
        let memory = files.into_iter().map(|(path, bytes)| (tidy(path.as_ref()), Arc::from(bytes.into()))).collect();
        Self { memory, disk, ..Self::default() }
    }

    /// The bytes of a file, each file read once.
    ///
    /// # Errors
    /// What stands in the way, and a similar name beside it.
    pub fn read(&mut self, path: &Path) -> Result<Arc<[u8]>, FileError> {
        let key = tidy(path);
        if let Some(bytes) = self.read.get(&key) {
            return Ok(bytes.clone());
        }
        let bytes = match self.memory.get(&key) {
            Some(bytes) => bytes.clone(),
            None if self.disk => from_disk(path).map_err(|e| self.missing(path, &e))?,
            None => return Err(self.missing(path, "there is no such file")),
        };
        self.digests.push(Digest::of(&bytes));
        self.read.insert(key, bytes.clone());
        Ok(bytes)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// It cannot be read, or is not UTF-8.
    pub fn text(&mut self, path: &Path) -> Result<Source, FileError> {
        let bytes = self.read(path)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Source::new(shown(path), text)),
            Err(e) => Err(FileError {
                message: format!("`{}` is not text: byte {} is not UTF-8", shown(path), e.valid_up_to()),
                help: None,
            }),
        }
    }

    /// Whether there is such a file.
    #[must_use]
    pub fn exists(&self, path: &Path) -> bool {
        self.memory.contains_key(&tidy(path)) || (self.disk && path.is_file())
    }

    /// The names of the files in a folder, sorted.
    #[must_use]
    pub fn names(&self, folder: &Path) -> Vec<String> {
        let folder_key = tidy(folder);
        let mut names: Vec<String> = self
            .memory
            .keys()
            .filter(|path| path.parent() == Some(folder_key.as_path()))
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect();
        if self.disk {
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let entries = std::fs::read_dir(here).into_iter().flatten().flatten();
            names.extend(entries.filter_map(|e| e.file_name().into_string().ok()));
        }
        names.sort();
        names.dedup();
        names
    }

    /// A digest of the contents of all that was read, in the order it was first read.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let parts: Vec<&[u8]> =
            std::iter::once(&b"rollcage plan 1"[..]).chain(self.digests.iter().map(|d| &d.0[..])).collect();
        keyed(&parts)
    }

    fn missing(&self, path: &Path, why: &str) -> FileError {
        let message = format!("cannot read `{}`: {why}", shown(path));
        if self.disk && path.is_dir() {
            let inside = self.files(path, Some("toml".as_ref()));
            let inside: Vec<String> = inside.iter().map(|name| shown(&path.join(name))).collect();
            let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
            return FileError { message, help: did_you_mean("", &inside, "files in it") };
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let wanted = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let alike = self.files(folder, path.extension());
        let alike: Vec<&str> = alike.iter().map(String::as_str).filter(|name| *name != wanted).collect();
        if nearest(wanted, alike.iter().copied()).is_none()
            && let Some(meant) = self.by_name(folder, path)
        {
            return FileError { message, help: Some(format!("did you mean `{meant}`?")) };
        }
        let help = if alike.is_empty() { None } else { did_you_mean(wanted, &alike, "files there") };
        FileError { message, help }
    }

    /// A scenario beside the path or in `scenarios/` beside it, of which the path has about the name.
    fn by_name(&self, folder: &Path, path: &Path) -> Option<String> {
        let stem = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        let places = [folder.to_owned(), folder.join("scenarios")];
        let inside = |place: &PathBuf| {
            self.files(place, Some("toml".as_ref())).into_iter().map(|name| place.join(name)).collect::<Vec<_>>()
        };
        let found: Vec<PathBuf> = places.iter().flat_map(inside).collect();
        let stems: Vec<String> = found.iter().filter_map(|path| stem(path)).collect();
        let meant = nearest(&stem(path)?, stems.iter().map(String::as_str))?;
        found.iter().find(|path| stem(path).as_deref() == Some(meant)).map(|path| shown(path))
    }

    /// The names of the files in a folder that have this extension; hidden ones left out.
    fn files(&self, folder: &Path, extension: Option<&OsStr>) -> Vec<String> {
        let mut names = self.names(folder);
        names.retain(|name| {
            !name.starts_with('.') && Path::new(name).extension() == extension && self.exists(&folder.join(name))
        });
        names
    }
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// What stands in the way.
    pub message: String,
    /// What may be meant.
    pub help: Option<String>,
}

impl FileError {
    /// As a mistake of that file.
    #[must_use]
    pub fn about(self, path: &Path) -> Diagnostic {
        Diagnostic::whole(shown(path), self.message).maybe_help(self.help)
    }
}

fn from_disk(path: &Path) -> Result<Arc<[u8]>, String> {
    let explain = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => e.to_string(),
    };
    let file = std::fs::File::open(path).map_err(explain)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(explain)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20));
    }
    Ok(bytes.into())
}

/// A path as people see it: without detours, with forward slashes.
#[must_use]
pub fn shown(path: &Path) -> String {
    tidy(path).to_string_lossy().replace('\\', "/")
}

/// The path without `.` and with `..` resolved by name.
fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
