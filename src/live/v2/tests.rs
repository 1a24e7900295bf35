//! Tests of the protocol's bytes: both forms keep values to the bit, malformed ones are refused by name, none panics.

use super::*;
use crate::world::inference::{DataType, Tensor, TensorData, with_values};
use proptest::prelude::*;

fn data(datatype: DataType, count: usize) -> BoxedStrategy<TensorData> {
    macro_rules! numbers {
        ($variant:ident, $number:ty) => {
            prop::collection::vec(any::<$number>(), count).prop_map(TensorData::$variant).boxed()
        };
    }
    match datatype {
        DataType::Bool => numbers!(Bool, bool),
        DataType::Uint8 => numbers!(Uint8, u8),
        DataType::Uint16 => numbers!(Uint16, u16),
        DataType::Uint32 => numbers!(Uint32, u32),
        DataType::Uint64 => numbers!(Uint64, u64),
        DataType::Int8 => numbers!(Int8, i8),
        DataType::Int16 => numbers!(Int16, i16),
        DataType::Int32 => numbers!(Int32, i32),
        DataType::Int64 => numbers!(Int64, i64),
        DataType::Fp32 => {
            prop::collection::vec(any::<u32>().prop_map(f32::from_bits), count).prop_map(TensorData::Fp32).boxed()
        }
        DataType::Fp64 => {
            prop::collection::vec(any::<u64>().prop_map(f64::from_bits), count).prop_map(TensorData::Fp64).boxed()
        }
        DataType::Bytes => prop::collection::vec(any::<String>(), count).prop_map(TensorData::Bytes).boxed(),
    }
}

fn tensor() -> impl Strategy<Value = Tensor> {
    let shape = prop::collection::vec(0..5usize, 0..4);
    (any::<String>(), shape, prop::sample::select(DataType::ALL.to_vec())).prop_flat_map(|(name, shape, datatype)| {
        let count = shape.iter().product();
        data(datatype, count).prop_map(move |data| Tensor { name: name.clone(), shape: shape.clone(), data })
    })
}

/// What JSON can say: finite values and the one NaN.
fn sayable(mut tensor: Tensor) -> Tensor {
    match &mut tensor.data {
        TensorData::Fp32(values) => values.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = f32::NAN),
        TensorData::Fp64(values) => values.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = f64::NAN),
        _ => {}
    }
    tensor
}

fn bits(tensors: &[Tensor]) -> Vec<(String, Vec<usize>, DataType, Vec<u8>)> {
    let bits = |tensor: &Tensor| {
        let mut bytes = Vec::new();
        raw::write(&tensor.data, &mut bytes);
        (tensor.name.clone(), tensor.shape.clone(), tensor.data.datatype(), bytes)
    };
    tensors.iter().map(bits).collect()
}

/// The data of a tensor as nested arrays.
fn nested(shape: &[usize], flat: &[serde_json::Value]) -> serde_json::Value {
    match shape {
        [] | [_] => serde_json::Value::from(flat.to_vec()),
        [rows, inner @ ..] => {
            let size = inner.iter().product::<usize>();
            (0..*rows).map(|row| nested(inner, &flat[row * size..(row + 1) * size])).collect()
        }
    }
}

