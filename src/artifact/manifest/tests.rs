//! Owns the claims about manifests.

use super::*;
use proptest::prelude::*;

const TRAINED: &str = r#"{
  "format": 1, "name": "census-v2", "task": "census", "model": "census-v2.onnx",
  "digest": "sha256:f67db5765760db6e18206779010ab5bea514c246d3649d1b341b5b4f9d02d40c", "bytes": 5590,
  "input": {"name": "input", "features": ["AGEP", "SEX"]}, "output": {"name": "probabilities", "column": 1},
  "schema": {"name": "census", "version": 1},
  "lineage": {
    "training_data": {"file": "a.csv.gz", "digest": "sha256:6af73bb4860420978c682632b09c26b16ae022a7973da871e3eda2b1707a5011",
      "rows": 34393, "selection": "every second row"},
    "estimator": "MLPClassifier", "hyperparameters": {"alpha": 0.0001, "hidden_layer_sizes": [32, 16]},
    "libraries": {"scikit-learn": "1.9.1"},
    "parent": "sha256:529660ba580f9448e07d7b3011e171562a4bce48962747c1e4941d1c50197fe7"},
  "evaluation": {"rows": 34392, "selection": "held back", "accuracy": 0.822081, "auc": 0.897522, "brier": 0.126484,
    "log_loss": 0.392673, "segments": {"SEX": {"1": {"rows": 16578, "true_positive_rate": null}}}},
  "note": "fields that are not known are ignored"
}"#;

fn with(old: &str, new: &str) -> Result<Manifest, ManifestError> {
    assert!(TRAINED.contains(old), "{old}");
    Manifest::parse(TRAINED.replacen(old, new, 1).as_bytes())
}

#[test]
fn a_manifest_is_read_with_its_lineage_and_evaluation() {
    let m = Manifest::parse(TRAINED.as_bytes()).unwrap();
    let signature = Signature { input: "input".into(), features: 2, output: "probabilities".into(), column: 1 };
    assert_eq!((m.signature(), m.bytes, m.schema.version), (signature, 5590, 1));
    assert_eq!(m.lineage.training_data.as_ref().map(|t| t.rows), Some(34393));
    assert_eq!(m.lineage.parent.map(|d| d.short()), Some("sha256:5296…".into()));
    assert_eq!((m.evaluation.auc, m.evaluation.rows), (Some(0.897522), 34392));
    let segment = &m.evaluation.segments["SEX"]["1"];
    assert_eq!((segment["rows"], segment["true_positive_rate"]), (Some(16578.0), None));
    assert_eq!(m.concept(), None);
}

#[test]
fn a_constructed_model_names_its_concept() {
    let lineage = |weights: &str| {
        let start = TRAINED.find(r#""lineage""#).unwrap();
        let end = TRAINED.find(r#""evaluation""#).unwrap();
        let concept =
            format!(r#""lineage": {{"constructed": true, "concept": {{"weights": {weights}, "bias": -0.5}}}},"#);
        Manifest::parse([&TRAINED[..start], &concept, &TRAINED[end..]].concat().as_bytes())
    };
    let m = lineage("[0.25, -1]").unwrap();
    assert_eq!((m.concept(), m.lineage.constructed), (Some((vec![0.25, -1.0], -0.5)), true));
    let field = "lineage.concept.weights";
    assert_eq!(lineage("[1]"), Err(ManifestError::Invalid { field, reason: "must have one weight per feature" }));
}

#[test]
fn mistakes_are_named_with_their_place() {
    assert_eq!(with("\"format\": 1", "\"format\": 2, \"bytes\": {}"), Err(ManifestError::UnknownFormat(2)));
    let json = |result: Result<Manifest, ManifestError>| match result {
        Err(ManifestError::Json { line, column, reason }) => (line, column, reason),
        other => panic!("{other:?}"),
    };
    assert_eq!(json(with("\"rows\": 34393,", "\"rows\": -1,")).0, 8);
    assert_eq!(json(with("5590,", "5590")), (4, 3, "expected `,` or `}`".into()));
    assert_eq!(json(with("\"task\"", "\"tusk\"")).2, "missing field `task`");
    assert_eq!(json(Manifest::parse(b"")).2, "EOF while parsing a value");
    let bad =
        |field, text: &str, line, column| Err(ManifestError::BadDigest { field, text: text.into(), line, column });
    let parent = "sha256:529660ba580f9448e07d7b3011e171562a4bce48962747c1e4941d1c50197fe7";
    assert_eq!(with(parent, "sha1:52"), bad("lineage.parent", "sha1:52", 11, 24));
    let said = with("sha256:f67d", "sha1:f67d").unwrap_err().to_string();
    assert!(said.starts_with("line 3, column 83: digest must be sha256: and 64 hex digits, not \"sha1:f67d"), "{said}");
    let earlier = Manifest::parse(TRAINED.replacen("\"census\"", "1", 1).replacen(parent, "sha1:52", 1).as_bytes());
    assert_eq!(json(earlier).0, 2, "what comes first is named first");
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    let field = |result: Result<Manifest, ManifestError>| match result {
        Err(ManifestError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    for path in ["../x.onnx", "/etc/passwd", "a\\\\b", "..", "C:x", ""] {
        assert_eq!(field(with("\"census-v2.onnx\"", &format!("\"{path}\""))), "model", "{path}");
    }
    assert_eq!(field(with("\"AGEP\", \"SEX\"", "")), "input.features");
    assert_eq!(field(with("\"AGEP\"", "\"SEX\"")), "input.features");
    assert_eq!(field(with("\"name\": \"census-v2\"", "\"name\": \"\"")), "name");
}

proptest! {
    #[test]
    fn mutated_manifests_never_panic(hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = TRAINED.as_bytes().to_vec();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = Manifest::parse(&bytes).map_err(|e| e.to_string());
    }
}
