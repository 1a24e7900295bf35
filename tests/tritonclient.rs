//! A real `tritonclient.http` with its defaults against a real replica, through every call that a user makes.
//!
//! The client comes from the user's own pip, pinned, into a folder of its own below the cache folder.

#[path = "common/serving.rs"]
mod serving;

use rollcage::artifact::Signature;
use rollcage::digest::{Digest, hex};
use rollcage::world::inference::{Engine, cache_folder, locate};
use serving::{Server, shipped};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tritonclient").join(name)
}

/// Runs to the end; what it needs is said if it cannot, or does not end well.
#[track_caller]
fn run(command: &mut Command, needs: &str) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} does not start: {e}; {needs}"));
    let said = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{command:?} ended with {}: {said}\n{needs}", output.status);
    output
}

const NEEDS_PYTHON: &str = "this test needs Python 3.11 or newer with venv and pip on PATH, as `python3`";
const NEEDS_INDEX: &str = "this test needs pip to fetch the packages of tests/fixtures/tritonclient/requirements.txt \
                           once (its settings hold), or the folder it makes in the cache";

/// The Python of an environment that has exactly the pinned packages; made once, under a temporary name.
fn python() -> PathBuf {
    let base = if cfg!(windows) { "python" } else { "python3" };
    let version = run(Command::new(base).args(["-c", "import sys; print(sys.version)"]), NEEDS_PYTHON).stdout;
    let requirements = fs::read(fixture("requirements.txt")).expect("committed");
    let key = hex(&Digest::of(&[&requirements[..], &version].concat()).0[..8]);
    let folder = cache_folder().expect("a home folder, or ROLLCAGE_CACHE").join("venvs");
    let place = folder.join(format!("tritonclient-{key}"));
    let inside = |venv: &Path| venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !place.exists() {
        fs::create_dir_all(&folder).expect("a folder in the cache");
        let fresh = tempfile::Builder::new().prefix("new-").tempdir_in(&folder).expect("a folder in the cache");
        run(Command::new(base).args(["-m", "venv"]).arg(fresh.path()), NEEDS_PYTHON);
        let mut pip = Command::new(inside(fresh.path()));
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        run(pip.args(["--no-deps", "-r"]).arg(fixture("requirements.txt")), NEEDS_INDEX);
        // Another test may have been faster: then its environment is as good.
        if fs::rename(fresh.path(), &place).is_ok() {
            let _ = fresh.keep();
        }
    }
    inside(&place)
}

#[test]
fn a_session_of_tritonclient_with_its_defaults_goes_through() {
    let python = python();
    let bytes = fs::read(shipped("mlp-linear-v1.onnx")).expect("committed");
    let other = fs::read(shipped("mlp-linear-v2.onnx")).expect("committed");
    let server = Server::start(&shipped("mlp-linear-v1.onnx"), &[]);
    let mut session = Command::new(python);
    session.arg(fixture("session.py")).args([&server.address, "m", &Digest::of(&bytes).to_string()]);
    session.arg(shipped("mlp-linear-v2.onnx")).arg(Digest::of(&other).to_string());
    let told = run(&mut session, "the step that failed is named above").stdout;

    // The same batch in this process.
    let signature = Signature { input: "x".to_owned(), features: 16, output: "score".to_owned(), column: 0 };
    let engine = Engine::start(&locate().expect("a runtime")).expect("starts");
    let rows: Vec<f32> = (0..5 * 16).map(|i: i16| f32::from(i % 23 - 11) / 8.0).collect();
    let mut scores = [0.0; 5];
    engine.load(&bytes, &signature).expect("loads").run_rows(&rows, &mut scores).expect("scores");
    let bits: Vec<u8> = scores.iter().flat_map(|score| score.to_le_bytes()).collect();
    assert_eq!(String::from_utf8_lossy(&told).trim(), hex(&bits));
}
