//! The layer table of the crate docs, executable: who may import whom, and what must never be mentioned where.
//!
//! The checker runs on `src/` and, to prove that each rule can fail, on small planted sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `src/` from the bottom up. A module may import from rows below its own, never from its own row or above.
const LAYERS: &[&[&str]] = &[
    &["time", "id", "digest"],
    &["rng", "stats"],
    &["event"],
    &["artifact", "trace"],
    &["detect", "report"],
    &["control", "world"],
    &["plan"],
    &["sim", "live"],
    &["campaign"],
    &["cli"],
    &["main"],
];

/// Longest file in lines; tests inside count, files of tests do not.
const LINES_MAX: usize = 600;

/// Files that may be longer, each with the reason. None so far.
const LONG_FILES: &[(&str, &str)] = &[];

/// Something that must not be mentioned.
#[derive(Clone, Copy)]
enum Mention {
    /// A path that begins so; used or written out.
    Path(&'static [&'static str]),
    /// A name, wherever it stands in a path.
    Name(&'static str),
    /// A macro.
    Macro(&'static str),
    /// An attribute.
    Attribute(&'static str),
    /// A method.
    Method(&'static str),
}

struct Ban {
    what: Mention,
    /// Where it holds: paths under `src/` that begin so; empty: everywhere.
    within: &'static [&'static str],
    /// Where it does not hold.
    but: &'static [&'static str],
    instead: &'static str,
}

const fn everywhere(what: Mention, but: &'static [&'static str], instead: &'static str) -> Ban {
    Ban { what, within: &[], but, instead }
}

const INFERENCE: &str = "world/inference/";
const PORTABLE: &str = "std's differs between machines: take the one of `libm`";
const UNFINISHED: &str = "finish it, or leave it out";

