//! Servers that do what no server should, and live runs that are ended by force: a clear outcome in the trace, never a hang, and
//! nothing left behind.

mod common;

use common::mlp;
use rollcage::campaign::lab::Lab;
use rollcage::event::{Event, Outcome, RequestEnd};
use rollcage::id::ReplicaId;
use rollcage::live::{LiveError, LiveRun, Options, run};
use rollcage::plan::{Foreign, ForeignModel, Plan};
use rollcage::rng::Seed;
use rollcage::time::{SimTime, Span};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// What a fake server answers to an inference; all else it answers as it should.
type Answer = fn(&mut TcpStream);

/// A server on loopback that serves `v1` in name only.
fn fake(answer: Answer) -> SocketAddr {
    fake_serving("mlp-linear-v1.onnx", answer)
}

/// The same, with the digest of this file.
fn fake_serving(file: &'static str, answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, file, answer));
        }
    });
    address
}

/// One connection: request after request until it closes.
fn serve(stream: TcpStream, file: &str, answer: Answer) -> Option<()> {
    let mut from = BufReader::new(stream.try_clone().ok()?);
    let mut to = stream;
    loop {
        let (mut first, mut length) = (String::new(), 0);
        from.read_line(&mut first).ok().filter(|n| *n > 0)?;
        loop {
            let mut line = String::new();
            from.read_line(&mut line).ok()?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            length = line.strip_prefix("content-length:").and_then(|n| n.trim().parse().ok()).unwrap_or(length);
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body).ok()?;
        if first.contains("/infer") {
            answer(&mut to);
        } else {
            let digest = mlp(file).digest;
            let body = format!("{{\"name\":\"v1\",\"parameters\":{{\"digest\":\"{digest}\"}}}}");
            write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
        }
    }
}

/// A replica as somebody starts it by hand.
struct ByHand {
    child: Child,
    address: SocketAddr,
}

