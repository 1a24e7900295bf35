//! A Python environment with exactly the packages that a requirements file pins: made once below the cache folder by the user's
//! own pip, under a temporary name, so that two tests at once are no trouble.

use rollcage::digest::{Digest, hex};
use rollcage::world::inference::cache_folder;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs to the end; what it needs is said if it cannot, or does not end well.
#[track_caller]
pub fn run(command: &mut Command, needs: &str) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} does not start: {e}; {needs}"));
    let said = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{command:?} ended with {}: {said}\n{needs}", output.status);
    output
}

const NEEDS_PYTHON: &str = "this test needs Python 3.11 or newer with venv and pip on PATH, as `python3`";

/// The Python of the environment `name` with the packages of `requirements`.
pub fn python(name: &str, requirements: &Path) -> PathBuf {
    let needs_index = format!(
        "this test needs pip to fetch the packages of {} once (its settings hold), or the folder it makes in the cache",
        requirements.display()
    );
    let base = if cfg!(windows) { "python" } else { "python3" };
    let version = run(Command::new(base).args(["-c", "import sys; print(sys.version)"]), NEEDS_PYTHON).stdout;
    let pinned = fs::read(requirements).expect("committed");
    let key = hex(&Digest::of(&[&pinned[..], &version].concat()).0[..8]);
    let folder = cache_folder().expect("a home folder, or ROLLCAGE_CACHE").join("venvs");
    let place = folder.join(format!("{name}-{key}"));
    let inside = |venv: &Path| venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !place.exists() {
        fs::create_dir_all(&folder).expect("a folder in the cache");
        let fresh = tempfile::Builder::new().prefix("new-").tempdir_in(&folder).expect("a folder in the cache");
        run(Command::new(base).args(["-m", "venv"]).arg(fresh.path()), NEEDS_PYTHON);
        let mut pip = Command::new(inside(fresh.path()));
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        run(pip.args(["--no-deps", "-r"]).arg(requirements), &needs_index);
        // Another test may have been faster: then its environment is as good.
        if fs::rename(fresh.path(), &place).is_ok() {
            let _ = fresh.keep();
        }
    }
    inside(&place)
}