const BANS: &[Ban] = &[
    // What makes two runs of one seed differ.
    everywhere(Mention::Name("HashMap"), &[], "its order differs between runs: `BTreeMap` or `Vec`"),
    everywhere(Mention::Name("HashSet"), &[], "its order differs between runs: `BTreeSet` or `Vec`"),
    everywhere(
        Mention::Name("Instant"),
        &["campaign/lab.rs", "live/"],
        "virtual time; the host's clock is `campaign::lab::now`",
    ),
    everywhere(Mention::Name("SystemTime"), &[], "virtual time: `time::SimTime`"),
    everywhere(
        Mention::Path(&["std", "time"]),
        &["campaign/lab.rs", "live/", "world/inference/limits.rs", "world/inference/provision.rs"],
        "virtual time: `time::{SimTime, Span}`",
    ),
    everywhere(Mention::Name("sleep"), &["live/"], "nothing waits in virtual time: schedule an event"),
    everywhere(Mention::Path(&["rand"]), &[], "a stream with a name: `rng::Stream::named`"),
    everywhere(Mention::Path(&["rand_chacha"]), &["rng.rs"], "a stream with a name: `rng::Stream::named`"),
    everywhere(Mention::Path(&["rand_distr"]), &[], "inversion of one uniform: `world::distribution`"),
    everywhere(Mention::Path(&["getrandom"]), &[], "a stream with a name: `rng::Stream::named`"),
    everywhere(Mention::Method("ln"), &[], PORTABLE),
    everywhere(Mention::Method("ln_1p"), &[], PORTABLE),
    everywhere(Mention::Method("log2"), &[], PORTABLE),
    everywhere(Mention::Method("log10"), &[], PORTABLE),
    everywhere(Mention::Method("exp"), &[], PORTABLE),
    everywhere(Mention::Method("exp2"), &[], PORTABLE),
    everywhere(Mention::Method("exp_m1"), &[], PORTABLE),
    everywhere(Mention::Method("powf"), &[], PORTABLE),
    everywhere(Mention::Method("powi"), &[], "its rounding differs between machines: multiply"),
    everywhere(Mention::Method("sin"), &[], PORTABLE),
    everywhere(Mention::Method("cos"), &[], PORTABLE),
    everywhere(Mention::Method("tan"), &[], PORTABLE),
    everywhere(Mention::Method("tanh"), &[], PORTABLE),
    // Who may touch the world outside.
    everywhere(Mention::Path(&["ort"]), &[INFERENCE], "`world::inference` is the only user of the runtime"),
    everywhere(Mention::Path(&["tokio"]), &["live/"], "the event queue of `sim`; real time is `live`'s"),
    everywhere(
        Mention::Path(&["std", "net"]),
        // Addresses are data there.
        &["live/", "plan/mod.rs", "plan/resolve/foreign.rs"],
        "only `live` talks to a network; pip fetches the runtime",
    ),
    everywhere(
        Mention::Path(&["std", "fs"]),
        &[INFERENCE, "live/", "plan/files.rs", "report/render/mod.rs", "campaign/lab.rs", "cli/"],
        "hand the bytes in, or hand them out",
    ),
    everywhere(
        Mention::Path(&["std", "env"]),
        &[INFERENCE, "campaign/lab.rs", "cli/"],
        "hand the value in: results must not depend on the surroundings",
    ),
    everywhere(
        Mention::Path(&["std", "process"]),
        &[INFERENCE, "cli/", "live/", "main.rs"],
        "only inference, live and the command line start or end processes",
    ),
    everywhere(
        Mention::Path(&["std", "thread"]),
        &["world/inference/limits.rs", "live/", "cli/"],
        "one run is one thread; trials are spread by `campaign::lab`",
    ),
    everywhere(Mention::Path(&["rayon"]), &["campaign/lab.rs"], "one run is one thread; trials are spread by the lab"),
    everywhere(Mention::Path(&["clap"]), &["cli/"], "arguments end in `cli`"),
    everywhere(Mention::Path(&["plotters"]), &["report/render/"], "pictures are made in `report::render`"),
    // Layers that are stricter than their row.
    Ban {
        what: Mention::Path(&["crate"]),
        within: &["stats/"],
        but: &[],
        instead: "statistics know numbers only, no word of the domain: take and give plain values",
    },
    Ban {
        what: Mention::Path(&["crate", "rng", "Stream"]),
        within: &["control/"],
        but: &[],
        instead: "the controller draws nothing: hand the `Seed` to `detect`",
    },
    Ban {
        what: Mention::Path(&["crate", "detect"]),
        within: &["world/"],
        but: &[],
        instead: "the plant does not know who measures it: telemetry goes out as `event::Input`",
    },
    Ban {
        what: Mention::Path(&["crate", "report"]),
        within: &["world/", "control/"],
        but: &[],
        instead: "nobody grades himself: say what happened as an `event::Event`",
    },
    Ban {
        what: Mention::Path(&["crate", "trace"]),
        within: &["world/", "control/", "detect/"],
        but: &[],
        instead: "say what happened as an `event::Event`; `trace::recorder` makes the trace",
    },
    Ban {
        what: Mention::Path(&["crate", "artifact"]),
        within: &["detect/", "report/", "control/"],
        but: &[],
        instead: "facts and signals know digests, not bytes",
    },
    Ban {
        what: Mention::Path(&["crate", "rng"]),
        within: &["report/", "trace/"],
        but: &[],
        instead: "a report draws nothing: two reports of one trace are equal",
    },
    // Unfinished work.
    everywhere(Mention::Macro("todo"), &[], UNFINISHED),
    everywhere(Mention::Macro("unimplemented"), &[], UNFINISHED),
    everywhere(Mention::Macro("dbg"), &[], UNFINISHED),
    everywhere(
        Mention::Attribute("ignore"),
        &[],
        "a test that does not run proves nothing: ROLLCAGE_LONG_TESTS is for long ones",
    ),
];

// ---------------------------------------------------------------------------------------------------------------------
// Reading sources

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

