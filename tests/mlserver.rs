//! A server that was not started here: a real MLServer with scikit-learn models is steered through a bad rollout and back, by
//! load and unload. Part of the second tier, since it fetches MLServer: `ROLLCAGE_LONG_TESTS=1`.

mod common;
#[path = "common/venv.rs"]
mod venv;

use common::{NEW, OLD};
use rollcage::artifact::Signature;
use rollcage::campaign::lab::Lab;
use rollcage::control::config::Comparison;
use rollcage::detect::config::{Level, Quality, SignalKind};
use rollcage::digest::Digest;
use rollcage::event::{ActionKind, Event, Outcome, Weight};
use rollcage::id::VersionId;
use rollcage::live::{Options, Probes, run};
use rollcage::plan::{Foreign, ForeignModel};
use rollcage::rng::{Seed, Stream};
use rollcage::time::{SimTime, Span};
use rollcage::world::config::{Effect, LabelConfig, Version};
use rollcage::world::distribution::Distribution;
use rollcage::world::inference::Engine;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// MLServer in a process of its own, gone with this.
struct MlServer {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    folder: tempfile::TempDir,
}

impl MlServer {
    /// With two models: `credit-good` of these weights (bias first), `credit-bad` of their opposites.
    fn start(weights: &[f64]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = venv::python("mlserver", &root.join("benches/peers/requirements.txt"));
        let folder = tempfile::tempdir().expect("a folder");
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        let (http, grpc, metrics) = (free(), free(), free());
        let bad: Vec<f64> = weights.iter().map(|w| -w).collect();
        let mut make = Command::new(&python)
            .arg(root.join("tests/fixtures/mlserver/make.py"))
            .arg(folder.path())
            .args([http, grpc, metrics].map(|a| a.port().to_string()))
            .stdin(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let text = serde_json::json!({ "good": weights, "bad": bad }).to_string();
        make.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
        assert!(make.wait().expect("it ends").success());
        let log = folder.path().join("log");
        let out = std::fs::File::create(&log).expect("a file");
        let child = Command::new(&python)
            .args(["-c", "from mlserver.cli.main import main; main()", "start"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stderr(out.try_clone().expect("a file"))
            .stdout(out)
            .spawn()
            .expect("MLServer starts");
        let server = Self { child, address: http, log, folder };
        for _ in 0..600 {
            if server.get("GET", "/v2/models/credit-bad/ready", "").starts_with("HTTP/1.1 200") {
                return server;
            }
            #[expect(clippy::disallowed_methods, reason = "MLServer starts in real time")]
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("MLServer is not ready in a minute: {}", std::fs::read_to_string(&server.log).unwrap_or_default());
    }

    /// The whole answer, head and body.
    fn get(&self, method: &str, path: &str, body: &str) -> String {
        let mut answer = String::new();
        let Ok(mut stream) = TcpStream::connect(self.address) else { return answer };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let _ = write!(stream, "{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    /// State of each model, by its own index.
    fn index(&self) -> Vec<(String, String)> {
        let answer = self.get("POST", "/v2/repository/index", "{}");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let entries: Vec<serde_json::Value> = serde_json::from_str(body).expect("an index");
        let word = |e: &serde_json::Value, key: &str| e[key].as_str().unwrap_or_default().to_owned();
        let mut states: Vec<_> = entries.iter().map(|e| (word(e, "name"), word(e, "state"))).collect();
        states.sort();
        states
    }
}

impl Drop for MlServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = &self.folder;
    }
}

/// Bias and weights of a model whose logit is linear, read off its own answers, and its scores on some rows.
fn linear(lab: &Lab, rows: &[Vec<f32>]) -> (Vec<f64>, Vec<f32>) {
    let engine = Engine::start(lab.located()).expect("the runtime starts");
    let signature = Signature { input: "x".to_owned(), features: 16, output: "score".to_owned(), column: 0 };
    let mut session = engine.load(&common::mlp("mlp-linear-v1.onnx").bytes, &signature).expect("it loads");
    let mut scores = |rows: &[f32]| {
        let mut scores = vec![0.0; rows.len() / 16];
        session.run_rows(rows, &mut scores).expect("it answers");
        scores
    };
    let logit = |p: f32| libm::log(f64::from(p) / (1.0 - f64::from(p)));
    let mut units = vec![0.0f32; 17 * 16];
    (0..16).for_each(|i| units[(i + 1) * 16 + i] = 1.0);
    let answered: Vec<f64> = scores(&units).into_iter().map(logit).collect();
    let weights = std::iter::once(answered[0]).chain(answered[1..].iter().map(|l| l - answered[0])).collect();
    let flat: Vec<f32> = rows.iter().flatten().copied().collect();
    (weights, scores(&flat))
}

#[test]
fn mlserver_is_rolled_back_by_load_and_unload() {
    if std::env::var_os("ROLLCAGE_LONG_TESTS").is_none() {
        return;
    }
    let lab = Lab::open().expect("ONNX Runtime is found or fetched");
    let mut stream = Stream::named(Seed(1), "test", "rows");
    let rows: Vec<Vec<f32>> =
        (0..8).map(|_| (0..16).map(|_| (stream.uniform() * 4.0 - 2.0) as f32).collect()).collect();
    let (weights, good) = linear(&lab, &rows);
    let server = MlServer::start(&weights);
    assert!(server.get("POST", "/v2/repository/models/credit-bad/unload", "{}").starts_with("HTTP/1.1 200"));

    // All traffic goes to the bad version after three seconds; a second later the good one is taken off the server.
    let mut world = common::world(50.0, Span::secs(20), 1);
    world.telemetry.scrape = Span::millis(500);
    world.fleet.timeout = Span::secs(2);
    world.sources[0].labels = LabelConfig { delay: Some(Distribution::Constant(Span::millis(300))), lost: 0.0 };
    let clean = Version { name: "v2".to_owned(), ..world.versions[0].clone() };
    world.faults = vec![common::fault("bad", 0, Effect::BadRelease { version: NEW, clean: Box::new(clean) })];
    let accuracy = SignalKind::Labelled {
        measure: Quality::Accuracy,
        labels: 100,
        min: 60,
        threshold: 0.5,
        level: Level::each(0.95),
    };
    let policy = common::policy(vec![("accuracy", accuracy)], vec![common::rule("wrong", 0, Comparison::Less, 0.5)]);
    let setup = common::with_stages(common::setup(world, policy, 1), &[(3, 1.0)]);
    let mut plan = common::plan(&setup);
    plan.rollout.scale_down_delay = Span::secs(1);
    let model = |name: &str| ForeignModel {
        name: name.to_owned(),
        input: None,
        double: true,
        output: Some("predict_proba".to_owned()),
        column: Some(1),
    };
    plan.foreign =
        Some(Foreign { servers: vec![server.address], models: vec![model("credit-good"), model("credit-bad")] });
    let options = Options {
        seed: Seed(1),
        faults: vec![true],
        keep_requests: true,
        exe: env!("CARGO_BIN_EXE_rollcage").into(),
        runtime: lab.located().path.clone(),
        start_limit: Span::secs(30),
        probes: Some(Probes { rows, scores: vec![good, Vec::new()] }),
    };
    let done = run(&plan, &options, &mut |_, _| ()).expect("a live run");
    let events = &done.record.trace.events;
    let first = |pick: &dyn Fn(&Event) -> bool| events.iter().find(|f| pick(&f.event)).map(|f| f.at);

    // Known by its answers, before and after.
    let promised: Digest = plan.rollout.digest;
    let loaded: Vec<(VersionId, bool)> = events
        .iter()
        .filter_map(|f| match f.event {
            Event::Loaded { version, digest, .. } => Some((version, digest == promised)),
            _ => None,
        })
        .collect();
    assert_eq!(loaded, [(OLD, true), (NEW, false), (OLD, true)], "good, bad, and good loaded anew");
    let reverted = first(&|e| matches!(e, Event::RevertDone { to: OLD, digest, .. } if *digest == promised));
    let reverted = reverted.expect("it comes to a revert");
    assert!(reverted < SimTime::ZERO + Span::secs(15), "{reverted}");
    let unloaded_first =
        |e: &Event| matches!(e, Event::Ordered(a) if a.kind == ActionKind::Scale { version: OLD, replicas: 0 });
    assert!(first(&unloaded_first).is_some_and(|at| at < reverted), "the good version had been taken off");
    assert_eq!(common::weights(events).last().map(|(_, weight)| *weight), Some(Weight::NONE));

    // What the server itself says at the end.
    let state = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(server.index(), [state("credit-bad", "UNAVAILABLE"), state("credit-good", "READY")]);

    // Users met the bad one, nobody else was turned away.
    let answered = |version: VersionId| {
        done.requests.iter().filter(|e| e.version == version && e.outcome == Outcome::Answered).count()
    };
    assert!(answered(OLD) > 300 && answered(NEW) > 50, "{} and {}", answered(OLD), answered(NEW));
    let failed = done.requests.iter().filter(|e| e.outcome != Outcome::Answered).count();
    assert!(failed * 50 <= done.requests.len(), "{failed} of {} were not answered", done.requests.len());
}
