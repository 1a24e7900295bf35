//! A real `tritonclient.http` with its defaults against a real replica, through every call that a user makes.
//!
//! The client comes from the user's own pip, pinned, into a folder of its own below the cache folder.

#[path = "common/serving.rs"]
mod serving;
#[path = "common/venv.rs"]
mod venv;

use rollcage::artifact::Signature;
use rollcage::digest::{Digest, hex};
use rollcage::world::inference::{Engine, locate};
use serving::{Server, shipped};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use venv::run;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tritonclient").join(name)
}

#[test]
fn a_session_of_tritonclient_with_its_defaults_goes_through() {
    let python = venv::python("tritonclient", &fixture("requirements.txt"));
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
