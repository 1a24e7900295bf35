//! Owns the memory of what did not return or crashed, so that nobody waits for it twice.
//!
//! A verdict belongs to what was asked: the model's bytes, the runtime, the limits, and whether it was the load or one
//! block of rows. The rows are part of it because a damaged model may hang on some and answer others: a verdict on the
//! bytes alone would make a second run differ from the first.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::limits::Limits;
use super::outcome::{BlockOutcome, LoadOutcome};
use super::provision::{hex, replace};
use super::session::Signature;

/// What is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    NoReturn,
    Crashed,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::NoReturn => "no return\n",
            Self::Crashed => "crashed\n",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::NoReturn, Self::Crashed].into_iter().find(|verdict| verdict.word() == word)
    }
}

/// What a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    Load,
    /// A block, by the hash of its rows.
    Block([u8; 32]),
}

impl Question {
    pub(crate) fn block(rows: &[f32]) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut piece = [0; 4096];
        for rows in rows.chunks(piece.len() / 4) {
            for (bytes, value) in piece.chunks_exact_mut(4).zip(rows) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
            hasher.update(&piece[..4 * rows.len()]);
        }
        Self::Block(hasher.finalize().into())
    }

    fn file_name(&self) -> String {
        match self {
            Self::Load => "load".to_owned(),
            Self::Block(hash) => format!("block-{}", hex(hash)),
        }
    }

    fn of(file_name: &str) -> Option<Self> {
        if file_name == "load" {
            return Some(Self::Load);
        }
        let digits = file_name.strip_prefix("block-").filter(|digits| digits.len() == 64 && digits.is_ascii())?;
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self::Block(hash))
    }
}

/// The verdicts on one model: those found in the cache folder when it was opened, and those since.
#[derive(Debug)]
pub(crate) struct Verdicts {
    folder: Option<PathBuf>,
    known: BTreeMap<Question, Verdict>,
}

impl Verdicts {
    /// Reads what is known. Without a folder, or where it cannot be used, verdicts live as long as this.
    pub(crate) fn open(
        cache: Option<&Path>,
        runtime: &[u8; 32],
        digest: &[u8; 32],
        signature: &Signature,
        rowwise: bool,
        limits: Limits,
    ) -> Self {
        let mut key = blake3::Hasher::new_derive_key("rollcage 2026 verdict on a model that does not return, v1");
        key.update(runtime).update(digest);
        for name in [&signature.input, &signature.output] {
            key.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        }
        for number in [signature.features as u64, signature.column as u64, limits.cpu_s, limits.memory_bytes] {
            key.update(&number.to_le_bytes());
        }
        key.update(&[u8::from(rowwise)]);
        let folder = cache.map(|cache| cache.join("verdicts").join(key.finalize().to_hex().as_str()));
        let mut known = BTreeMap::new();
        for entry in folder.iter().flat_map(fs::read_dir).flatten().flatten() {
            let question = entry.file_name().to_str().and_then(Question::of);
            let verdict = fs::read_to_string(entry.path()).ok().and_then(|word| Verdict::of(&word));
            known.extend(question.zip(verdict));
        }
        Self { folder, known }
    }

    /// Whether nothing is known, so that a question need not even be put.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(crate) fn get(&self, question: &Question) -> Option<Verdict> {
        self.known.get(question).copied()
    }

    /// Remembers a verdict. That the folder cannot be written costs a later wait, nothing else.
    pub(crate) fn record(&mut self, question: Question, verdict: Verdict) {
        self.known.insert(question, verdict);
        if let Some(folder) = &self.folder {
            let _ = fs::create_dir_all(folder);
            let _ = replace(&folder.join(question.file_name()), verdict.word().as_bytes());
        }
    }
}

impl From<Verdict> for LoadOutcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::NoReturn => Self::NoReturn,
            Verdict::Crashed => Self::Crashed,
        }
    }
}

impl From<Verdict> for BlockOutcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::NoReturn => Self::NoReturn,
            Verdict::Crashed => Self::Crashed,
        }
    }
}

impl Verdict {
    pub(crate) fn of_load(load: &LoadOutcome) -> Option<Self> {
        match load {
            LoadOutcome::NoReturn => Some(Self::NoReturn),
            LoadOutcome::Crashed => Some(Self::Crashed),
            LoadOutcome::Loaded | LoadOutcome::Refused(_) => None,
        }
    }

    pub(crate) fn of_block(outcome: &BlockOutcome) -> Option<Self> {
        match outcome {
            BlockOutcome::NoReturn => Some(Self::NoReturn),
            BlockOutcome::Crashed => Some(Self::Crashed),
            BlockOutcome::Scores(_) | BlockOutcome::Rows(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(features: usize) -> Signature {
        Signature { input: "features".to_owned(), features, output: "score".to_owned(), column: 0 }
    }

    #[test]
    fn a_verdict_is_found_again_by_the_same_question_only() {
        let cache = tempfile::tempdir().unwrap();
        let limits = Limits::default();
        let open = |digest: u8, features: usize, limits: Limits| {
            Verdicts::open(Some(cache.path()), &[1; 32], &[digest; 32], &signature(features), true, limits)
        };
        let block = Question::block(&[1.0, 2.0]);
        let mut first = open(2, 4, limits);
        assert!(first.is_empty());
        first.record(block, Verdict::NoReturn);
        first.record(Question::Load, Verdict::Crashed);

        let again = open(2, 4, limits);
        assert_eq!(again.get(&block), Some(Verdict::NoReturn));
        assert_eq!(again.get(&Question::Load), Some(Verdict::Crashed));
        assert_eq!(again.get(&Question::block(&[1.0, 2.5])), None);
        assert!(open(3, 4, limits).is_empty());
        assert!(open(2, 5, limits).is_empty());
        assert!(open(2, 4, Limits { cpu_s: 1, ..limits }).is_empty());
    }

    #[test]
    fn a_spoilt_file_is_no_verdict() {
        let cache = tempfile::tempdir().unwrap();
        let open = || Verdicts::open(Some(cache.path()), &[1; 32], &[2; 32], &signature(4), true, Limits::default());
        let mut first = open();
        first.record(Question::Load, Verdict::Crashed);
        let file = first.folder.clone().unwrap().join("load");
        fs::write(&file, "cra").unwrap();
        fs::write(file.with_file_name("block-äää"), "crashed\n").unwrap();
        assert!(open().is_empty());
    }
}