/// One file: its tokens outside comments, literals and test modules.
struct Source {
    /// Below `src/`, with forward slashes.
    path: String,
    text: String,
    tokens: Vec<Token>,
    /// Files that hold tests of this one.
    tests: Vec<String>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let mut tokens = tokens(text);
        let tests = drop_tests(path, &mut tokens);
        Self { path: path.to_owned(), text: text.to_owned(), tokens, tests }
    }

    /// The module of the layer table it belongs to; none for the crate root.
    fn module(&self) -> Option<&str> {
        let first = self.path.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first)).filter(|m| *m != "lib")
    }

    /// How many `super` lead out of its module of the layer table.
    fn depth(&self) -> usize {
        self.path.split('/').filter(|part| *part != "mod.rs").count()
    }
}

/// Words, `::` and single characters, without comments and literals.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    let (mut out, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let start = i;
        let mut kept = None;
        match at(i) {
            '/' if at(i + 1) == '/' => i += chars[i..].iter().take_while(|c| **c != '\n').count(),
            '/' if at(i + 1) == '*' => {
                let mut open = 0;
                while i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (open, i) = (open + 1, i + 2),
                        ('*', '/') => (open, i) = (open - 1, i + 2),
                        _ => i += 1,
                    }
                    if open == 0 {
                        break;
                    }
                }
            }
            '"' => i = string_end(&chars, i),
            // A character, not a lifetime.
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => {
                i += if at(i + 1) == '\\' { 3 } else { 2 };
                i += chars[i.min(chars.len())..].iter().take_while(|c| **c != '\'').count() + 1;
            }
            ':' if at(i + 1) == ':' => {
                i += 2;
                kept = Some("::".to_owned());
            }
            c if is_word(c) => {
                i += chars[i..].iter().take_while(|c| is_word(**c)).count();
                let word: String = chars[start..i].iter().collect();
                let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
                let raw = matches!(word.as_str(), "r" | "br" | "cr") && at(i + hashes) == '"';
                if raw {
                    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                    i += hashes + 1;
                    while i < chars.len() && !chars[i..].starts_with(&end) {
                        i += 1;
                    }
                    i += end.len();
                } else if !(matches!(word.as_str(), "b" | "c") && at(i) == '"') {
                    kept = Some(word);
                }
            }
            c => {
                i += 1;
                kept = (!c.is_whitespace()).then(|| c.to_string());
            }
        }
        out.extend(kept.map(|text| Token { line, text }));
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    out
}

fn string_end(chars: &[char], open: usize) -> usize {
    let mut i = open + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

fn texts(tokens: &[Token]) -> Vec<&str> {
    tokens.iter().map(|t| t.text.as_str()).collect()
}

/// Removes what stands behind `#[cfg(test)]`; the files of test modules that stand elsewhere.
fn drop_tests(path: &str, tokens: &mut Vec<Token>) -> Vec<String> {
    let mut files = Vec::new();
    let marker = ["#", "[", "cfg", "(", "test", ")", "]"];
    while let Some(from) = (0..tokens.len()).find(|&i| texts(&tokens[i..]).starts_with(&marker)) {
        let mut to = from + marker.len();
        while to < tokens.len() && tokens[to].text != ";" && tokens[to].text != "{" {
            to += 1;
        }
        let words = texts(&tokens[from..to]);
        if let Some(name) = words.iter().position(|w| *w == "mod").and_then(|i| words.get(i + 1))
            && tokens.get(to).is_some_and(|t| t.text == ";")
        {
            let folder = path.strip_suffix("mod.rs").map_or_else(|| path.replace(".rs", "/"), str::to_owned);
            files.extend([format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")]);
        }
        let mut open = 0;
        while let Some(token) = tokens.get(to) {
            match token.text.as_str() {
                "{" => open += 1,
                "}" => open -= 1,
                _ => {}
            }
            to += 1;
            if open == 0 {
                break;
            }
        }
        tokens.drain(from..to);
    }
    files
}

/// All paths, with groups taken apart: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(tokens: &[Token]) -> Vec<(usize, Vec<String>)> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        i = if is_name(tokens, i) { path(tokens, i, Vec::new(), &mut out) } else { i + 1 };
    }
    out
}

fn is_name(tokens: &[Token], i: usize) -> bool {
    tokens.get(i).is_some_and(|t| t.text.starts_with(|c: char| c == '_' || c.is_alphabetic()))
}

fn path(tokens: &[Token], mut i: usize, mut names: Vec<String>, out: &mut Vec<(usize, Vec<String>)>) -> usize {
    let is = |i: usize, text: &str| tokens.get(i).is_some_and(|t| t.text == text);
    let line = tokens[i].line;
    names.push(tokens[i].text.clone());
    i += 1;
    while is(i, "::") {
        if is_name(tokens, i + 1) || is(i + 1, "*") {
            names.push(tokens[i + 1].text.clone());
            i += 2;
        } else if is(i + 1, "{") {
            i += 2;
            while i < tokens.len() && !is(i, "}") {
                i = if is_name(tokens, i) { path(tokens, i, names.clone(), out) } else { i + 1 };
                // A name given with `as` is no path.
                i += if is(i, "as") { 2 } else { 0 };
            }
            return i + 1;
        } else {
            break;
        }
    }
    out.push((line, names));
    i
}

// ---------------------------------------------------------------------------------------------------------------------
// Rules

struct Finding {
    file: String,
    line: usize,
    what: String,
    instead: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}; instead: {}", self.file, self.line, self.what, self.instead)
    }
}

