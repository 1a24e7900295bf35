//! Owns where the ONNX Runtime library comes from: which places are looked at, in which order, and what was found there.
//!
//! Order: `ORT_DYLIB_PATH`; beside the executable; the cache folder; else fetched once into the cache (see `fetch`).
//! A library with another hash than the pinned one is used only when it was named on purpose, in the first two places,
//! and is then reported as foreign.

pub(crate) use crate::digest::hex;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::error::RuntimeError;
use super::fetch;
use super::pins::{self, Pin, VERSION};

/// Where a library was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Named by `ORT_DYLIB_PATH`.
    Variable,
    /// In the folder of the executable.
    BesideExecutable,
    /// In the cache folder, fetched earlier.
    Cache,
    /// Fetched just now into the cache folder.
    Fetched,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Variable => "ORT_DYLIB_PATH",
            Self::BesideExecutable => "beside the executable",
            Self::Cache => "cache folder",
            Self::Fetched => "fetched by pip",
        })
    }
}

/// A library that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Absolute path of the library.
    pub path: PathBuf,
    /// Where it was found.
    pub origin: Origin,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Whether it is another build than the pinned one: then digests of inference compare only with the same build.
    pub foreign: bool,
    /// The version, where it is known: the pinned one, or what a foreign library's file name says.
    pub version: Option<String>,
}

/// The places to look at. Plain data, so that a search can be told apart from the process's own environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The value of `ORT_DYLIB_PATH`.
    pub variable: Option<PathBuf>,
    /// The executable's folder.
    pub beside: Option<PathBuf>,
    /// The cache folder.
    pub cache: Option<PathBuf>,
    /// The value of `PATH`, for finding Python.
    pub search_path: Option<OsString>,
}

impl Places {
    /// The places of this process. An empty variable counts as unset.
    #[must_use]
    pub fn of_process() -> Self {
        let executable = std::env::current_exe().ok();
        Self {
            variable: set("ORT_DYLIB_PATH").map(PathBuf::from),
            beside: executable.and_then(|path| path.parent().map(Path::to_path_buf)),
            cache: cache_folder(),
            search_path: set("PATH"),
        }
    }
}

fn set(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

/// The cache folder: `ROLLCAGE_CACHE`, else `XDG_CACHE_HOME/rollcage`, else the platform's own place for caches.
/// `None` where no home is known. Nothing is created.
#[must_use]
pub fn cache_folder() -> Option<PathBuf> {
    if let Some(named) = set("ROLLCAGE_CACHE") {
        return std::path::absolute(named).ok();
    }
    if let Some(xdg) = set("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
        return Some(xdg.join("rollcage"));
    }
    if cfg!(windows) {
        return set("LOCALAPPDATA").map(|data| PathBuf::from(data).join("rollcage"));
    }
    let home = std::env::home_dir().filter(|home| home.is_absolute())?;
    Some(home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }).join("rollcage"))
}

/// Finds the library in the places of this process, fetching it once if need be.
///
/// # Errors
/// See [`RuntimeError`]; the messages name the ways to get the library.
pub fn locate() -> Result<Located, RuntimeError> {
    locate_in(&Places::of_process())
}

/// Finds the library in the given places, fetching it once into the cache if need be.
///
/// # Errors
/// As [`locate`].
pub fn locate_in(places: &Places) -> Result<Located, RuntimeError> {
    match find(places)? {
        Some(located) => Ok(located),
        None => fetch::fetch(places),
    }
}

/// Finds the library without fetching: `None` means that [`locate_in`] would fetch it.
///
/// # Errors
/// [`RuntimeError::OverrideMissing`] if the variable names no file; [`RuntimeError::Io`] if a library cannot be read.
pub fn find(places: &Places) -> Result<Option<Located>, RuntimeError> {
    if let Some(path) = &places.variable {
        if !path.is_file() {
            return Err(RuntimeError::OverrideMissing { path: path.clone() });
        }
        return named(path, Origin::Variable).map(Some);
    }
    if let Some(path) = places.beside.as_deref().and_then(beside) {
        return named(&path, Origin::BesideExecutable).map(Some);
    }
    match (&places.cache, pins::here()) {
        (Some(cache), Some(pin)) => Ok(cached(&library_path(cache, &pin), &pin, Origin::Cache)),
        _ => Ok(None),
    }
}

