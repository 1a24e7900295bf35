//! A closed loop of inference requests over kept-alive connections, against any server of the Open Inference Protocol V2.
//!
//! `cargo bench --bench v2load -- --address 127.0.0.1:8080 --model m --connections 16 --seconds 5`. One JSON line on
//! standard output. One thread for all connections; the request is made once, answers are checked for status and length.

use bytes::Bytes;
use clap::Parser;
use rollcage::live::v2::{InferRequest, InferResponse, JSON_LENGTH_HEADER};
use rollcage::world::inference::{Tensor, TensorData};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Loads a V2 server with inference requests of one row.
#[derive(Debug, Parser)]
struct Load {
    /// HOST:PORT
    #[arg(long)]
    address: String,
    /// The model's name
    #[arg(long)]
    model: String,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Seconds that are measured, after half a second that is not
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// The input's name
    #[arg(long, default_value = "x")]
    input: String,
    /// FP32 or FP64
    #[arg(long, default_value = "FP32")]
    datatype: String,
    /// Values in the row
    #[arg(long, default_value_t = 16)]
    features: usize,
    /// Binary tensors both ways instead of JSON
    #[arg(long)]
    binary: bool,
}

const WARM: Duration = Duration::from_millis(500);

/// An answer that does not come ends the measurement.
const ANSWER_MAX: Duration = Duration::from_secs(30);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().filter(|argument| argument != "--bench").collect();
    if !arguments.iter().any(|argument| argument.starts_with("--address")) {
        // Run among all benches: there is nothing to load.
        println!("v2load: needs a server; cargo bench --bench v2load -- --address HOST:PORT --model NAME");
        return Ok(());
    }
    let load = Load::parse_from(arguments);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let line = runtime.block_on(measure(&load))?;
    println!("{line}");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "latency is measured in real time")]
fn now() -> Instant {
    Instant::now()
}

fn request(load: &Load) -> Result<Bytes, Failure> {
    let value = |at: usize| (at % 23) as f32 / 8.0 - 1.25;
    let data = match load.datatype.as_str() {
        "FP32" => TensorData::Fp32((0..load.features).map(value).collect()),
        "FP64" => TensorData::Fp64((0..load.features).map(|at| value(at).into()).collect()),
        other => return Err(format!("--datatype {other} is neither FP32 nor FP64").into()),
    };
    let inputs = vec![Tensor { name: load.input.clone(), shape: vec![1, load.features], data }];
    let request = InferRequest { inputs, binary_output: load.binary, ..InferRequest::default() };
    let encoded = request.encode(load.binary)?;
    let mut out = format!(
        "POST /v2/models/{}/infer HTTP/1.1\r\nhost: {}\r\ncontent-type: {}\r\ncontent-length: {}\r\n",
        load.model,
        load.address,
        encoded.content_type(),
        encoded.body.len()
    );
    if let Some(length) = encoded.json_len {
        out.push_str(&format!("{JSON_LENGTH_HEADER}: {length}\r\n"));
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    out.extend_from_slice(&encoded.body);
    Ok(out.into())
}

struct Answer {
    status: u16,
    json_len: Option<usize>,
    body: std::ops::Range<usize>,
}

/// One answer, read into `buffer`.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Answer, Failure> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the connection ended".into());
        }
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head])?;
        let header = |name: &str| {
            text.lines().skip(1).find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().parse::<usize>().ok())?
            })
        };
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
        let length = header("content-length").ok_or("an answer without content-length")?;
        let json_len = header(JSON_LENGTH_HEADER);
        let whole = head + 4 + length;
        while buffer.len() < whole {
            if stream.read_buf(buffer).await? == 0 {
                return Err("the connection ended in an answer".into());
            }
        }
        return Ok(Answer { status, json_len, body: head + 4..whole });
    }
}

/// Latencies in nanoseconds of the answers that were good, and how many were not.
async fn drive(address: String, request: Bytes, from: Instant, to: Instant) -> Result<(Vec<u64>, u64), Failure> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let (mut took, mut errors, mut buffer) = (Vec::with_capacity(1 << 18), 0, Vec::with_capacity(4096));
    loop {
        let begun = now();
        if begun >= to {
            return Ok((took, errors));
        }
        stream.write_all(&request).await?;
        let answer = answer(&mut stream, &mut buffer).await?;
        let ended = now();
        if begun >= from && ended <= to {
            match answer.status {
                200 => took.push(u64::try_from((ended - begun).as_nanos())?),
                _ => errors += 1,
            }
        }
    }
}

async fn measure(load: &Load) -> Result<serde_json::Value, Failure> {
    let request = request(load)?;
    // Once with open eyes: a server that answers nonsense quickly is no fast server.
    let mut stream = TcpStream::connect(&load.address).await?;
    stream.write_all(&request).await?;
    let mut buffer = Vec::new();
    let first = tokio::time::timeout(ANSWER_MAX, answer(&mut stream, &mut buffer)).await??;
    let body = &buffer[first.body];
    if first.status != 200 {
        return Err(format!("the server answers {}: {}", first.status, String::from_utf8_lossy(body)).into());
    }
    if InferResponse::decode(body, first.json_len)?.outputs.is_empty() {
        return Err("the server answers without outputs".into());
    }
    drop(stream);
    let from = now() + WARM;
    let to = from + Duration::try_from_secs_f64(load.seconds)?;
    let drivers: Vec<_> =
        (0..load.connections.max(1)).map(|_| drive(load.address.clone(), request.clone(), from, to)).collect();
    let local = tokio::task::LocalSet::new();
    let handles: Vec<_> = drivers.into_iter().map(|driver| local.spawn_local(driver)).collect();
    let all = async {
        let (mut took, mut errors) = (Vec::new(), 0);
        for handle in handles {
            let (more, wrong) = handle.await??;
            took.extend(more);
            errors += wrong;
        }
        Ok::<_, Failure>((took, errors))
    };
    let limit = WARM + Duration::try_from_secs_f64(load.seconds)? + ANSWER_MAX;
    let (mut took, errors) = tokio::time::timeout(limit, local.run_until(all)).await??;
    took.sort_unstable();
    let quantile = |q: f64| {
        let at = ((took.len() as f64 * q).ceil() as usize).clamp(1, took.len().max(1)) - 1;
        took.get(at).map(|ns| *ns as f64 / 1e3)
    };
    Ok(serde_json::json!({
        "requests": took.len(),
        "errors": errors,
        "seconds": load.seconds,
        "throughput_per_s": took.len() as f64 / load.seconds,
        "p50_us": quantile(0.5),
        "p99_us": quantile(0.99),
        "p999_us": quantile(0.999),
    }))
}