fn finding(source: &Source, line: usize, what: impl Into<String>, instead: impl Into<String>) -> Finding {
    Finding { file: source.path.clone(), line, what: what.into(), instead: instead.into() }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// Imports between modules of the layer table: (from, to) with the place of the first.
fn edges(sources: &[Source]) -> BTreeMap<(String, String), (&Source, usize)> {
    let mut edges = BTreeMap::new();
    for source in sources {
        let Some(from) = source.module() else { continue };
        for (line, path) in paths(&source.tokens) {
            if let ["crate" | "rollcage", to, ..] = texts_of(&path)[..]
                && to != from
            {
                edges.entry((from.to_owned(), to.to_owned())).or_insert((source, line));
            }
        }
    }
    edges
}

fn texts_of(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn check_layers(sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    let edges = edges(sources);
    for source in sources {
        if let Some(module) = source.module().filter(|m| layer(m).is_none()) {
            found.push(finding(
                source,
                1,
                format!("`{module}` is in no layer"),
                "give it a row in LAYERS and in the crate docs",
            ));
        }
        for (line, path) in paths(&source.tokens) {
            let out = path.iter().take_while(|name| *name == "super").count();
            if source.module().is_some() && out >= source.depth() {
                found.push(finding(
                    source,
                    line,
                    "`super` leads out of the module",
                    "write `crate::…`, so that the layer is seen",
                ));
            }
        }
    }
    for ((from, to), (source, line)) in &edges {
        let (Some(above), Some(below)) = (layer(from), layer(to)) else { continue };
        if above <= below {
            let way = if above == below { "sideways" } else { "upward" };
            let what = format!("`{from}` (layer {above}) imports `{to}` (layer {below}), {way}");
            found.push(finding(
                source,
                *line,
                what,
                format!("move what both need below layer {above}, or hand it in as data"),
            ));
        }
    }
    found.extend(cycle(&edges));
    found
}

/// One cycle, if there is any: modules without imports are taken away until none is left.
fn cycle(edges: &BTreeMap<(String, String), (&Source, usize)>) -> Option<Finding> {
    let mut left: BTreeSet<&str> = edges.keys().flat_map(|(from, to)| [from.as_str(), to.as_str()]).collect();
    loop {
        let imports = |m: &str| edges.keys().any(|(from, to)| from == m && left.contains(to.as_str()));
        let done: Vec<&str> = left.iter().copied().filter(|m| !imports(m)).collect();
        if done.is_empty() {
            break;
        }
        left.retain(|m| !done.contains(m));
    }
    let ((from, _), (source, line)) =
        edges.iter().find(|((from, to), _)| left.contains(from.as_str()) && left.contains(to.as_str()))?;
    let what = format!("`{from}` is part of a cycle among {left:?}");
    Some(finding(source, *line, what, "imports go one way: hand one of them in as data"))
}

fn mentions(source: &Source, what: Mention) -> Vec<usize> {
    let words = texts(&source.tokens);
    let line = |(i, _): (usize, &[&str])| source.tokens[i].line;
    match what {
        // `pub(crate)` and a module's own paths say nothing of others.
        Mention::Path(["crate"]) => {
            let other = |p: &[String]| p.len() > 1 && p[0] == "crate" && source.module() != Some(p[1].as_str());
            paths(&source.tokens).iter().filter(|(_, p)| other(p)).map(|(line, _)| *line).collect()
        }
        Mention::Path(start) => paths(&source.tokens)
            .iter()
            .filter(|(_, p)| texts_of(p).starts_with(start))
            .map(|(line, _)| *line)
            .collect(),
        Mention::Name(name) => {
            paths(&source.tokens).iter().filter(|(_, p)| p.iter().any(|n| n == name)).map(|(line, _)| *line).collect()
        }
        Mention::Macro(name) => words.windows(2).enumerate().filter(|(_, w)| **w == [name, "!"]).map(line).collect(),
        Mention::Attribute(name) => {
            words.windows(3).enumerate().filter(|(_, w)| **w == ["#", "[", name]).map(line).collect()
        }
        Mention::Method(name) => words
            .windows(3)
            .enumerate()
            .filter(|(_, w)| **w == [".", name, "("] || **w == ["f64", "::", name] || **w == ["f32", "::", name])
            .map(line)
            .collect(),
    }
}

impl Mention {
    fn words(self) -> String {
        match self {
            Self::Path(path) => path.join("::"),
            Self::Name(name) => name.to_owned(),
            Self::Macro(name) => format!("{name}!"),
            Self::Attribute(name) => format!("#[{name}]"),
            Self::Method(name) => format!(".{name}()"),
        }
    }

    /// A line of code that mentions it.
    fn planted(self) -> String {
        match self {
            Self::Path(["crate"]) => "use crate::time::{Span, SimTime as T};".to_owned(),
            Self::Path([first, rest @ ..]) => {
                format!("use {first}::{{self, {}::x as y}};", [rest, &["x"]].concat().join("::"))
            }
            Self::Path([]) => String::new(),
            Self::Name(name) => format!("type T = some::{name}<u8>;"),
            Self::Macro(name) => format!("fn f() {{ {name}!() }}"),
            Self::Attribute(name) => format!("#[{name} = \"why\"] fn f() {{}}"),
            Self::Method(name) => format!("fn f(x: f64) -> f64 {{ x.{name}() }}"),
        }
    }
}

impl Ban {
    fn holds_in(&self, path: &str) -> bool {
        (self.within.is_empty() || self.within.iter().any(|w| path.starts_with(w)))
            && !self.but.iter().any(|b| path.starts_with(b))
    }
}

fn check_bans(sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in sources {
        for ban in BANS.iter().filter(|ban| ban.holds_in(&source.path)) {
            let what = format!("`{}` must not be mentioned here", ban.what.words());
            found.extend(mentions(source, ban.what).into_iter().map(|line| finding(source, line, &what, ban.instead)));
        }
    }
    found
}

fn check_shape(sources: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in sources {
        if !source.text.starts_with("//! ") {
            found.push(finding(source, 1, "no module header", "begin with `//! Owns …`: what the file is for"));
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX && !LONG_FILES.iter().any(|(path, _)| *path == source.path) {
            let what = format!("{lines} lines, more than {LINES_MAX}");
            found.push(finding(
                source,
                LINES_MAX,
                what,
                "split it by what its parts own, or list it with a reason in LONG_FILES",
            ));
        }
    }
    found
}

fn check(sources: &[Source]) -> Vec<Finding> {
    let tests: Vec<&String> = sources.iter().flat_map(|s| &s.tests).collect();
    let (tests, product): (Vec<&Source>, Vec<&Source>) = sources.iter().partition(|s| tests.contains(&&s.path));
    let product: Vec<Source> = product.into_iter().map(|s| Source::new(&s.path, &s.text)).collect();
    let headless = tests.iter().filter(|s| !s.text.starts_with("//! "));
    let mut found: Vec<Finding> =
        headless.map(|s| finding(s, 1, "no module header", "begin with `//! …`: what is tested")).collect();
    found.extend(check_layers(&product));
    found.extend(check_bans(&product));
    found.extend(check_shape(&product));
    found
}

// ---------------------------------------------------------------------------------------------------------------------
// The real thing

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out.sort();
}

fn read(folder: &str) -> Vec<Source> {
    let folder = root().join(folder);
    let mut files = Vec::new();
    rust_files(&folder, &mut files);
    let source = |path: &PathBuf| {
        let name = path.strip_prefix(&folder).expect("below the folder").to_string_lossy().replace('\\', "/");
        Source::new(&name, &fs::read_to_string(path).expect("text"))
    };
    files.iter().map(source).collect()
}

fn assert_none(found: &[Finding]) {
    let lines: Vec<String> = found.iter().map(Finding::to_string).collect();
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), lines.join("\n"));
}