/// Where in the cache the pinned library lies.
pub(crate) fn library_path(cache: &Path, pin: &Pin) -> PathBuf {
    cache.join("onnxruntime").join(VERSION).join(pin.platform).join(pin.file_name())
}

/// The pinned library in the cache, if it is there and is the pinned one. Its hash is computed once and stamped.
pub(crate) fn cached(path: &Path, pin: &Pin, origin: Origin) -> Option<Located> {
    if !path.is_file() {
        return None;
    }
    let stamp_path = stamp_path(path);
    let stamp = stamp_of(path)?;
    if fs::read_to_string(&stamp_path).ok().as_deref() != Some(stamp.as_str()) {
        let (_, found) = hash_file(path).ok()?;
        if found != pin.library_sha256 {
            return None;
        }
        let _ = replace(&stamp_path, stamp.as_bytes());
    }
    Some(Located {
        path: path.to_path_buf(),
        origin,
        sha256: unhex(pin.library_sha256)?,
        foreign: false,
        version: Some(VERSION.to_owned()),
    })
}

fn stamp_path(path: &Path) -> PathBuf {
    path.with_extension("checked")
}

/// What the stamp says of a library whose hash was checked: size and time of change. A hint against rot and careless
/// copying, not against somebody who may write to the cache: that person may also write the executable's profile.
fn stamp_of(path: &Path) -> Option<String> {
    let meta = fs::metadata(path).ok()?;
    let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{} {}.{:09}\n", meta.len(), changed.as_secs(), changed.subsec_nanos()))
}

/// Writes a small file whole: readers see the old content or the new.
pub(crate) fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut temporary, content)?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

pub(crate) fn beside(folder: &Path) -> Option<PathBuf> {
    let plain = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let pinned = pins::here().map(|pin| pin.file_name().to_owned());
    pinned.into_iter().chain([plain]).map(|name| folder.join(name)).find(|path| path.is_file())
}

/// A library that somebody named on purpose: any build will do, but it is told apart.
pub(crate) fn named(path: &Path, origin: Origin) -> Result<Located, RuntimeError> {
    let io = |source| RuntimeError::Io { what: "read", path: path.to_path_buf(), source };
    let path = fs::canonicalize(path).map_err(io)?;
    let (sha256, hex) = hash_file(&path).map_err(io)?;
    let foreign = pins::here().is_none_or(|pin| pin.library_sha256 != hex);
    let version = if foreign { version_in(&path) } else { Some(VERSION.to_owned()) };
    Ok(Located { path, origin, sha256, foreign, version })
}

/// The version in a name like `libonnxruntime.so.1.26.0` or `libonnxruntime.1.26.0.dylib`.
fn version_in(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let numbers: Vec<&str> =
        name.split('.').filter(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())).collect();
    (numbers.len() == 3).then(|| numbers.join("."))
}

/// SHA-256 of a file, as bytes and hexadecimal.
pub(crate) fn hash_file(path: &Path) -> std::io::Result<([u8; 32], String)> {
    let digest = sha256(&fs::read(path)?);
    Ok((digest, hex(&digest)))
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn unhex(hex: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(out)
}

pub(crate) const NO_WHEEL: &str =
    "there is no wheel of this version for this platform (musl and macOS on x86-64 have none)";
pub(crate) const NO_PYTHON: &str = "neither `python3` nor `python` is on PATH";
pub(crate) const NO_CACHE: &str = "no cache folder is known; set ROLLCAGE_CACHE";

/// The ways to get the library, for error messages.
pub(crate) fn ways() -> String {
    let name = pins::here().map_or("the library", |pin| pin.file_name());
    let platform = pins::here().map_or("<platform>", |pin| pin.platform);
    format!(
        "ways to get it:\n\
         - be online once with Python 3 and pip (the settings of pip hold): it is fetched by itself\n\
         - on a machine that is: python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 --platform {platform} onnxruntime=={VERSION}; \
         unpack the wheel, which is a zip file, and set ORT_DYLIB_PATH to onnxruntime/capi/{name}\n\
         - put {name} beside the rollcage executable\n\
         - copy the cache folder of a machine of the same kind, and name it in ROLLCAGE_CACHE"
    )
}
