//! Owns fetching the pinned library once into the cache, by the user's own pip: mirrors and proxies as pip is set up.
//!
//! Safe for many processes at once: a file lock serialises them, all but the first find the library there. What is
//! fetched is checked against two pinned hashes and renamed into place whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::{RuntimeError, one_line};
use super::pins::{self, Pin, VERSION};
use super::provision::{self, Located, NO_CACHE, NO_PYTHON, NO_WHEEL, Origin, Places};

/// Takes `wheel member target` and writes the member to the target.
const UNPACK: &str = "import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as source, open(sys.argv[3], 'wb') as target:
    shutil.copyfileobj(source, target)
";

pub(crate) fn fetch(places: &Places) -> Result<Located, RuntimeError> {
    let unavailable = |why: &str| RuntimeError::Unavailable { why: why.to_owned() };
    let pin = pins::here().ok_or_else(|| unavailable(NO_WHEEL))?;
    let cache = places.cache.as_deref().ok_or_else(|| unavailable(NO_CACHE))?;
    let pythons = pythons(places);
    if pythons.is_empty() {
        return Err(unavailable(NO_PYTHON));
    }

    let library = provision::library_path(cache, &pin);
    let folder = library.parent().unwrap_or(cache);
    fs::create_dir_all(folder).map_err(io("create the folder", folder))?;
    let lock_path = folder.join("lock");
    let lock =
        File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(io("open", &lock_path))?;
    lock.lock().map_err(io("lock", &lock_path))?;
    if let Some(located) = provision::cached(&library, &pin, Origin::Cache) {
        return Ok(located);
    }

    let workshop =
        tempfile::Builder::new().prefix("fetch-").tempdir_in(folder).map_err(io("create a folder in", folder))?;
    let mut why = String::new();
    for python in &pythons {
        match download(python, &pin, workshop.path()) {
            Ok(wheel) => {
                unpack(python, &pin, &wheel, workshop.path(), &library)?;
                return provision::cached(&library, &pin, Origin::Fetched)
                    .ok_or_else(|| unavailable("the library vanished from the cache folder"));
            }
            Err(Attempt::Failed(reason)) if why.is_empty() => why = reason,
            Err(Attempt::Failed(_)) => {}
            Err(Attempt::Wrong(error)) => return Err(error),
        }
    }
    Err(unavailable(&why))
}

enum Attempt {
    /// This Python or its pip could not do it; another may.
    Failed(String),
    /// It did, but what came is not what was pinned.
    Wrong(RuntimeError),
}

fn download(python: &Path, pin: &Pin, workshop: &Path) -> Result<PathBuf, Attempt> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp", "--abi", "cp312"])
        .args(["--platform", pin.platform, "--dest", "."])
        .arg(format!("onnxruntime=={VERSION}"));
    run(&mut pip, workshop).map_err(Attempt::Failed)?;
    let wheel = fs::read_dir(workshop)
        .ok()
        .and_then(|entries| {
            entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "whl"))
        })
        .ok_or_else(|| Attempt::Failed("pip ended well but left no wheel".to_owned()))?;
    check(&wheel, "the fetched wheel", pin.wheel_sha256).map_err(Attempt::Wrong)?;
    Ok(wheel)
}

fn unpack(python: &Path, pin: &Pin, wheel: &Path, workshop: &Path, library: &Path) -> Result<(), RuntimeError> {
    let fresh = workshop.join("library");
    let mut zipfile = Command::new(python);
    zipfile.arg("-c").arg(UNPACK).arg(wheel).arg(pin.member).arg(&fresh);
    run(&mut zipfile, workshop).map_err(|why| RuntimeError::Unavailable { why })?;
    check(&fresh, "the library in the wheel", pin.library_sha256)?;
    fs::rename(&fresh, library).map_err(io("put in place", library))
}

fn check(path: &Path, what: &'static str, expected: &str) -> Result<(), RuntimeError> {
    let (_, found) = provision::hash_file(path).map_err(io("read", path))?;
    if found == expected {
        return Ok(());
    }
    Err(RuntimeError::WrongHash { what, expected: expected.to_owned(), found })
}

/// Runs in the workshop, so that no module in the user's working folder stands in for pip or zipfile.
fn run(command: &mut Command, workshop: &Path) -> Result<(), String> {
    let output = command
        .current_dir(workshop)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("Python does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(reason(&String::from_utf8_lossy(&output.stderr)))
}

/// The line that says most: pip's last `ERROR:`, else the last line.
fn reason(stderr: &str) -> String {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().rfind(|line| line.starts_with("ERROR:")).or_else(|| lines().next_back());
    one_line(line.map_or("Python failed without a message", |line| line.trim_start_matches("ERROR:")))
}

/// `python3` and `python` as PATH has them, the first of each, without the same file twice.
pub(crate) fn pythons(places: &Places) -> Vec<PathBuf> {
    let Some(search_path) = &places.search_path else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = Vec::new();
    for name in ["python3", "python"] {
        let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        let first = std::env::split_paths(search_path).map(|folder| folder.join(&file)).find(|path| path.is_file());
        found.extend(first.filter(|path| path.is_absolute()));
    }
    found
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> RuntimeError {
    let path = path.to_path_buf();
    move |source| RuntimeError::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_pips_error_without_the_index() {
        let check = |stderr: &str, expect: &str| assert_eq!(reason(stderr), expect);
        check(
            "WARNING: retrying https://index.example/simple\nERROR: No matching distribution found for onnxruntime==1.32.0\n\n[notice] x\n",
            "No matching distribution found for onnxruntime==1.32.0",
        );
        check("/usr/bin/python3: No module named pip\n", "python3: No module named pip");
        check("", "Python failed without a message");
    }

    #[test]
    fn a_file_with_another_hash_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wheel");
        fs::write(&path, b"abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(super::check(&path, "the fetched wheel", abc).is_ok());
        fs::write(&path, b"abd").unwrap();
        assert!(matches!(super::check(&path, "the fetched wheel", abc), Err(RuntimeError::WrongHash { .. })));
    }
}