proptest! {
    #[test]
    fn requests_survive_the_binary_form_to_the_bit(
        inputs in prop::collection::vec(tensor(), 1..4), id in any::<Option<String>>(), binary_output in any::<bool>(),
        names in prop::collection::vec((any::<String>(), any::<Option<bool>>()), 0..3),
    ) {
        let outputs = names.into_iter().map(|(name, binary)| WantedOutput { name, binary }).collect();
        let request = InferRequest { id, inputs, outputs, binary_output, ..InferRequest::default() };
        let encoded = request.encode(true).unwrap();
        let read = InferRequest::decode(&encoded.body, encoded.json_len).unwrap();
        prop_assert_eq!(bits(&read.inputs), bits(&request.inputs));
        prop_assert_eq!((read.id, read.outputs, read.binary_output), (request.id, request.outputs, binary_output));
    }

    #[test]
    fn requests_survive_json_to_the_bit(inputs in prop::collection::vec(tensor().prop_map(sayable), 1..4)) {
        let request = InferRequest { inputs, ..InferRequest::default() };
        let encoded = request.encode(false).unwrap();
        prop_assert_eq!(encoded.json_len, None);
        let read = InferRequest::decode(&encoded.body, None).unwrap();
        prop_assert_eq!(bits(&read.inputs), bits(&request.inputs));
    }

    #[test]
    fn answers_survive_mixed_forms_to_the_bit(
        outputs in prop::collection::vec(tensor().prop_map(sayable), 0..4), mask in any::<u8>(), id in any::<Option<String>>(),
    ) {
        let form = |name: &str| name.len() as u8 & mask & 1 == 1;
        let response = InferResponse {
            model_name: "m".to_owned(), model_version: Some("1".to_owned()), id, outputs, ..InferResponse::default()
        };
        let encoded = response.encode(form).unwrap();
        let read = InferResponse::decode(&encoded.body, encoded.json_len).unwrap();
        prop_assert_eq!(bits(&read.outputs), bits(&response.outputs));
        prop_assert_eq!((read.model_name, read.id), (response.model_name, response.id));
    }

    #[test]
    fn nested_data_is_read_as_flat_data_is(tensor in tensor().prop_map(sayable)) {
        let flat = with_values!(&tensor.data, values => serde_json::to_value(values).unwrap());
        let mut json = Vec::new();
        json::write(&tensor.data, &mut json).unwrap();
        // A zero among the dimensions leaves nothing to nest.
        prop_assume!(!tensor.shape.contains(&0));
        let data = nested(&tensor.shape, flat.as_array().unwrap());
        let body = serde_json::json!({"inputs": [{
            "name": tensor.name, "shape": tensor.shape, "datatype": tensor.data.datatype().name(), "data": data,
        }]});
        let read = InferRequest::decode(body.to_string().as_bytes(), None).unwrap();
        prop_assert_eq!(bits(&read.inputs), bits(&[tensor]));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(body in any::<Vec<u8>>(), json_len in any::<Option<u8>>()) {
        let json_len = json_len.map(usize::from);
        let _ = InferRequest::decode(&body, json_len);
        let _ = InferResponse::decode(&body, json_len);
        let _ = LoadRequest::decode(&body);
        let _ = IndexRequest::decode(&body);
    }

    #[test]
    fn damaged_messages_do_not_panic(
        tensor in tensor(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let request = InferRequest { inputs: vec![tensor], ..InferRequest::default() };
        let encoded = request.encode(true).unwrap();
        let mut body = encoded.body.to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let _ = InferRequest::decode(&body, encoded.json_len);
        body.truncate(cut.index(body.len()));
        let _ = InferRequest::decode(&body, encoded.json_len);
    }
}

#[test]
fn every_f32_of_a_sweep_survives_json() {
    // A stride that is prime meets all exponents and both signs.
    let values: Vec<f32> = (0..u32::MAX).step_by(4_099).map(f32::from_bits).filter(|v| v.is_finite()).collect();
    let tensor = Tensor { name: "x".to_owned(), shape: vec![values.len()], data: TensorData::Fp32(values) };
    let request = InferRequest { inputs: vec![tensor], ..InferRequest::default() };
    let read = InferRequest::decode(&request.encode(false).unwrap().body, None).unwrap();
    assert_eq!(bits(&read.inputs), bits(&request.inputs));
}

#[test]
fn what_is_wrong_is_said_with_the_tensor() {
    let check = |input: &str, expect: &str| {
        let body = format!(r#"{{"inputs":[{{"name":"x",{input}}}]}}"#);
        let said = InferRequest::decode(body.as_bytes(), None).expect_err("malformed").to_string();
        assert!(said.contains("x") && said.contains(expect), "{said}");
    };
    check(r#""shape":[2],"datatype":"FP16","data":[1,2]"#, "`FP16` is not served; served are BOOL, ");
    check(r#""shape":[-1],"datatype":"FP32","data":[1]"#, "shape [-1] is not that of a tensor");
    check(r#""shape":[4294967296,4294967296,2],"datatype":"FP32","data":[1]"#, "is not that of a tensor");
    check(r#""shape":[3],"datatype":"FP32","data":[1,2]"#, "2 values in an array, its shape says 3");
    check(r#""shape":[1],"datatype":"FP32","data":[1,2]"#, "more than 1 values");
    check(r#""shape":[2,2],"datatype":"FP32","data":[[1,2,3],[4]]"#, "more than 2 values");
    check(r#""shape":[2,2],"datatype":"FP32","data":[[[1,2,3,4]]]"#, "nested 3 deep, expected 1 or the 2 dimensions");
    check(r#""shape":[1],"datatype":"FP32","data":["a"]"#, "invalid type: string");
    check(r#""shape":[1],"datatype":"FP32","data":[1e39]"#, "out of range");
    check(r#""shape":[1],"datatype":"UINT8","data":[256]"#, "invalid value");
    check(r#""shape":[1],"datatype":"INT8","data":[1.5]"#, "invalid type");
    check(r#""shape":[1],"datatype":"FP32","data":7"#, "data is not an array");
    check(r#""shape":[1],"datatype":"FP32""#, "neither `data` nor");
    check(r#""shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}"#, "0 bytes are left");
    check(r#""shape":[1],"datatype":"FP32","data":[1],"parameters":{"binary_data_size":4}"#, "both");
    check(r#""shape":[1],"data":[1]"#, "it has no `datatype`");
    check(r#""datatype":"FP32","data":[1]"#, "it has no `shape`");
    assert_eq!(InferRequest::decode(b"{}", Some(3)), Err(V2Error::JsonLength { announced: 3, body: 2 }));
    assert_eq!(InferRequest::decode(br#"{"inputs":[]}xy"#, Some(13)), Err(V2Error::Trailing { count: 2 }));
    let classes = br#"{"inputs":[],"outputs":[{"name":"y","parameters":{"classification":3}}]}"#;
    assert!(InferRequest::decode(classes, None).expect_err("unserved").to_string().contains("classification"));
}

#[test]
fn json_says_nan_as_null_and_has_no_word_for_infinity() {
    let response = |value: f32| InferResponse {
        outputs: vec![Tensor { name: "y".to_owned(), shape: vec![1], data: TensorData::Fp32(vec![value]) }],
        ..InferResponse::default()
    };
    let nan = response(f32::NAN).encode(|_| false).unwrap();
    assert!(std::str::from_utf8(&nan.body).unwrap().contains(r#""data":[null]"#));
    let error = response(f32::INFINITY).encode(|_| false).expect_err("infinite").to_string();
    assert!(error.contains("tensor `y`") && error.contains("binary"), "{error}");
    assert!(response(f32::INFINITY).encode(|_| true).is_ok());
}

#[test]
fn a_request_of_tritonclient_is_read() {
    let json = br#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","parameters":{"binary_data_size":16}}],"parameters":{"binary_data_output":true}}"#;
    let mut body = json.to_vec();
    body.extend([1.5f64, -2.5].iter().flat_map(|v| v.to_le_bytes()));
    let request = InferRequest::decode(&body, Some(json.len())).unwrap();
    assert_eq!(request.inputs[0].data, TensorData::Fp64(vec![1.5, -2.5]));
    assert!(request.binary_output && request.wants_binary("anything") && request.parameters.is_empty());
}

#[test]
fn load_requests_carry_files() {
    assert_eq!(LoadRequest::decode(b""), Ok(LoadRequest::default()));
    assert_eq!(LoadRequest::decode(br#"{"parameters":{"unload_dependents":false}}"#), Ok(LoadRequest::default()));
    let load = LoadRequest::of_bytes("2", b"\x00onnx\xff");
    assert_eq!(LoadRequest::decode(&load.encode()), Ok(load));
    let bad = LoadRequest::decode(br#"{"parameters":{"file:1/model.onnx":"***"}}"#);
    assert!(bad.expect_err("no base64").to_string().contains("file:1/model.onnx"));
}

#[test]
fn states_of_other_servers_are_read() {
    let index = br#"[{"name":"iris","version":"v1","state":"READY","reason":""},{"name":"x","state":"UNLOADING"}]"#;
    let entries: Vec<IndexEntry> = serde_json::from_slice(index).unwrap();
    assert_eq!(entries[0].state, State::Ready);
    assert_eq!((entries[1].state, entries[1].version.as_str()), (State::Unknown, ""));
}
