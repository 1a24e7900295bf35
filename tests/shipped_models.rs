//! The models that ship are what their manifests say, and damage to them is real damage.

use rollcage::artifact::corrupt::{Corruption, Damage, corrupt_counted};
use rollcage::artifact::manifest::Manifest;
use rollcage::artifact::onnx::OnnxModel;
use rollcage::digest::Digest;
use std::path::Path;

fn shipped() -> Vec<(Manifest, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("synthetic/models");
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "json"));
    paths.sort();
    assert!(!paths.is_empty(), "no manifests in {}", folder.display());
    let read = |path: &std::path::PathBuf| {
        let manifest =
            Manifest::parse(&std::fs::read(path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let bytes = std::fs::read(folder.join(&manifest.model)).unwrap();
        (manifest, bytes)
    };
    paths.iter().map(read).collect()
}

#[test]
fn shipped_models_match_their_manifests_and_name_their_ports() {
    for (manifest, bytes) in shipped() {
        let name = &manifest.name;
        assert_eq!(Digest::of(&bytes), manifest.digest, "{name}");
        assert_eq!(bytes.len() as u64, manifest.bytes, "{name}");
        let model = OnnxModel::read(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(model.inputs, [manifest.input.name.as_str()], "{name}");
        assert!(model.outputs.contains(&manifest.output.name), "{name}: {:?}", model.outputs);
        assert!(model.weight_count() > 0 && model.external.is_empty(), "{name}");
        assert!(manifest.lineage.constructed || manifest.lineage.training_data.is_some(), "{name} has no lineage");
        assert_eq!(manifest.lineage.constructed, manifest.concept().is_some(), "{name}");
    }
}

#[test]
fn damage_to_a_shipped_model_hits_its_weights_and_is_caught_by_its_digest() {
    for (manifest, bytes) in shipped() {
        for what in [Damage::ExponentBits, Damage::MantissaBits, Damage::SignBit, Damage::Zero, Damage::Bytes] {
            let done = corrupt_counted(&bytes, &Corruption { what, share: 0.05, seed: 1, bits: None }).unwrap();
            assert!(
                done.hits >= 1 && done.hits * 20 <= done.of + 20,
                "{}: {} of {}",
                manifest.name,
                done.hits,
                done.of
            );
            if what != Damage::Bytes {
                let (before, after) = (OnnxModel::read(&bytes), OnnxModel::read(&done.bytes));
                assert_eq!(before, after, "{}: {what:?} leaves the structure as it was", manifest.name);
            }
            assert_ne!(Digest::of(&done.bytes), manifest.digest, "{}: {what:?}", manifest.name);
        }
    }
}