impl ByHand {
    fn start() -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let mut child = Command::new(env!("CARGO_BIN_EXE_rollcage"))
            .args(["replica", "--name", "v1", "--port", "0", "--lifeline", "--model"])
            .arg(format!("{root}/synthetic/models/mlp-linear-v1.onnx"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut phase = |wanted: &str| loop {
            let line = lines.next().expect("it tells of its start").expect("text");
            let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            if told["phase"] == wanted {
                break told;
            }
        };
        let address = phase("listening")["address"].as_str().expect("an address").parse().expect("an address");
        phase("ready");
        Self { child, address }
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three seconds at 100 requests a second over these servers; nobody is rolled out.
fn plan(servers: Vec<SocketAddr>) -> Plan {
    let mut world = common::world(100.0, Span::secs(3), servers.len() as u32);
    world.telemetry.scrape = Span::millis(500);
    world.fleet.timeout = Span::millis(300);
    let setup = common::without_rollout(common::setup(world, common::policy(Vec::new(), Vec::new()), 1));
    let model =
        |name: &str| ForeignModel { name: name.to_owned(), input: None, double: false, output: None, column: None };
    Plan { foreign: Some(Foreign { servers, models: vec![model("v1"), model("v2")] }), ..common::plan(&setup) }
}

fn live(plan: &Plan, start_limit: Span) -> Result<LiveRun, LiveError> {
    let lab = Lab::open().expect("ONNX Runtime is found or fetched");
    let options = Options {
        seed: Seed(1),
        faults: Vec::new(),
        keep_requests: true,
        exe: env!("CARGO_BIN_EXE_rollcage").into(),
        runtime: lab.located().path.clone(),
        start_limit,
        probes: None,
    };
    run(plan, &options, &mut |_, _| ())
}

/// One bad server beside a good one: what became of the requests to the bad one, and what was told of it.
fn beside(answer: Answer) -> (Vec<RequestEnd>, Vec<String>) {
    let good = ByHand::start();
    let done = live(&plan(vec![good.address, fake(answer)]), Span::secs(30)).expect("it runs");
    let (bad, good): (Vec<_>, Vec<_>) = done.requests.into_iter().partition(|e| e.replica == Some(ReplicaId(1)));
    assert!(good.len() > 80 && bad.len() > 5, "{} and {} requests", good.len(), bad.len());
    let answered = good.iter().filter(|e| e.outcome == Outcome::Answered).count();
    assert!(answered * 100 >= good.len() * 95, "the good one answers {answered} of {}", good.len());
    let told = done.record.trace.events.iter().filter_map(|f| match &f.event {
        Event::Misbehaved { replica, what } => {
            assert_eq!(*replica, ReplicaId(1), "{what}");
            Some(what.clone())
        }
        _ => None,
    });
    (bad, told.collect())
}

#[track_caller]
fn ends(answer: Answer, outcome: Outcome, words: &str) {
    let (requests, told) = beside(answer);
    // On a busy machine an answer of whatever kind may come too late.
    let late = requests.iter().filter(|e| e.outcome == Outcome::TimedOut && outcome != Outcome::TimedOut).count();
    assert!(late * 10 <= requests.len(), "{late} of {} came too late", requests.len());
    let other = requests.iter().filter(|e| e.outcome != outcome).count() - late;
    assert_eq!(other, 0, "of {} requests {other} did not end {}", requests.len(), outcome.name());
    if words.is_empty() {
        assert_eq!(told, Vec::<String>::new());
    } else {
        // Once for each kind, however often it happened.
        assert!(told.len() == 1 && told[0].contains(words), "{told:?}");
    }
}

#[test]
fn garbage_is_a_failure() {
    ends(|to| drop(to.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n")), Outcome::Failed, "no HTTP");
}

#[test]
fn a_500_with_plain_text_is_a_failure_with_its_words() {
    let answer: Answer = |to| {
        let head = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n\r\n";
        drop(to.write_all(format!("{head}Internal Server Error").as_bytes()));
    };
    ends(answer, Outcome::Failed, "status 500: Internal Server Error");
}

#[test]
fn json_that_is_no_answer_is_a_failure() {
    let answer: Answer = |to| drop(to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"outputs\":7}"));
    ends(answer, Outcome::Failed, "no V2 answer");
}

#[test]
fn an_answer_without_the_output_is_a_failure() {
    let answer: Answer = |to| {
        let body = r#"{"model_name":"v1","outputs":[{"name":"other","shape":[1],"datatype":"FP32","data":[0.5]}]}"#;
        drop(write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    };
    ends(answer, Outcome::Failed, "no output `score`");
}

#[test]
fn half_an_answer_is_a_lost_request() {
    let answer: Answer = |to| {
        let _ = to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf");
        let _ = to.shutdown(std::net::Shutdown::Both);
    };
    ends(answer, Outcome::Lost, "broke off");
}

#[test]
fn a_connection_that_closes_is_a_lost_request() {
    ends(|to| drop(to.shutdown(std::net::Shutdown::Both)), Outcome::Lost, "closed without an answer");
}

#[test]
fn a_header_that_promises_more_than_comes_times_out() {
    let answer: Answer = |to| drop(to.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"outputs\":[]}"));
    ends(answer, Outcome::TimedOut, "");
}

#[test]
fn who_never_answers_times_out() {
    ends(|_| (), Outcome::TimedOut, "");
}

#[test]
fn a_body_of_a_hundred_megabytes_is_not_read_to_its_end() {
    let answer: Answer = |to| {
        let _ = write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 100 << 20);
        let piece = vec![b' '; 1 << 20];
        for _ in 0..100 {
            if to.write_all(&piece).is_err() {
                return;
            }
        }
    };
    let (requests, told) = beside(answer);
    // Some give up before they have had more than anybody should send.
    assert!(requests.iter().all(|e| matches!(e.outcome, Outcome::Failed | Outcome::TimedOut)));
    assert!(told.iter().all(|what| what.contains("more than 16 MiB")), "{told:?}");
}

#[test]
fn a_server_that_never_becomes_ready_is_given_up() {
    // It takes the order to load, and then says for ever that the model is not there.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let never = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let n = stream.read(&mut request).unwrap_or(0);
            let status = if request[..n].starts_with(b"POST") { "200 OK" } else { "404 Not Found" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let good = ByHand::start();
    let done = live(&plan(vec![good.address, never]), Span::secs(2)).expect("the other one is ready");
    let failed = done.record.trace.events.iter().find_map(|f| match &f.event {
        Event::LoadFailed { replica: ReplicaId(1), reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert!(failed.as_deref().is_some_and(|why| why.contains("not ready within 2 s")), "{failed:?}");
    assert!(done.requests.iter().all(|e| e.replica == Some(ReplicaId(0))), "nobody is sent to it");

    let Err(LiveError::NotReady(why)) = live(&plan(vec![never]), Span::secs(1)) else { panic!("nobody is ready") };
    assert!(why.len() == 1 && why[0].contains("not ready within 1 s"), "{why:?}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port that was free");
    let Err(LiveError::NotReady(why)) = live(&plan(vec![gone]), Span::secs(5)) else { panic!("nobody is there") };
    assert!(why[0].contains(&gone.to_string()) && why[0].contains("no connection"), "{why:?}");
}

#[test]
fn a_server_that_serves_something_else_is_told_apart() {
    // It says that it serves the second version's bytes, and that they answer.
    let server = fake_serving("mlp-linear-v2.onnx", |to| {
        let digest = mlp("mlp-linear-v2.onnx").digest;
        let body = r#"{"model_name":"v1","outputs":[{"name":"score","shape":[1,1],"datatype":"FP32","data":[0.5]}]}"#;
        let head = format!("HTTP/1.1 200 OK\r\nrollcage-artifact: {digest}\r\nContent-Length: {}\r\n\r\n", body.len());
        drop(to.write_all((head + body).as_bytes()));
    });
    let done = live(&plan(vec![server]), Span::secs(5)).expect("it runs");
    let loaded = done.record.trace.events.iter().find_map(|f| match f.event {
        Event::Loaded { digest, .. } => Some(digest),
        _ => None,
    });
    assert_eq!(loaded, Some(mlp("mlp-linear-v2.onnx").digest), "the trace has what the server said");
    let answered: Vec<_> = done.requests.iter().filter(|e| e.outcome == Outcome::Answered).collect();
    assert!(answered.len() > 200 && answered.iter().all(|e| e.tainted), "answers by other bytes than promised");
}

// ---------------------------------------------------------------------------------------------------------------------
// Good neighbours

#[cfg(target_os = "linux")]
mod neighbours {
    use super::*;
    use rustix::process::{Pid, Signal, kill_process};
    use std::path::Path;

    /// `rollcage live` on a small scenario of its own, in a process of its own.
    struct Driver {
        child: Child,
        folder: tempfile::TempDir,
    }

    impl Driver {
        fn start(horizon: &str) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("synthetic/models");
            let models = models.display();
            let scenario = format!(
                r#"name = "neighbour"
policy  = "policy.toml"
horizon = "{horizon}"
[models.v1]
artifact = "{models}/mlp-linear-v1.onnx"
[models.v2]
artifact = "{models}/mlp-linear-v2.onnx"
[fleet]
replicas     = 2
service_time = {{ kind = "constant", value = "1ms" }}
[[traffic]]
source   = "synthetic"
normal   = {{ concept = "{models}/mlp-linear-v2.json" }}
arrivals = {{ kind = "poisson", rate = "50/s" }}
[telemetry]
scrape = "1s"
lag    = "0ms"
[rollout]
from   = "v1"
to     = "v2"
stages = [ {{ at = "1s", weight = 0.5 }} ]
"#
            );
            std::fs::write(folder.path().join("s.toml"), scenario).expect("written");
            std::fs::write(folder.path().join("policy.toml"), "name = \"none\"\n").expect("written");
            let child = Command::new(env!("CARGO_BIN_EXE_rollcage"))
                .arg("live")
                .arg(folder.path().join("s.toml"))
                .arg("--out")
                .arg(folder.path().join("out"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the binary runs");
            Self { child, folder }
        }

        /// Its replicas, as soon as there are so many.
        fn replicas(&self, n: usize) -> Vec<i32> {
            for _ in 0..600 {
                let found = children_of(self.child.id());
                if found.len() >= n {
                    return found;
                }
                pause();
            }
            panic!("no {n} replicas in 30 s");
        }

        fn signal(&self, signal: Signal) {
            kill(self.child.id() as i32, signal);
        }
    }

    impl Drop for Driver {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "processes live in real time")]
    fn pause() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }

    fn kill(pid: i32, signal: Signal) {
        kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("it is there");
    }

    fn children_of(parent: u32) -> Vec<i32> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("a list").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            // After the name in brackets: state, parent, …
            let rest: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            if rest.get(1) == Some(&parent.to_string().as_str()) && rest.first() != Some(&"Z") {
                found.push(pid);
            }
        }
        found
    }

    /// Whether a process is gone, or only waits to be collected.
    fn gone(pid: i32) -> bool {
        match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Err(_) => true,
            Ok(stat) => stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'),
        }
    }

    fn all_gone_soon(replicas: &[i32]) {
        for _ in 0..100 {
            if replicas.iter().all(|&pid| gone(pid)) {
                return;
            }
            pause();
        }
        panic!("replicas are left after 5 s: {:?}", replicas.iter().filter(|pid| !gone(**pid)).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_left_when_the_driver_is_killed_not_even_what_was_stopped() {
        let driver = Driver::start("60s");
        let replicas = driver.replicas(2);
        listening(&replicas);
        kill(replicas[0], Signal::STOP);
        driver.signal(Signal::KILL);
        all_gone_soon(&replicas);
    }

    #[test]
    fn ctrl_c_ends_it_with_its_own_code_and_leaves_nothing() {
        for signal in [Signal::INT, Signal::TERM] {
            let mut driver = Driver::start("60s");
            let replicas = driver.replicas(2);
            driver.signal(signal);
            let status = driver.child.wait().expect("it ends");
            assert_eq!(status.code(), Some(130));
            all_gone_soon(&replicas);
            assert!(!driver.folder.path().join("out").exists(), "nothing is half-written");
        }
    }

    #[test]
    fn a_replica_that_somebody_kills_is_an_unplanned_crash_within_two_scrapes() {
        let mut driver = Driver::start("6s");
        // Two of the first version, then one of the second: the trial has begun.
        let replicas = driver.replicas(3);
        for address in listening(&replicas) {
            assert!(address.starts_with("0100007F:"), "a replica listens on {address}");
        }
        let first = *replicas.iter().min().expect("some");
        kill(first, Signal::KILL);
        assert!(driver.child.wait().expect("it ends").success());
        all_gone_soon(&replicas);
        let events = std::fs::read_to_string(driver.folder.path().join("out/events.jsonl")).expect("written");
        let events: Vec<serde_json::Value> = events.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        assert_eq!(events[0]["event"], "live");
        let crashes: Vec<f64> = events
            .iter()
            .filter(|e| e["event"] == "replica" && e["state"] == "crashed")
            .map(|e| e["at_s"].as_f64().expect("a time"))
            .collect();
        // It was killed after the stage at one second; two scrapes later it is 4 s at the latest.
        assert!(crashes.len() == 1 && (1.0..4.0).contains(&crashes[0]), "{crashes:?}");
    }

    /// Where these processes listen, as soon as each does: local addresses as the kernel writes them.
    fn listening(pids: &[i32]) -> Vec<String> {
        for _ in 0..600 {
            let found: Vec<Vec<String>> = pids.iter().map(|pid| listens(*pid)).collect();
            if found.iter().all(|sockets| !sockets.is_empty()) {
                return found.concat();
            }
            pause();
        }
        panic!("they do not all listen within 30 s");
    }

    fn listens(pid: i32) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
        let own: Vec<String> =
            files.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok()?.to_str().map(str::to_owned)).collect();
        let mut found = Vec::new();
        for table in ["tcp", "tcp6"] {
            let table = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
            for line in table.lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let (address, state, inode) = (fields[1], fields[3], fields[9]);
                if state == "0A" && own.contains(&format!("socket:[{inode}]")) {
                    found.push(address.to_owned());
                }
            }
        }
        found
    }
}

#[test]
fn the_horizon_of_a_live_run_is_kept() {
    let good = ByHand::start();
    let done = live(&plan(vec![good.address]), Span::secs(30)).expect("it runs");
    assert!(done.record.trace.end >= SimTime::ZERO + Span::millis(2900));
    assert!(done.record.trace.end < SimTime::ZERO + Span::secs(6));
}

/// Second tier (`ROLLCAGE_LONG_TESTS=1`): the size that a live run of this project has to have.
#[test]
fn a_minute_at_200_requests_a_second_with_four_replicas_is_answered() {
    if std::env::var_os("ROLLCAGE_LONG_TESTS").is_none() {
        println!("NOT RUN: this test takes a minute; set ROLLCAGE_LONG_TESTS=1 to run it");
        return;
    }
    let world = common::world(200.0, Span::secs(60), 4);
    let setup = common::without_rollout(common::setup(world, common::policy(Vec::new(), Vec::new()), 1));
    let done = live(&common::plan(&setup), Span::secs(60)).expect("it runs");
    let answered = done.requests.iter().filter(|e| e.outcome == Outcome::Answered).count();
    assert!(done.requests.len() > 11_000 && answered * 1000 >= done.requests.len() * 995, "{answered} answered");
    assert_eq!(done.observed.lateness.len(), done.requests.len(), "each was sent, and how late is known");
}
