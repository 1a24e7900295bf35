//! Owns `replica`: arguments of one process that serves a model.

use crate::cli::Stop;
use crate::cli::exit::Exit;
use crate::digest::Digest;
use crate::live::replica::{Config, ServeError, check_name, serve};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Replica {
    /// The ONNX file
    #[arg(long)]
    model: PathBuf,
    /// The name it is served under
    #[arg(long, value_parser = name)]
    name: String,
    /// The port; 0 for any that is free (standard output tells which)
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The interface; another than this one lets others in
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The version it is served as
    #[arg(long, default_value = "1", value_parser = name)]
    version: String,
    /// Inferences that run at once, each on a thread of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: u16,
    /// Requests that may wait for their turn; beyond it they are refused
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    queue: u32,
    /// Refuse a file with another digest than this one (`sha256:…`)
    #[arg(long, value_parser = digest)]
    digest: Option<Digest>,
    /// Largest request body in bytes
    #[arg(long, default_value_t = 64 << 20)]
    max_body: usize,
    /// Most connections at once
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
    /// Let clients inject faults: POST /rollcage/latency
    #[arg(long)]
    faults: bool,
    /// End when standard input ends; on Linux also when the parent does
    #[arg(long)]
    lifeline: bool,
    /// The ONNX Runtime library to use [default: as `rollcage doctor` tells]
    #[arg(long)]
    runtime: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    check_name("name", text).map(|()| text.to_owned())
}

fn digest(text: &str) -> Result<Digest, &'static str> {
    Digest::parse(text).ok_or("expected sha256:<64 hex digits>")
}

impl Replica {
    pub(super) fn execute(self) -> Result<Exit, Stop> {
        let config = Config {
            model: self.model,
            name: self.name,
            version: self.version,
            digest: self.digest,
            host: self.host,
            port: self.port,
            concurrency: self.concurrency.into(),
            queue: self.queue as usize,
            max_body: self.max_body,
            max_connections: self.max_connections as usize,
            faults: self.faults,
            lifeline: self.lifeline,
            runtime: self.runtime,
        };
        match serve(&config) {
            Ok(()) => Ok(Exit::Holds),
            Err(ServeError::Runtime(error)) => Err(Stop::Environment(error.to_string())),
            Err(error) => {
                eprintln!("error: {error}");
                Ok(if matches!(error, ServeError::Model(_)) { Exit::Invalid } else { Exit::Environment })
            }
        }
    }
}
