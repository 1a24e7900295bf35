//! A replica as a real process, over plain HTTP: it answers what the session in this process answers, to the bit; it
//! tells the digest of what it runs; nothing that a client sends takes it down; it ends when it should.

#[path = "replica/limits.rs"]
mod limits;
#[path = "common/serving.rs"]
mod serving;

use rollcage::artifact::{Signature, manifest::Manifest};
use rollcage::digest::Digest;
use rollcage::live::v2::{InferRequest, InferResponse, LoadRequest, WantedOutput};
use rollcage::rng::{Seed, Stream};
use rollcage::stats::normal::quantile;
use rollcage::world::inference::{BLOCK, DataType, Engine, Graph, Session, Tensor, TensorData, locate};
use serving::{Client, Server, command, fixture, now, pause, shipped, until};
use std::fs;
use std::io::{Read as _, Write as _};
use std::time::Duration;

const INFER: &str = "/v2/models/m/infer";
const LOAD: &str = "/v2/repository/models/m/load";

fn rows(count: usize, features: usize) -> Vec<f32> {
    let mut stream = Stream::named(Seed(7), "replica", "rows");
    (0..count * features).map(|_| quantile(stream.uniform32()) as f32).collect()
}

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor { name: name.to_owned(), shape: shape.to_vec(), data: TensorData::Fp32(values.to_vec()) }
}

fn request(name: &str, values: &[f32], features: usize) -> InferRequest {
    let inputs = vec![tensor(name, &[values.len() / features, features], values)];
    InferRequest { inputs, ..InferRequest::default() }
}