#[test]
fn the_crate_keeps_its_layers_and_bans() {
    let sources = read("src");
    assert!(sources.len() > 100, "only {} files were found", sources.len());
    assert_none(&check(&sources));
}

#[test]
fn tests_and_benches_hold_no_unfinished_work_and_no_skipped_test() {
    for folder in ["tests", "benches"] {
        for source in read(folder) {
            for ban in BANS.iter().filter(|b| matches!(b.what, Mention::Macro(_) | Mention::Attribute(_))) {
                let lines = mentions(&source, ban.what);
                assert!(lines.is_empty(), "{folder}/{}:{lines:?}: {}; {}", source.path, ban.what.words(), ban.instead);
            }
        }
    }
}

#[test]
fn no_exception_outlives_its_need() {
    let sources = read("src");
    for ban in BANS {
        for but in ban.but {
            let used = sources.iter().filter(|s| s.path.starts_with(but)).any(|s| !mentions(s, ban.what).is_empty());
            assert!(used, "`{}` may be mentioned in {but} and is not: take it out of BANS", ban.what.words());
        }
    }
    for (path, why) in LONG_FILES {
        let source = sources.iter().find(|s| s.path == *path);
        let long = source.is_some_and(|s| s.text.lines().count() > LINES_MAX);
        assert!(long && !why.is_empty(), "{path} is not a long file any more: take it out of LONG_FILES");
    }
}

