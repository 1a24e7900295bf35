//! Owns the errors of inference and the one way a native message is made fit to show.

use std::path::PathBuf;

/// Why inference cannot be had on this machine at all. An environment error, never a property of a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// `ORT_DYLIB_PATH` names something that is not a file.
    #[error("ORT_DYLIB_PATH names `{}`, which is not a file; correct it, or unset it to let rollcage find the runtime", path.display())]
    OverrideMissing {
        /// What the variable says.
        path: PathBuf,
    },
    /// No library was found, and none could be fetched.
    #[error("ONNX Runtime {version} was not found and could not be fetched: {why}\n{ways}", version = super::pins::VERSION, ways = super::provision::ways())]
    Unavailable {
        /// What stopped the fetch, one line.
        why: String,
    },
    /// Something fetched is not what was pinned; it was thrown away.
    #[error("{what} has SHA-256 {found}, but {expected} is pinned; nothing of it was kept\n{ways}", ways = super::provision::ways())]
    WrongHash {
        /// What was hashed: the wheel or the library.
        what: &'static str,
        /// The pinned hash, hexadecimal.
        expected: String,
        /// The hash that was found, hexadecimal.
        found: String,
    },
    /// A file operation failed.
    #[error("cannot {what} `{}`: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The library was found but does not load: another platform, another C library, too old an interface.
    #[error("`{}` does not load as ONNX Runtime: {why}\n{ways}", path.display(), ways = super::provision::ways())]
    Unloadable {
        /// The library.
        path: PathBuf,
        /// The loader's reason, one line.
        why: String,
    },
    /// This process has already loaded another library; a process holds one runtime.
    #[error("this process already runs ONNX Runtime from `{}`; one process holds one runtime", loaded.display())]
    AlreadyStarted {
        /// The library that is loaded.
        loaded: PathBuf,
    },
    /// The worker process for unvetted models does not start or does not answer.
    #[error("the worker process for unvetted models failed: {why}")]
    Worker {
        /// What went wrong, one line.
        why: String,
    },
    /// A model was asked for scores without a successful `open` before it: an error of the caller.
    #[error("model {digest} was not opened, or its load did not succeed")]
    NotOpen {
        /// The first digits of the model's digest, hexadecimal.
        digest: String,
    },
    /// A block was given that is not [`BLOCK`](super::BLOCK) rows of the model's features: an error of the caller.
    #[error("a block of {expected} values was expected, got {got}")]
    BlockLength {
        /// Values that a block of this model has.
        expected: usize,
        /// Values given.
        got: usize,
    },
}

/// Why a model's bytes do not become a session. One line, without paths or addresses of this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The runtime refuses the bytes.
    #[error("{0}")]
    Refused(String),
    /// The bytes load, but do not have the declared input and output.
    #[error("{0}")]
    Signature(String),
}

/// Why one run gave no scores. A score that is not a number is a score, not an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The caller's slice has the wrong length.
    #[error("expected {expected} values, got {got}")]
    Length {
        /// Values that rows × features (or rows) make.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// The inputs, or the names of outputs, are not those of the model: an error of whoever asks.
    #[error("{0}")]
    Input(String),
    /// The output is not a float tensor `[rows, columns]` (or `[rows]`) that has the declared column.
    #[error("{0}")]
    Output(String),
    /// The runtime failed while running.
    #[error("{0}")]
    Failed(String),
}

/// Longest message kept, in characters.
const MESSAGE_MAX: usize = 240;

/// Makes a native message fit to record: one line, at most 240 characters; paths are cut to their last part, addresses
/// and locators of package indexes are replaced. What remains does not depend on the machine.
pub(crate) fn one_line(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no message");
    let mut out = String::new();
    for word in line.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&neutral(word));
    }
    if out.chars().count() > MESSAGE_MAX {
        out = out.chars().take(MESSAGE_MAX - 1).collect();
        out.push('…');
    }
    out
}

fn neutral(word: &str) -> String {
    if word.contains("://") {
        return "<url>".to_owned();
    }
    if let Some(at) = word.find("0x") {
        let digits = word[at + 2..].chars().take_while(char::is_ascii_hexdigit).count();
        if digits >= 6 {
            return format!("{}<address>{}", &word[..at], &word[at + 2 + digits..]);
        }
    }
    match word.rfind(['/', '\\']) {
        Some(at) if at + 1 < word.len() => {
            let quoted = word.chars().next().filter(|first| matches!(first, '\'' | '"' | '`' | '('));
            quoted.into_iter().chain(word[at + 1..].chars()).collect()
        }
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_message_loses_paths_addresses_and_further_lines() {
        let check = |message: &str, expect: &str| assert_eq!(one_line(message), expect);
        check("Load model failed:Protobuf parsing failed.", "Load model failed:Protobuf parsing failed.");
        check("\n/onnxruntime_src/core/graph/model.cc:149 bad\nsecond line", "model.cc:149 bad");
        check("open file \"/home/someone/secret.onnx\" failed", "open file \"secret.onnx\" failed");
        check(r"open C:\Users\someone\m.onnx", "open m.onnx");
        check("at 0x7f00deadbeef, sorry", "at <address>, sorry");
        check("0x12 stays", "0x12 stays");
        check("Looking in indexes: https://user:secret@index.example/simple", "Looking in indexes: <url>");
        check("", "no message");
        assert!(one_line(&"word ".repeat(400)).chars().count() <= 240);
    }
}