/// Asks over HTTP; the answer, and the digest it names.
fn infer(client: &mut Client, request: &InferRequest, binary: bool) -> (InferResponse, Digest) {
    let encoded = request.encode(binary).expect("finite");
    let length = encoded.json_len.map(|length| length.to_string());
    let headers: Vec<(&str, &str)> =
        length.iter().map(|length| ("Inference-Header-Content-Length", length.as_str())).collect();
    let answer = client.request("POST", INFER, &headers, &encoded.body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let digest = answer.header("rollcage-artifact").and_then(Digest::parse).expect("a digest");
    (InferResponse::decode(&answer.body, answer.json_len()).expect("an answer"), digest)
}

fn floats(response: &InferResponse, output: &str) -> Vec<u32> {
    match &response.output(output).expect("the output").data {
        TensorData::Fp32(values) => values.iter().map(|value| value.to_bits()).collect(),
        other => panic!("{other:?}"),
    }
}

fn session(model: &str) -> (Session, Signature, Digest) {
    let manifest = Manifest::parse(&fs::read(shipped(&format!("{model}.json"))).expect("read")).expect("a manifest");
    let bytes = fs::read(shipped(&format!("{model}.onnx"))).expect("read");
    let engine = Engine::start(&locate().expect("a runtime")).expect("starts");
    let signature = manifest.signature();
    (engine.load(&bytes, &signature).expect("loads"), signature, Digest::of(&bytes))
}

/// A request of one row for the small MLP.
fn one() -> Vec<u8> {
    request("x", &rows(1, 16), 16).encode(false).expect("finite").body.to_vec()
}

fn artifact(server: &Server) -> String {
    let answer = server.post(INFER, one());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("rollcage-artifact").expect("a digest").to_owned()
}

fn digest_of(model: &str) -> String {
    Digest::of(&fs::read(shipped(model)).expect("read")).to_string()
}

#[test]
fn json_and_binary_answers_are_those_of_the_session_in_process_to_the_bit() {
    for model in ["mlp-linear-v1", "census-v1", "flights-v1"] {
        let (mut session, signature, digest) = session(model);
        let server = Server::start(&shipped(&format!("{model}.onnx")), &[]);
        let mut client = server.connect();
        let (input, features) = (signature.input.as_str(), signature.features);
        let values = rows(64, features);
        let mut expect = vec![0.0; 64];
        session.run_rows(&values, &mut expect).expect("scores");
        for (row, expect) in values.chunks(features).zip(&expect) {
            for binary in [false, true] {
                let mut request = request(input, row, features);
                request.id = Some("r1".to_owned());
                request.binary_output = binary;
                let (response, named) = infer(&mut client, &request, binary);
                assert_eq!(named, digest);
                assert_eq!(response.id.as_deref(), Some("r1"));
                assert_eq!(floats(&response, &signature.output)[signature.column], expect.to_bits(), "{model}");
            }
        }
        let values = rows(BLOCK, features);
        let mut expect = vec![0.0; BLOCK];
        session.run_block(&values, &mut expect).expect("scores");
        let expect: Vec<u32> = expect.iter().map(|score| score.to_bits()).collect();
        // Mixed forms: inputs in one, outputs in the other.
        for (inputs, outputs) in [(true, false), (false, true)] {
            let mut request = request(input, &values, features);
            request.outputs = vec![WantedOutput { name: signature.output.clone(), binary: Some(outputs) }];
            let (response, _) = infer(&mut client, &request, inputs);
            assert_eq!(response.outputs.len(), 1);
            let all = floats(&response, &signature.output);
            let column: Vec<u32> = all.chunks(all.len() / BLOCK).map(|row| row[signature.column]).collect();
            assert_eq!(column, expect, "{model}");
        }
    }
}

#[test]
fn every_type_goes_through_the_runtime_and_both_forms() {
    let server = Server::start(&fixture("every_type.onnx"), &[]);
    let told = server.get("/v2/models/m").json();
    assert_eq!(told["outputs"].as_array().map(Vec::len), Some(12), "the sequence is not offered");
    let engine = Engine::start(&locate().expect("a runtime")).expect("starts");
    let bytes = fs::read(fixture("every_type.onnx")).expect("read");
    let mut graph = Graph::load(&engine, &bytes).expect("loads");
    let mut client = server.connect();
    for rows in [0, 1, 3] {
        let count = 2 * rows;
        let mut inputs = graph.interface().zeros(24).expect("small");
        for input in &mut inputs {
            input.shape = vec![rows, 2];
            input.data = match input.data.datatype() {
                DataType::Bool => TensorData::Bool(vec![true; count]),
                DataType::Uint8 => TensorData::Uint8(vec![u8::MAX; count]),
                DataType::Uint16 => TensorData::Uint16(vec![u16::MAX; count]),
                DataType::Uint32 => TensorData::Uint32(vec![u32::MAX; count]),
                DataType::Uint64 => TensorData::Uint64(vec![u64::MAX; count]),
                DataType::Int8 => TensorData::Int8(vec![i8::MIN; count]),
                DataType::Int16 => TensorData::Int16(vec![i16::MIN; count]),
                DataType::Int32 => TensorData::Int32(vec![i32::MIN; count]),
                DataType::Int64 => TensorData::Int64(vec![i64::MIN; count]),
                DataType::Fp32 => TensorData::Fp32(vec![0.1; count]),
                DataType::Fp64 => TensorData::Fp64(vec![f64::MIN_POSITIVE; count]),
                DataType::Bytes => TensorData::Bytes(vec!["grün".to_owned(); count]),
            };
        }
        let direct = graph.run(&inputs, &[]).expect("runs");
        for (input, output) in inputs.iter().zip(&direct) {
            assert_eq!((&input.shape, &input.data), (&output.shape, &output.data));
        }
        for (binary, binary_output) in [(false, false), (false, true), (true, false), (true, true)] {
            let request = InferRequest { inputs: inputs.clone(), binary_output, ..InferRequest::default() };
            assert_eq!(infer(&mut client, &request, binary).0.outputs, direct);
        }
        let wanted = ["out_STRING", "out_BOOL"].map(|name| WantedOutput { name: name.to_owned(), binary: None });
        let request = InferRequest { inputs, outputs: wanted.to_vec(), ..InferRequest::default() };
        let response = infer(&mut client, &request, true).0;
        let names: Vec<&str> = response.outputs.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(names, ["out_STRING", "out_BOOL"]);
    }
    // A text with a zero byte has no form in the runtime: an error, and the next request is answered.
    let mut inputs = graph.interface().zeros(24).expect("small");
    inputs.last_mut().expect("texts").data = TensorData::Bytes(vec!["a\0b".to_owned(); 2]);
    let body = InferRequest { inputs, ..InferRequest::default() }.encode(false).expect("finite").body;
    server.post(INFER, &body).error(500);
    let inputs = graph.interface().zeros(24).expect("small");
    infer(&mut client, &InferRequest { inputs, ..InferRequest::default() }, true);
}

#[test]
fn phases_metadata_and_figures_tell_what_is_loaded() {
    let digest = digest_of("census-v1.onnx");
    let mut server = Server::start(&shipped("census-v1.onnx"), &["--version", "v7", "--digest", &digest]);
    let phases: Vec<String> = std::mem::take(&mut server.phases);
    let of = |at: usize| serde_json::from_str::<serde_json::Value>(&phases[at]).expect("JSON");
    assert_eq!((of(1)["phase"].as_str(), of(1)["digest"].as_str()), (Some("verified"), Some(digest.as_str())));
    assert_eq!((of(2)["phase"].as_str(), of(3)["phase"].as_str(), phases.len()), (Some("loaded"), Some("ready"), 4));
    for path in ["live", "ready"].map(|which| format!("/v2/health/{which}")) {
        assert_eq!((server.get(&path).status, server.get(&path).body.len()), (200, 0));
    }
    assert_eq!(server.get("/v2").json()["name"], "rollcage");
    for path in ["/v2/models/m", "/v2/models/m/versions/v7"] {
        let told = server.get(path).json();
        assert_eq!((told["name"].as_str(), told["versions"][0].as_str()), (Some("m"), Some("v7")));
        assert_eq!(told["parameters"]["digest"].as_str(), Some(digest.as_str()));
        assert_eq!(told["inputs"][0].to_string(), r#"{"name":"input","datatype":"FP32","shape":[-1,16]}"#);
        assert_eq!(server.get(&format!("{path}/ready")).status, 200);
        assert_eq!(server.get(&format!("{path}/config")).json()["input"][0]["data_type"], "TYPE_FP32");
    }
    assert!(server.get("/v2/models/m/versions/v9").error(404).contains("version v9 not found"));
    assert!(server.get("/v2/models/nope/ready").error(404).contains("Model nope not found"));
    let body = request("input", &rows(1, 16), 16).encode(false).expect("finite").body;
    assert_eq!(server.post("/v2/models/m/versions/v7/infer", &body).status, 200);
    let figures = server.get("/v2/models/m/stats").json();
    assert_eq!(figures["model_stats"][0]["inference_stats"]["success"]["count"], 1);
    let index = r#"[{"name":"m","version":"v7","state":"READY","reason":""}]"#;
    assert_eq!(server.post("/v2/repository/index", "").text(), index);
    assert_eq!(server.post("/v2/repository/index", "{}").text(), index);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains(r#"rollcage_infer_requests_total{model="m",version="v7",outcome="ok"} 1"#), "{metrics}");
    assert!(metrics.contains(&format!(r#"rollcage_artifact_info{{model="m",version="v7",digest="{digest}"}} 1"#)));
    // As the system tells, which Linux does.
    if cfg!(target_os = "linux") {
        let used = |line: &str| -> f64 {
            let text = server.get("/metrics").text();
            let value = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
            value.unwrap_or_else(|| panic!("no {line} in {text}"))
        };
        let cpu = used("process_cpu_seconds_total");
        assert!(cpu > 0.0 && cpu < 60.0, "{cpu} s");
        for _ in 0..200 {
            assert_eq!(server.post("/v2/models/m/versions/v7/infer", &body).status, 200);
        }
        assert!(used("process_cpu_seconds_total") > cpu, "work takes processor time");
        // The runtime alone is tens of megabytes, and the model a few kilobytes.
        let memory = used("process_resident_memory_bytes");
        assert!((1e7..1e9).contains(&memory), "{memory} B");
    }
    let open = server.connect().request("GET", "/metrics", &[("accept", "application/openmetrics-text")], b"");
    assert!(open.text().ends_with("# EOF\n"));
    let traced = server.connect().request("GET", "/v2", &[("traceparent", "00-ab-cd-01")], b"");
    assert_eq!(traced.header("traceparent"), Some("00-ab-cd-01"));
}

#[test]
fn whatever_is_wrong_is_answered_in_form_and_the_connection_goes_on() {
    let server = Server::start(&shipped("mlp-linear-v1.onnx"), &["--max-body", "5000"]);
    let mut client = server.connect();
    let mut check = |path: &str, headers: &[(&str, &str)], body: &[u8], status: u16, expect: &str| {
        let said = client.request("POST", path, headers, body).error(status);
        assert!(said.contains(expect), "{said}");
    };
    let input = |more: &str| format!(r#"{{"inputs":[{{"name":"x",{more}}}]}}"#).into_bytes();
    check("/v2/models/nope/infer", &[], &one(), 404, "Model nope not found");
    check(INFER, &[], b"", 400, "not the JSON of an infer request");
    check(INFER, &[], b"{\"inputs\":[]}", 400, "input `x` is missing");
    check(INFER, &[], &input(r#""shape":[1,16],"data":[1]"#), 400, "tensor `x`: it has no `datatype`");
    check(INFER, &[], &input(r#""shape":[1,16],"datatype":"FP32","data":[1]"#), 400, "tensor `x`: data: 1 values");
    check(INFER, &[], &input(r#""shape":[1,3],"datatype":"FP32","data":[1,2,3]"#), 400, "the model wants [-1, 16]");
    check(INFER, &[], &input(r#""shape":[1,1],"datatype":"FP64","data":[1]"#), 400, "is FP64, the model wants FP32");
    check(INFER, &[("inference-header-content-length", "9999")], &one(), 400, "is 9999, but the body has");
    check(INFER, &[("inference-header-content-length", "x")], &one(), 400, "not a number");
    check(INFER, &[("content-encoding", "br")], &one(), 415, "`br` is not served");
    check(INFER, &[("content-encoding", "gzip")], &one(), 400, "not gzip");
    check(LOAD, &[], b"[]", 400, "not the JSON of a load request");
    check("/v2/repository/models/other/load", &[], b"{}", 404, "Model other not found");
    check("/v2/repository/models/other/unload", &[], b"{}", 404, "Model other not found");
    check("/rollcage/latency", &[], b"{}", 404, "nothing at /rollcage/latency");
    check("/v2/nothing", &[], b"", 404, "nothing at /v2/nothing");
    check("/v2/health/live", &[], b"", 405, "does not take POST");
    // More than --max-body, as told and as decompressed.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 1 << 20]).expect("memory");
    check(INFER, &[("content-encoding", "gzip")], &bomb.finish().expect("memory"), 413, "larger than 5000 bytes");
    assert_eq!(client.request("POST", INFER, &[], &one()).status, 200);
}

#[test]
fn lying_and_broken_clients_do_no_harm() {
    let server = Server::start(&shipped("mlp-linear-v1.onnx"), &["--max-body", "5000"]);
    // Announces too much and waits: refused though it is not sent.
    let mut client = server.connect();
    client.send(b"POST /v2/models/m/infer HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999\r\n\r\n");
    assert!(client.answer().expect("an answer").error(413).contains("--max-body"));
    // Without end, in pieces.
    let mut client = server.connect();
    client.send(b"POST /v2/models/m/infer HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n");
    (0..20).for_each(|_| client.send(&[b"400\r\n".as_slice(), &[b' '; 1024], b"\r\n"].concat()));
    client.answer().expect("an answer").error(413);
    // Says 100 bytes and goes after 3; half a head; no HTTP at all; shorter than said, so that the rest is no request.
    for text in [
        "POST /v2/models/m/infer HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\nabc",
        "POST /v2/models/m/in",
        "\x16\x03\x01 hello?\r\n\r\n",
        "POST /v2/models/m/infer HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}}}}}\r\n\r\n",
        "POST /v2/models/m/infer HTTP/1.1\r\nhost: t\r\ncontent-length: 18446744073709551616\r\n\r\n",
        "POST /v2/models/m/infer HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    ] {
        server.connect().send(text.as_bytes());
    }
    // Paths that decode to anything.
    for path in ["/v2/models/%ff/ready", "/v2/models/%00/ready", "/v2/models/a%2fb/ready", "/v2/models//ready", "/"] {
        let answer = server.get(path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        answer.error(answer.status);
    }
    assert_eq!(server.get("/v2/health/live").status, 200);
    assert_eq!(server.post(INFER, one()).status, 200);
}

#[test]
fn pushed_bytes_take_over_and_damaged_ones_do_not() {
    let server = Server::start(&shipped("mlp-linear-v1.onnx"), &[]);
    let (old, new) = (digest_of("mlp-linear-v1.onnx"), digest_of("mlp-linear-v2.onnx"));
    assert_eq!(artifact(&server), old);
    let bytes = fs::read(shipped("mlp-linear-v2.onnx")).expect("read");
    assert_eq!(server.post(LOAD, LoadRequest::of_bytes("2", &bytes).encode()).status, 200);
    assert_eq!(artifact(&server), new);
    let told = server.get("/v2/models/m/versions/2").json();
    assert_eq!(told["parameters"]["digest"].as_str(), Some(new.as_str()));
    // Cut off, empty, no model, too many files, no base64.
    for (bad, expect) in
        [(&bytes[..bytes.len() / 2], "failed to load 'm'"), (b"".as_slice(), "empty"), (b"hello", "load")]
    {
        let said = server.post(LOAD, LoadRequest::of_bytes("3", bad).encode()).error(400);
        assert!(said.contains(expect), "{said}");
    }
    let two = LoadRequest { config: None, files: vec![("1/a".into(), bytes.clone()), ("1/b".into(), bytes.clone())] };
    assert!(server.post(LOAD, two.encode()).error(400).contains("one file"));
    assert!(server.post(LOAD, r#"{"parameters":{"file:1/m":"*"}}"#).error(400).contains("not base64"));
    assert_eq!(artifact(&server), new, "what was loaded before goes on");
    assert_eq!(server.get("/v2/models/m/ready").status, 200);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains(&new) && !metrics.contains(&old), "{metrics}");
    let of = |version: &str| metrics.contains(&format!("version=\"{version}\""));
    assert!(of("2") && !of("1") && !of("3"), "only what is loaded has series: {metrics}");
    // Back to the file.
    assert_eq!(server.post(LOAD, "{}").status, 200);
    assert_eq!(artifact(&server), old);
    // A second name; a third that never was any good, and is not kept.
    let other = "/v2/repository/models/other/load";
    assert_eq!(server.post(other, LoadRequest::of_bytes("1", &bytes).encode()).status, 200);
    assert_eq!(server.post("/v2/models/other/infer", one()).header("rollcage-artifact"), Some(new.as_str()));
    assert!(server.post(other, "{}").error(400).contains("has no file here"));
    let bad = "/v2/repository/models/bad/load";
    server.post(bad, LoadRequest::of_bytes("1", b"hello").encode()).error(400);
    let index = server.post("/v2/repository/index", "").json();
    let told: Vec<_> =
        index.as_array().expect("a list").iter().map(|entry| (&entry["name"], &entry["state"])).collect();
    assert!(told.len() == 2 && told[0].0 == "m" && told[1].0 == "other", "{index}");
    assert!(told.iter().all(|(_, state)| *state == "READY"), "{index}");
    let stats = server.get("/v2/models/stats").json();
    assert_eq!(stats["model_stats"].as_array().map(Vec::len), Some(2), "{stats}");
    assert_eq!(server.post("/v2/repository/models/other/unload", "").status, 200);
    assert_eq!(server.post("/v2/repository/index", r#"{"ready":true}"#).json().as_array().map(Vec::len), Some(1));
}

#[test]
fn while_one_model_takes_the_place_of_another_every_request_is_answered() {
    let server = Server::start(&shipped("mlp-linear-v1.onnx"), &["--concurrency", "2"]);
    let digests = ["mlp-linear-v1.onnx", "mlp-linear-v2.onnx"].map(digest_of);
    let bodies = ["mlp-linear-v1.onnx", "mlp-linear-v2.onnx"]
        .map(|model| LoadRequest::of_bytes("1", &fs::read(shipped(model)).expect("read")).encode());
    let mut client = server.connect();
    // What each of the two scores, by the digest that the answer names.
    let mut scores = std::collections::BTreeMap::new();
    std::thread::scope(|scope| {
        let loads = scope.spawn(|| {
            for turn in 0..20 {
                assert_eq!(server.post(LOAD, &bodies[(turn + 1) % 2]).status, 200);
            }
        });
        while !loads.is_finished() {
            let answer = client.request("POST", INFER, &[], &one());
            assert_eq!(answer.status, 200, "{}", answer.text());
            let named = answer.header("rollcage-artifact").expect("a digest").to_owned();
            assert!(digests.contains(&named));
            let score = answer.json()["outputs"].to_string();
            assert_eq!(
                scores.entry(named).or_insert_with(|| score.clone()),
                &score,
                "bytes and answer belong together"
            );
        }
    });
    assert_eq!(scores.len(), 2);
}

#[test]
fn an_unloaded_model_is_gone_and_the_server_stays_ready() {
    let server = Server::start(&shipped("mlp-linear-v1.onnx"), &[]);
    let unload = "/v2/repository/models/m/unload";
    assert_eq!(server.post(unload, r#"{"parameters":{"unload_dependents":false}}"#).status, 200);
    server.get("/v2/models/m/ready").error(404);
    server.post(INFER, one()).error(404);
    assert_eq!(server.get("/v2/health/ready").status, 200);
    let index = server.post("/v2/repository/index", "").json();
    assert_eq!(index[0]["state"], "UNAVAILABLE");
    assert!(!server.get("/metrics").text().contains("digest="));
    assert_eq!(server.post(unload, "").status, 200, "it stays unloaded");
    assert_eq!(server.post(LOAD, "").status, 200);
    assert_eq!(artifact(&server), digest_of("mlp-linear-v1.onnx"));
}

#[test]
fn the_file_is_read_again_and_must_be_what_was_promised() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("model.onnx");
    let path = file.to_str().expect("text");
    fs::copy(shipped("mlp-linear-v1.onnx"), &file).expect("copied");
    let old = digest_of("mlp-linear-v1.onnx");
    let server = Server::start(path, &[]);
    let pinned = Server::start(path, &["--digest", &old]);
    fs::copy(shipped("mlp-linear-v2.onnx"), &file).expect("copied");
    assert_eq!(server.post(LOAD, "{}").status, 200);
    assert_eq!(artifact(&server), digest_of("mlp-linear-v2.onnx"));
    let said = pinned.post(LOAD, "{}").error(400);
    assert!(said.contains("is promised") && said.contains("goes on serving"), "{said}");
    assert_eq!(artifact(&pinned), old);
    fs::remove_file(&file).expect("removed");
    assert!(server.post(LOAD, "{}").error(400).contains("cannot read"));
}

#[test]
fn compression_works_both_ways() {
    let server = Server::start(&shipped("mlp-linear-v1.onnx"), &[]);
    let values = rows(500, 16);
    let plain = request("x", &values, 16).encode(false).expect("finite").body;
    let mut client = server.connect();
    let expect = client.request("POST", INFER, &[], &plain).body;
    for coding in ["gzip", "deflate"] {
        let mut small = Vec::new();
        match coding {
            "gzip" => flate2::read::GzEncoder::new(&plain[..], flate2::Compression::fast()).read_to_end(&mut small),
            _ => flate2::read::ZlibEncoder::new(&plain[..], flate2::Compression::fast()).read_to_end(&mut small),
        }
        .expect("memory");
        let headers = [("content-encoding", coding), ("accept-encoding", coding)];
        let answer = client.request("POST", INFER, &headers, &small);
        assert_eq!((answer.status, answer.header("content-encoding")), (200, Some(coding)));
        let mut whole = Vec::new();
        match coding {
            "gzip" => flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut whole),
            _ => flate2::read::ZlibDecoder::new(&answer.body[..]).read_to_end(&mut whole),
        }
        .expect("compressed");
        assert_eq!(whole, expect);
    }
}

#[test]
fn a_full_queue_sheds_while_health_answers() {
    let server = Server::start(&shipped("mlp-linear-v1.onnx"), &["--queue", "2", "--faults"]);
    assert!(server.post("/rollcage/latency", r#"{"add_ns":-1}"#).error(400).contains("add_ns"));
    assert!(server.post("/rollcage/latency", r#"{"factor":0.5}"#).error(400).contains("at least 1"));
    assert!(server.post("/rollcage/latency", r#"{"factor":1000001}"#).error(400).contains("at most 1000000"));
    // Long enough for a slow machine to look at it meanwhile.
    assert_eq!(server.post("/rollcage/latency", r#"{"add_ns":5000000000,"factor":1.0}"#).status, 200);
    // One in the slot, two before it, the others too many.
    let mut clients: Vec<Client> = (0..6).map(|_| server.connect()).collect();
    let begun = now();
    clients.iter_mut().for_each(|client| client.begin(INFER, &one()));
    let tells = |line: &str| server.get("/metrics").text().contains(line);
    until("one is in its slot", || tells(r#"rollcage_infer_in_flight{model="m",version="1"} 1"#));
    until("the others wait", || tells(r#"rollcage_infer_queued{model="m",version="1"} 2"#));
    assert_eq!(server.get("/v2/health/live").status, 200);
    assert!(now() - begun < Duration::from_secs(5), "health and metrics wait for a slot");
    let answers: Vec<_> = clients.iter_mut().map(|client| client.answer().expect("an answer")).collect();
    assert!(now() - begun >= Duration::from_secs(15), "three were occupied one after another");
    let (served, shed): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((served.len(), shed.len()), (3, 3));
    for answer in shed {
        assert!(answer.error(503).contains("queue") && answer.header("rollcage-shed") == Some("1"));
    }
    assert_eq!(server.post("/rollcage/latency", "{}").status, 200);
    let quick = now();
    assert_eq!(server.post(INFER, one()).status, 200);
    assert!(now() - quick < Duration::from_secs(5));
}

#[test]
fn native_code_that_never_returns_holds_up_nobody_else() {
    let server = Server::start(&fixture("no_return.onnx"), &["--concurrency", "2"]);
    let told = server.get("/v2/models/m").json();
    let input = told["inputs"][0]["name"].as_str().expect("a name").to_owned();
    let features = told["inputs"][0]["shape"][1].as_u64().expect("a width") as usize;
    let body = |value: f32| request(&input, &vec![value; features], features).encode(false).expect("finite").body;
    let mut stuck = server.connect();
    stuck.begin(INFER, &body(1e6));
    until("it is in its slot", || server.get("/metrics").text().contains(r#"in_flight{model="m",version="1"} 1"#));
    for _ in 0..5 {
        assert_eq!(server.get("/v2/health/ready").status, 200);
        assert_eq!(server.post(INFER, body(0.0)).status, 200, "the other slot answers");
    }
    // New bytes bring new slots.
    let bytes = fs::read(shipped("mlp-linear-v1.onnx")).expect("read");
    assert_eq!(server.post(LOAD, LoadRequest::of_bytes("2", &bytes).encode()).status, 200);
    assert_eq!(artifact(&server), digest_of("mlp-linear-v1.onnx"));
    // Whoever waits for an answer holds on to the model; then only the thread is left of it.
    drop(stuck);
    let tells = |line: &str| server.get("/metrics").text().contains(line);
    until("the stuck thread is known as lost", || tells("rollcage_slots 3\n") && tells("rollcage_slots_lost 1\n"));
}

#[test]
fn connections_beyond_the_limit_are_told_so() {
    let server = Server::start(&shipped("mlp-linear-v1.onnx"), &["--max-connections", "2"]);
    let mut held: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    for client in &mut held {
        assert_eq!(client.request("GET", "/v2/health/live", &[], b"").status, 200);
    }
    let mut refused = server.connect();
    // Its request is on the way already.
    refused.begin(INFER, &one());
    let refusal = refused.answer().expect("a refusal");
    assert!(refusal.error(503).contains("too many connections"));
    assert_eq!(refusal.header("rollcage-shed"), Some("1"));
    drop(held);
    until("there is room again", || {
        let mut client = server.connect();
        client.send(b"GET /v2/health/live HTTP/1.1\r\nhost: t\r\n\r\n");
        client.answer().is_some_and(|answer| answer.status == 200)
    });
}

#[test]
fn a_port_in_use_is_told_with_a_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rollcage"));
    command.args(["replica", "--name", "m", "--model", &shipped("mlp-linear-v1.onnx"), "--port", &port]);
    let ended = command.output().expect("runs");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(20), "{said}");
    assert!(said.contains(&port) && said.contains("--port"), "{said}");
    assert!(ended.stdout.is_empty());
}

#[test]
fn a_model_that_does_not_load_ends_the_process_with_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.onnx");
    fs::write(&broken, b"not a model").expect("written");
    let promised = Digest::of(b"something else").to_string();
    for (model, more, expect) in [
        (broken.to_str().expect("text").to_owned(), vec![], "failed to load 'm'"),
        (shipped("mlp-linear-v1.onnx"), vec!["--digest", promised.as_str()], "is promised"),
        ("no/such/file.onnx".to_owned(), vec![], "cannot read"),
    ] {
        let ended = command(&model, &more).output().expect("runs");
        let (out, said) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        assert_eq!(ended.status.code(), Some(3), "{said}");
        assert!(said.contains(expect), "{said}");
        let last: serde_json::Value = serde_json::from_str(out.lines().last().expect("a line")).expect("JSON");
        assert!(last["phase"] == "failed" && last["reason"].as_str().is_some_and(|why| why.contains(expect)), "{last}");
    }
    let mut lost = command(&shipped("mlp-linear-v1.onnx"), &["--runtime", "no/such/library.so"]);
    assert_eq!(lost.output().expect("runs").status.code(), Some(20));
}

#[test]
fn it_ends_with_its_standard_input() {
    let mut server = Server::start(&shipped("mlp-linear-v1.onnx"), &["--lifeline"]);
    pause(100);
    assert!(server.child.try_wait().expect("asked").is_none(), "it lives while its input does");
    drop(server.stdin.take());
    until("it has ended", || server.child.try_wait().expect("asked").is_some());
    let mut server = Server::start(&shipped("mlp-linear-v1.onnx"), &[]);
    drop(server.stdin.take());
    pause(300);
    assert_eq!(server.get("/v2/health/live").status, 200, "without the option it lives on");
}

#[cfg(target_os = "linux")]
#[test]
fn it_ends_with_its_parent_even_while_it_is_stopped() {
    use rustix::process::{Pid, Signal, kill_process};
    // The shell stands for the driver. Standard input stays open to the end of this test.
    let mut shell = std::process::Command::new("sh");
    let replica = command(&shipped("mlp-linear-v1.onnx"), &["--lifeline"]);
    shell.args(["-c", "exec 3<&0; \"$0\" \"$@\" <&3 & echo \"{\\\"phase\\\":\\\"child\\\",\\\"pid\\\":$!}\"; wait"]);
    shell.arg(replica.get_program()).args(replica.get_args());
    shell.stdin(std::process::Stdio::piped());
    let mut server = Server::start_unready(shell);
    server.read_until("ready");
    let child = server.phases.iter().find(|line| line.contains("child")).expect("the shell told it");
    let pid = serde_json::from_str::<serde_json::Value>(child).expect("JSON")["pid"].as_u64().expect("a number");
    let replica = Pid::from_raw(pid as i32).expect("a process");
    let alive = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    };
    kill_process(replica, Signal::STOP).expect("stopped");
    pause(50);
    assert!(alive());
    server.child.kill().expect("killed");
    let begun = now();
    while alive() && now() - begun < Duration::from_secs(10) {
        pause(10);
    }
    let survived = alive();
    if survived {
        let _ = kill_process(replica, Signal::KILL);
    }
    assert!(!survived, "it outlived its parent");
}

#[cfg(unix)]
#[test]
fn told_to_end_it_answers_what_it_has_begun() {
    let mut server = Server::start(&shipped("mlp-linear-v1.onnx"), &["--faults"]);
    assert_eq!(server.post("/rollcage/latency", r#"{"add_ns":600000000}"#).status, 200);
    let _idle = server.connect();
    let mut client = server.connect();
    client.begin(INFER, &one());
    let mut before = 0;
    until("it has begun", || {
        let metrics = server.get("/metrics").text();
        // A machine that is slow to look may come too late, and begins another: longer it must not take, or it would
        // not end within the time that is given to those in flight.
        if metrics.contains(&format!(r#"outcome="ok"}} {}"#, before + 1)) {
            assert_eq!(client.answer().expect("an answer").status, 200);
            client.begin(INFER, &one());
            before += 1;
        }
        metrics.contains(r#"in_flight{model="m",version="1"} 1"#)
    });
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(client.answer().expect("an answer").status, 200);
    let told = now();
    let mut code = None;
    until("it has ended", || {
        code = server.child.try_wait().expect("asked").map(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(Some(0)));
    assert!(now() - told < Duration::from_secs(5));
}
