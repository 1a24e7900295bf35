//! Owns the claims about reading ONNX files, on models written byte by byte.

use super::*;
use proptest::prelude::*;

/// One length-delimited field.
fn part(number: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut out = vec![number << 3 | 2];
    if number > 15 {
        out = vec![(number << 3 | 2) | 0x80, number >> 4];
    }
    let mut length = body.len();
    while length > 127 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(body);
    out
}

/// One integer field.
fn int(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn tensor(name: &str, data_type: u8, data: &[u8]) -> Vec<u8> {
    [int(1, 2), int(2, data_type), part(8, name), data.to_vec()].concat()
}

/// A model with every place a float weight can stand in, and things that look like one and are not.
pub(super) fn model() -> Vec<u8> {
    let raw = tensor("raw", 1, &part(9, floats(&[1.0, 2.0])));
    let packed = tensor("packed", 1, &part(4, floats(&[3.0, 4.0, 5.0])));
    let single = tensor(
        "single",
        1,
        &floats(&[6.0, 7.0]).chunks(4).flat_map(|v| [&[4 << 3 | 5], v].concat()).collect::<Vec<_>>(),
    );
    let integers = tensor("integers", 7, &part(9, [0; 8]));
    let elsewhere = tensor("elsewhere", 1, &[part(13, part(1, "location")), int(14, 1)].concat());
    let constant =
        [part(4, "Constant"), part(5, [part(1, "value"), part(5, tensor("", 1, &part(9, floats(&[8.0]))))].concat())]
            .concat();
    let listed = floats(&[9.0, 10.0]).chunks(4).flat_map(|v| [&[7 << 3 | 5], v].concat()).collect::<Vec<_>>();
    let tree = [
        part(5, [part(1, "nodes_values"), listed].concat()),
        part(5, [part(1, "nodes_hitrates"), part(7, floats(&[1.0]))].concat()),
        part(5, [part(1, "target_weights"), part(7, floats(&[11.0]))].concat()),
        part(7, "ai.onnx.ml"),
        part(4, "TreeEnsembleRegressor"),
    ]
    .concat();
    let branch =
        part(1, [part(4, "Constant"), part(5, [part(1, "value_floats"), part(7, floats(&[12.0]))].concat())].concat());
    let choice = [part(4, "If"), part(5, [part(1, "then_branch"), part(6, branch)].concat())].concat();
    let sparse = part(1, tensor("sparse", 1, &part(9, floats(&[13.0]))));
    let graph = [
        part(1, constant),
        part(1, tree),
        part(1, choice),
        part(5, raw),
        part(5, packed),
        part(5, single),
        part(5, integers),
        part(5, elsewhere),
        part(15, sparse),
        part(11, part(1, "x")),
        part(11, part(1, "raw")),
        part(12, part(1, "y")),
    ]
    .concat();
    [
        int(1, 8),
        part(2, "hand"),
        part(7, graph),
        part(8, int(2, 17)),
        part(8, [part(1, "ai.onnx.ml"), int(2, 3)].concat()),
    ]
    .concat()
}

#[test]
fn every_float_weight_is_found_where_it_lies() {
    let bytes = model();
    let read = OnnxModel::read(&bytes).unwrap();
    let value = |at: usize| f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let found: Vec<(&str, Vec<f32>)> =
        read.weights.iter().map(|w| (w.name.as_str(), w.offsets().map(value).collect())).collect();
    let expected: Vec<(&str, Vec<f32>)> = vec![
        ("Constant.value", vec![8.0]),
        ("TreeEnsembleRegressor.nodes_values", vec![9.0, 10.0]),
        ("TreeEnsembleRegressor.target_weights", vec![11.0]),
        ("Constant.value_floats", vec![12.0]),
        ("raw", vec![1.0, 2.0]),
        ("packed", vec![3.0, 4.0, 5.0]),
        ("single", vec![6.0, 7.0]),
        ("sparse", vec![13.0]),
    ];
    assert_eq!(found, expected);
    assert_eq!(read.weight_count(), 13);
    assert_eq!(read.external, ["elsewhere"]);
}

#[test]
fn a_model_tells_its_ports_operators_and_versions() {
    let read = OnnxModel::read(&model()).unwrap();
    assert_eq!((read.ir_version, read.producer.as_str()), (8, "hand"));
    assert_eq!(read.inputs, ["x"], "an input with an initializer need not be fed");
    assert_eq!(read.outputs, ["y"]);
    let operators: Vec<(&str, usize)> = read.operators.iter().map(|(k, &n)| (k.as_str(), n)).collect();
    assert_eq!(operators, [("Constant", 2), ("If", 1), ("ai.onnx.ml.TreeEnsembleRegressor", 1)]);
    assert_eq!(read.opsets.into_iter().collect::<Vec<_>>(), [("ai.onnx".into(), 17), ("ai.onnx.ml".into(), 3)]);
}

#[test]
fn what_is_not_a_model_is_refused_with_the_place_and_the_reason() {
    let refuse = |bytes: &[u8]| OnnxModel::read(bytes).map(|_| ()).map_err(|e| (e.offset, e.reason));
    let ir = int(1, 8);
    assert_eq!(refuse(b""), Err((0, Reason::Empty)));
    assert_eq!(refuse(b"version https://git-lfs.github.com/spec/v1\n"), Err((0, Reason::LfsPointer)));
    assert_eq!(refuse(b"{\"format\":1}"), Err((0, Reason::Wire(BadWire::WireType(3)))));
    assert_eq!(refuse(&ir), Err((2, Reason::NoGraph)));
    assert_eq!(refuse(&part(7, "")), Err((2, Reason::NoVersion)));
    assert_eq!(refuse(&[ir.clone(), int(7, 1)].concat()), Err((2, Reason::FieldType(7, "ModelProto"))));
    let partial = part(7, part(5, tensor("t", 1, &part(9, [0; 6]))));
    assert_eq!(refuse(&[ir.clone(), partial].concat()).unwrap_err().1, Reason::PartialFloat);
    let bytes = model();
    let cut = &bytes[..bytes.len() / 2];
    assert_eq!(
        refuse(cut),
        Err((8, Reason::Wire(BadWire::Truncated))),
        "the graph, at byte 8, promises more than there is"
    );
}

#[test]
fn nesting_is_bounded_and_said_so() {
    let nested = |levels: usize| {
        let graph = (1..levels).fold(Vec::new(), |inner, _| part(1, part(5, part(6, inner))));
        [int(1, 8), part(7, graph)].concat()
    };
    assert!(OnnxModel::read(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(OnnxModel::read(&nested(DEPTH_MAX + 1)).unwrap_err().reason, Reason::TooDeep);
    assert_eq!(OnnxModel::read(&nested(5000)).unwrap_err().reason, Reason::TooDeep);
}

/// Whatever the bytes, each weight lies inside the file and no two overlap; an error lies inside the file too.
fn check_bounds(bytes: &[u8]) {
    match OnnxModel::read(bytes) {
        Ok(model) => {
            let mut at: Vec<usize> = model.weights.iter().flat_map(WeightArray::offsets).collect();
            at.sort_unstable();
            assert!(at.last().is_none_or(|&last| last + 4 <= bytes.len()));
            assert!(at.windows(2).all(|pair| pair[0] + 4 <= pair[1]));
        }
        Err(error) => assert!(error.offset <= bytes.len(), "{error}"),
    }
}

proptest! {
    #[test]
    fn mutated_models_never_panic_and_stay_in_bounds(hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), cut in any::<prop::sample::Index>()) {
        let mut bytes = model();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check_bounds(&bytes);
        check_bounds(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_bounds(&bytes);
    }
}
