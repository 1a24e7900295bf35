//! Owns the worker's end of the conversation: it loads and runs what it is told to, and may die of it.

use super::engine::Engine;
use super::limits::{Guard, Limits};
use super::provision::{Located, Origin};
use super::session::{Session, message_of_exhaustion};
use super::wire::{self, Hello, LoadHead, kind};

/// The worker's whole life: answers requests from standard input until it ends. Returns the exit code.
pub fn worker_main() -> i32 {
    let (mut from, mut to) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut request = Vec::new();
    if !matches!(wire::read_frame(&mut from, &mut request), Ok(kind::HELLO)) {
        return 2;
    }
    let (engine, limits) = match prepare(&request) {
        Ok(prepared) => prepared,
        Err(why) => {
            let _ = wire::write_frame(&mut to, kind::FATAL, &[why.as_bytes()]);
            return 2;
        }
    };
    let mut guard = Guard::set(limits);
    if wire::write_frame(&mut to, kind::READY, &[]).is_err() {
        return 0;
    }
    let mut held: Option<(Session, bool)> = None;
    let mut reply = Vec::new();
    while let Ok(asked) = wire::read_frame(&mut from, &mut request) {
        guard.mark(true);
        let kind = match (asked, &mut held) {
            (kind::LOAD, held) => {
                *held = None;
                load(&engine, &request, held, &mut guard, &mut reply)
            }
            (kind::RUN, Some((session, rowwise))) => run(session, *rowwise, &request, &mut guard, &mut reply),
            _ => return 2,
        };
        guard.mark(false);
        if wire::write_frame(&mut to, kind, &[&reply]).is_err() {
            break;
        }
    }
    0
}

fn prepare(hello: &[u8]) -> Result<(Engine, Limits), String> {
    let hello: Hello = serde_json::from_slice(hello).map_err(|error| error.to_string())?;
    // The parent has looked at the library already; only its path matters here.
    let located =
        Located { path: hello.library, origin: Origin::Variable, sha256: [0; 32], foreign: true, version: None };
    let engine = Engine::start(&located).map_err(|error| error.to_string())?;
    Ok((engine, hello.limits))
}

fn load(
    engine: &Engine,
    request: &[u8],
    held: &mut Option<(Session, bool)>,
    guard: &mut Guard,
    reply: &mut Vec<u8>,
) -> u8 {
    reply.clear();
    let Some((head, bytes)) = split_load(request) else {
        reply.extend(b"malformed request");
        return kind::REFUSED;
    };
    guard.arm();
    match engine.load(bytes, &head.signature) {
        Ok(session) => {
            *held = Some((session, head.rowwise));
            kind::LOADED
        }
        Err(error) => {
            let message = error.to_string();
            if message_of_exhaustion(&message) {
                std::process::abort();
            }
            reply.extend(message.as_bytes());
            kind::REFUSED
        }
    }
}

fn split_load(request: &[u8]) -> Option<(LoadHead, &[u8])> {
    let (length, rest) = request.split_first_chunk::<8>()?;
    let (head, bytes) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some((serde_json::from_slice(head).ok()?, bytes))
}

/// A row that wants more memory than the worker may have ends the worker: that is a crash, as it is for a server.
fn run(session: &mut Session, rowwise: bool, request: &[u8], guard: &mut Guard, reply: &mut Vec<u8>) -> u8 {
    let outcome = wire::floats(request).and_then(|rows| session.outcome(&rows, rowwise, &mut || guard.arm()).ok());
    match outcome.and_then(|outcome| wire::put_outcome(&outcome, reply)) {
        Some(kind) => kind,
        None => std::process::abort(),
    }
}
