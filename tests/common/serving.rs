//! A real replica process for tests, and plain HTTP to talk to it: nothing of the client under test helps the server.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Longest wait for anything in these tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "replicas live in real time")]
pub fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "replicas live in real time")]
pub fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Waits until it is so.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = now();
    while !so() {
        assert!(now() - begun < PATIENCE, "still waiting until {what}");
        pause(10);
    }
}

pub fn shipped(name: &str) -> String {
    format!("{}/synthetic/models/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/onnx/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A replica that is ended when this goes.
pub struct Server {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    pub address: String,
    /// Phases told so far, each a JSON line.
    pub phases: Vec<String>,
    // Locked, because tests ask one server from several threads.
    lines: Mutex<Receiver<String>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command of a replica that serves `model` as `m` on a free port.
pub fn command(model: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcage"));
    command.args(["replica", "--model", model, "--name", "m", "--port", "0"]).args(more);
    command
}

impl Server {
    /// Starts a replica; returns when it is ready.
    pub fn start(model: &str, more: &[&str]) -> Self {
        let mut server = Self::start_unready(command(model, more));
        server.read_until("ready");
        server
    }

    /// Starts a replica; returns when it listens.
    pub fn start_unready(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the replica starts");
        let stdin = child.stdin.take();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        // A thread of its own reads, because a pipe cannot be read with a limit of time.
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|told| line.send(told)));
        let mut server = Self { child, stdin, address: String::new(), phases: Vec::new(), lines: Mutex::new(lines) };
        let listening = server.read_until("listening");
        listening["address"].as_str().expect("an address").clone_into(&mut server.address);
        server
    }

    /// Reads phases up to this one.
    pub fn read_until(&mut self, phase: &str) -> serde_json::Value {
        loop {
            let line = self.lines.get_mut().expect("whole").recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no `{phase}` after {:?}: {error}", self.phases));
            let told: serde_json::Value = serde_json::from_str(&line).expect("one JSON object a line");
            self.phases.push(line);
            if told["phase"] == phase {
                return told;
            }
        }
    }

    pub fn connect(&self) -> Client {
        Client::connect(&self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.connect().request("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.connect().request("POST", path, &[], body.as_ref())
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it is alive");
    }
}

/// One connection, kept alive.
pub struct Client(BufReader<TcpStream>);

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json_len(&self) -> Option<usize> {
        self.header("inference-header-content-length").map(|length| length.parse().expect("a number"))
    }

    /// Checks that it is an error in form; its message.
    #[track_caller]
    pub fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body = self.json();
        assert_eq!(body.as_object().expect("an object").len(), 1);
        body["error"].as_str().expect("a text").to_owned()
    }
}

impl Client {
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Self(BufReader::new(stream))
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("sent");
    }

    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        // In one piece: a server that answers between the two would close on the second.
        self.send(&[head.as_bytes(), body].concat());
        self.answer().expect("an answer")
    }

    /// Sends a request for an inference and does not wait for its answer.
    pub fn begin(&mut self, path: &str, body: &[u8]) {
        let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len());
        self.send(&[head.as_bytes(), body].concat());
    }

    /// The next answer; `None` if the connection ends instead.
    pub fn answer(&mut self) -> Option<Answer> {
        let mut line = || {
            let mut line = String::new();
            self.0.read_line(&mut line).ok().filter(|read| *read > 0)?;
            Some(line.trim_end().to_owned())
        };
        let status = line()?.split(' ').nth(1)?.parse().expect("a status");
        let mut headers = Vec::new();
        while let Some((name, value)) = line()?.split_once(": ") {
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, value)| value);
        let mut body = vec![0; length.parse().expect("a length")];
        self.0.read_exact(&mut body).ok()?;
        Some(Answer { status, headers, body })
    }
}
