//! What clients can make a replica keep, and how those are told who are too many or too large.

use super::serving::{Server, command, fixture, shipped, until};
use super::{INFER, LOAD, one};
use rollcage::live::v2::LoadRequest;
use std::fs;

const MLP: &str = "mlp-linear-v1.onnx";

/// Whether the metrics have this line.
fn tells(server: &Server, line: &str) -> bool {
    server.get("/metrics").text().lines().any(|told| told == line)
}

#[test]
fn a_client_that_sends_a_body_too_large_gets_its_answer_and_goes_on() {
    let server = Server::start(&shipped(MLP), &["--max-body", "100000"]);
    let large = vec![b' '; 100 << 20];
    let mut client = server.connect();
    assert!(client.request("POST", INFER, &[], &large).error(413).contains("--max-body"));
    assert!(client.request("POST", LOAD, &[("content-encoding", "br")], &large).error(413).contains("--max-body"));
    client.request("POST", "/v2/nothing", &[], &large).error(404);
    let some = &large[..90_000];
    assert!(client.request("POST", INFER, &[("content-encoding", "br")], some).error(415).contains("`br`"));
    // In chunks, so that it shows only on the way.
    client.send(format!("POST {INFER} HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes());
    for chunk in large.chunks(1 << 20).take(20) {
        client.send(&[format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    client.send(b"0\r\n\r\n");
    client.answer().expect("an answer").error(413);
    assert_eq!(client.request("POST", INFER, &[], &one()).status, 200, "on the same connection");
}

#[test]
fn who_asks_before_sending_is_refused_at_once() {
    let server = Server::start(&shipped(MLP), &["--max-body", "5000"]);
    let mut client = server.connect();
    client.send(b"POST /v2/models/m/infer HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 6000\r\n\r\n");
    client.answer().expect("an answer").error(413);
}

#[test]
fn names_are_checked_before_they_are_kept_and_bad_ones_do_not_fill_the_list() {
    let server = Server::start(&shipped(MLP), &[]);
    let load = |name: &str, version: &str, bytes: &[u8]| {
        let path = format!("/v2/repository/models/{name}/load");
        server.post(&path, LoadRequest::of_bytes(version, bytes).encode())
    };
    let good = fs::read(shipped(MLP)).expect("read");
    assert!(load("m", &"9".repeat(1000), &good).error(400).contains("1 to 128 bytes"));
    assert!(load("m", "1\n", &good).error(400).contains("is no version"));
    assert!(load("a%0Ab", "1", &good).error(400).contains("is no model's name"));
    for i in 0..70 {
        assert!(load(&format!("bad{i}"), "1", b"hello").error(400).contains("failed to load"));
    }
    assert_eq!(load("other", "1", &good).status, 200);
    let index = server.post("/v2/repository/index", "").json();
    assert_eq!(index.as_array().map(Vec::len), Some(2), "{index}");
    // More than the list has places, one after another.
    for i in 0..70 {
        assert_eq!(load(&format!("good{i}"), "1", &good).status, 200);
        assert_eq!(server.post(&format!("/v2/repository/models/good{i}/unload"), "").status, 200);
    }
    let metrics = server.get("/metrics").text();
    assert!(!metrics.contains("good") && !metrics.contains("bad"), "{metrics}");
}

#[test]
fn users_who_have_gone_away_are_counted_and_leave_their_places() {
    let server = Server::start(&shipped(MLP), &["--queue", "1", "--faults"]);
    assert_eq!(server.post("/rollcage/latency", r#"{"add_ns":10000000000}"#).status, 200);
    let waiting = |n: u32| tells(&server, &format!(r#"rollcage_infer_queued{{model="m",version="1"}} {n}"#));
    let mut first = server.connect();
    first.begin(INFER, &one());
    until("one is in its slot", || tells(&server, r#"rollcage_infer_in_flight{model="m",version="1"} 1"#));
    let mut second = server.connect();
    second.begin(INFER, &one());
    until("one waits", || waiting(1));
    assert_eq!(server.post(INFER, one()).header("rollcage-shed"), Some("1"));
    drop(second);
    let gone = r#"rollcage_infer_requests_total{model="m",version="1",outcome="abandoned"} 1"#;
    until("it is known that one has gone", || tells(&server, gone));
    let mut third = server.connect();
    third.begin(INFER, &one());
    // It would have been refused at once.
    assert!(waiting(1));
    assert_eq!(server.post("/rollcage/latency", "{}").status, 200);
    for mut client in [first, third] {
        assert_eq!(client.answer().expect("an answer").status, 200);
    }
    assert!(waiting(0));
}

#[test]
fn a_configuration_that_asks_for_anything_is_refused() {
    let server = Server::start(&shipped(MLP), &[]);
    let bytes = fs::read(shipped(MLP)).expect("read");
    let with = |config: &str| {
        let load = LoadRequest { config: Some(config.to_owned()), ..LoadRequest::of_bytes("1", &bytes) };
        server.post(LOAD, load.encode())
    };
    assert_eq!(with("{}").status, 200);
    assert!(with(r#"{"max_batch_size":8}"#).error(400).contains("max_batch_size"));
}

#[test]
fn a_model_whose_first_run_never_returns_is_not_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let hangs = folder.path().join("hangs.onnx");
    let mut bytes = fs::read(fixture("no_return.onnx")).expect("read");
    // Its threshold, so that zeros are beyond it.
    let thousand = 1000f32.to_le_bytes();
    let at = bytes.windows(4).position(|window| window == thousand).expect("the threshold");
    bytes[at..at + 4].copy_from_slice(&(-1f32).to_le_bytes());
    fs::write(&hangs, bytes).expect("written");
    let ended = command(hangs.to_str().expect("text"), &["--concurrency", "2"]).output().expect("runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(said.contains("its first run"), "{said}");
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("runs").success());
    let ended = command(pipe.to_str().expect("text"), &[]).output().expect("runs");
    assert_eq!(ended.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("no regular file"));
}

#[test]
fn as_many_slots_and_places_as_a_scenario_may_have() {
    let server = Server::start(&shipped(MLP), &["--concurrency", "1000", "--queue", "1000000"]);
    assert_eq!(server.post(INFER, one()).status, 200);
    assert!(tells(&server, "rollcage_slots 1000"));
}

#[test]
fn bodies_share_one_budget_whoever_sends_them() {
    const LARGEST: usize = 64 << 20;
    let server = Server::start(&shipped(MLP), &[]);
    // Four times the largest body, but for a few bytes, and no end to any of them.
    let most = vec![b' '; LARGEST - 1];
    let mut held: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut held {
        client.send(format!("POST {INFER} HTTP/1.1\r\nhost: t\r\ncontent-length: {LARGEST}\r\n\r\n").as_bytes());
        client.send(&most);
    }
    until("there is no room", || {
        let answer = server.post(INFER, one());
        answer.status == 503 && answer.header("rollcage-shed") == Some("1") && answer.error(503).contains("memory")
    });
    assert_eq!(server.get("/v2/health/live").status, 200);
    drop(held);
    until("there is room again", || server.post(INFER, one()).status == 200);
}