#[test]
fn every_module_has_its_layer_and_the_crate_docs_show_the_same_table() {
    let sources = read("src");
    let present: BTreeSet<&str> = sources.iter().filter_map(Source::module).collect();
    let listed: BTreeSet<&str> = LAYERS.iter().flat_map(|row| row.iter().copied()).collect();
    assert_eq!(present, listed);
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("text");
    for (number, row) in LAYERS.iter().enumerate() {
        let shown = lib.lines().find_map(|line| line.strip_prefix(&format!("//! | {number} | ")));
        let shown = shown.unwrap_or_else(|| panic!("the table in src/lib.rs has no row {number}"));
        let cell = shown.split('|').next().unwrap_or_default();
        let names: BTreeSet<&str> = cell.split('`').skip(1).step_by(2).collect();
        assert_eq!(names, row.iter().copied().collect(), "row {number} of the table in src/lib.rs");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The proof that each rule can fail

fn planted(files: &[(&str, &str)]) -> Vec<String> {
    let headed = |(path, text): &(&str, &str)| Source::new(path, &format!("//! Planted.\n{text}"));
    check(&files.iter().map(headed).collect::<Vec<_>>()).iter().map(Finding::to_string).collect()
}

#[track_caller]
fn caught(files: &[(&str, &str)], expect: &str) {
    let found = planted(files);
    assert!(found.iter().any(|line| line.contains(expect)), "`{expect}` is not among {found:#?}");
}

#[test]
fn a_planted_violation_of_each_ban_is_caught_at_its_line() {
    for ban in BANS {
        let free = ["sim/mod.rs", "time.rs", "world/plant.rs"];
        let place = match ban.within {
            [] => free[0].to_owned(),
            [first, ..] => format!("{first}x.rs"),
        };
        let text = format!("\n{}\n", ban.what.planted());
        let expect = format!("src/{place}:3: `{}` must not", ban.what.words());
        caught(&[(&place, &text)], &expect);
        for but in ban.but {
            let allowed = if but.ends_with('/') { format!("{but}x.rs") } else { (*but).to_owned() };
            let found = planted(&[(&allowed, &text)]);
            let what = format!("`{}` must not", ban.what.words());
            assert!(!found.iter().any(|line| line.contains(&what)), "{allowed}: {found:?}");
        }
    }
}

#[test]
fn planted_imports_the_wrong_way_are_caught() {
    caught(
        &[("stats/mod.rs", "use crate::event::Event;")],
        "src/stats/mod.rs:2: `stats` (layer 1) imports `event` (layer 2), upward",
    );
    caught(
        &[("world/plant.rs", "use crate::control::config::Rule;")],
        "`world` (layer 5) imports `control` (layer 5), sideways",
    );
    caught(&[("control/judge.rs", "fn f(x: &crate::world::plant::World) {}")], "`control` (layer 5) imports `world`");
    caught(
        &[("report/judge.rs", "use crate::{\n  time,\n  detect::{self as d},\n};")],
        "src/report/judge.rs:4: `report` (layer 4) imports `detect`",
    );
    caught(&[("report/fold.rs", "use crate::sim::run;")], "upward");
    caught(&[("event.rs", "use super::world::config;")], "`super` leads out");
    caught(&[("detect/rows.rs", "use super::super::plan::Plan;")], "`super` leads out");
    caught(&[("detect/mod.rs", "use super::plan::Plan;")], "`super` leads out");
    caught(&[("novelty/mod.rs", "")], "`novelty` is in no layer");
    caught(&[("cli/mod.rs", "use rollcage::main;")], "`cli` (layer 9) imports `main` (layer 10), upward");
    caught(&[("id.rs", "use crate::{digest::keyed};")], "`id` (layer 0) imports `digest` (layer 0), sideways");
}

#[test]
fn a_planted_cycle_is_caught_even_where_the_table_knows_nothing() {
    let files = [("a.rs", "use crate::b::X;"), ("b.rs", "use crate::c::X;"), ("c.rs", "use crate::a::X;")];
    caught(&files, r#"cycle among {"a", "b", "c"}"#);
    assert!(!planted(&files[..2]).iter().any(|line| line.contains("cycle")));
}

#[test]
fn planted_shapes_are_caught() {
    let long = "\n".repeat(LINES_MAX);
    caught(&[("time.rs", &long)], "src/time.rs:600: 601 lines");
    let bare = check(&[Source::new("time.rs", "fn f() {}\n")]);
    assert!(bare.iter().any(|f| f.what == "no module header"));
}

#[test]
fn words_in_comments_literals_and_test_modules_are_no_mentions() {
    let text = r##"
// HashMap in a comment, use crate::world::plant;
/* and /* nested */ todo!() */
/// [`crate::sim::run`]
const A: &str = "HashMap \" use crate::sim;";
const B: &str = r#"dbg!() " HashMap"#;
const C: (char, char, &'static [u8]) = ('"', '\'', b"HashMap");
#[cfg(test)]
mod tests {
    use crate::sim::run;
    fn f() { let x = 1.0f64.ln(); }
}
"##;
    assert_eq!(planted(&[("stats/x.rs", text)]), Vec::<String>::new());
    caught(&[("stats/x.rs", &format!("{text}use crate::sim;"))], "upward");
}

#[test]
fn a_test_module_in_a_file_of_its_own_is_a_test() {
    let tests = ("report/render/tests.rs", "use crate::sim::run;");
    assert_eq!(planted(&[("report/render/mod.rs", "#[cfg(test)]\nmod tests;"), tests]), Vec::<String>::new());
    caught(&[("report/render/mod.rs", "mod tests;"), tests], "upward");
}
