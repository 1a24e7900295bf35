//! Owns diagnostics: one mistake in one input file, as plain data and as text with the place marked.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;

/// One mistake in one input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file, as a person would name it.
    pub file: String,
    /// The line, from 1; 0 if the mistake is about the file as a whole.
    pub line: usize,
    /// The character in the line, from 1; 0 if the mistake is about the file as a whole.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What stands at the place, if the message does not say it all.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
    /// The bytes of the file that are wrong.
    pub span: Range<usize>,
    /// The lines around the span.
    #[serde(skip)]
    excerpt: String,
    /// The span within the excerpt.
    #[serde(skip)]
    marked: Range<usize>,
}

/// A text file that diagnostics point into.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file's name for people.
    pub file: String,
    /// Its text.
    pub text: Arc<str>,
}

impl Source {
    /// A named text.
    #[must_use]
    pub fn new(file: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        Self { file: file.into(), text: text.into() }
    }

    /// A mistake at these bytes of the text.
    #[must_use]
    pub fn at(&self, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        let span = clamp(&self.text, span);
        let start = self.text[..span.start].rfind('\n').map_or(0, |i| i + 1);
        let end = self.text[span.end..].find('\n').map_or(self.text.len(), |i| span.end + i);
        let line = self.text[..span.start].matches('\n').count() + 1;
        let column = self.text[start..span.start].chars().count() + 1;
        Diagnostic {
            file: self.file.clone(),
            line,
            column,
            message: message.into(),
            label: String::new(),
            help: None,
            excerpt: self.text[start..end].to_owned(),
            marked: span.start - start..span.end - start,
            span,
        }
    }

    /// A mistake at a line and character (both from 1), as other parsers give them.
    #[must_use]
    pub fn at_line(&self, line: usize, column: usize, message: impl Into<String>) -> Diagnostic {
        let start: usize = self.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let offset = start.saturating_add(column.saturating_sub(1));
        self.at(offset..offset.saturating_add(1), message)
    }
}

/// The span moved onto character boundaries inside the text, never longer than its first line.
fn clamp(text: &str, span: Range<usize>) -> Range<usize> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let end = text[start..end].find('\n').map_or(end, |i| start + i);
    start..end
}

impl Diagnostic {
    /// A mistake about a file as a whole: it is not there, or not of its kind.
    #[must_use]
    pub fn whole(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            message: message.into(),
            label: String::new(),
            help: None,
            span: 0..0,
            excerpt: String::new(),
            marked: 0..0,
        }
    }

    /// The same with a label at the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with advice, if there is any.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// The mistake as the compiler would show it, with ANSI colours if asked for.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let title = Level::ERROR.primary_title(self.message.as_str());
        let mut group = if self.line == 0 {
            Group::with_title(title).element(annotate_snippets::Origin::path(self.file.as_str()))
        } else {
            let mut mark = AnnotationKind::Primary.span(self.marked.clone());
            if !self.label.is_empty() {
                mark = mark.label(self.label.as_str());
            }
            let snippet =
                Snippet::source(self.excerpt.as_str()).line_start(self.line).path(self.file.as_str()).annotation(mark);
            title.element(snippet)
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// All mistakes as text, in the order of files and places, with a blank line between two.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], colour: bool) -> String {
    diagnostics.iter().map(|d| d.render(colour) + "\n").collect::<Vec<_>>().join("\n")
}

/// The candidate that `word` is probably a misspelling of.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1) + 1;
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_lowercase()), c))
        .filter(|&(distance, c)| distance <= limit && distance < c.chars().count().max(2))
        .min()
        .map(|(_, c)| c)
}

/// Whether one name is the other with words before or behind it: `latency` and `latency-quantile`.
fn related(a: &str, b: &str) -> bool {
    let within = |short: &str, long: &str| !short.is_empty() && long.split('-').any(|word| word == short);
    within(a, b) || within(b, a)
}

/// "did you mean `x`?", with all there is when the list is short, or the list alone.
#[must_use]
pub fn did_you_mean(word: &str, candidates: &[&str], noun: &str) -> Option<String> {
    const LISTED_MAX: usize = 24;
    let listed = |words: &[&str]| words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
    let list = match candidates.len() {
        0 => return Some(format!("there are no {noun}")),
        n if n <= LISTED_MAX => format!("{noun}: {}", listed(candidates)),
        n => format!("{noun}: {} and {} more", listed(&candidates[..LISTED_MAX]), n - LISTED_MAX),
    };
    let alike = || candidates.iter().copied().find(|candidate| related(word, candidate));
    Some(match nearest(word, candidates.iter().copied()).or_else(alike) {
        Some(meant) => format!("did you mean `{meant}`? {list}"),
        None => list,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_from_one() {
        let source = Source::new("a.toml", "x = 1\nµ = \"bad\"\n");
        let d = source.at(11..16, "wrong");
        assert_eq!((d.line, d.column), (2, 5));
        assert!(d.render(false).contains("a.toml:2:5"), "{}", d.render(false));
        assert!(!d.render(false).contains('\u{1b}'));
        assert!(d.render(true).contains('\u{1b}'));
    }

    #[test]
    fn any_span_is_brought_into_the_text() {
        let source = Source::new("a", "µµ");
        for start in 0..6 {
            for end in 0..6 {
                let _ = source.at(start..end, "m").render(false);
            }
        }
        assert_eq!(source.at_line(9, 9, "m").line, 1);
    }

    #[test]
    fn misspellings_are_recognised_and_strangers_are_not() {
        assert_eq!(nearest("replcias", ["replicas", "queue"]), Some("replicas"));
        assert_eq!(nearest("zebra", ["replicas", "queue"]), None);
        let help = |word| did_you_mean(word, &["latency-quantile", "ks"], "kinds").unwrap_or_default();
        assert!(help("latency").starts_with("did you mean `latency-quantile`?"), "{}", help("latency"));
        assert!(help("ks-test").starts_with("did you mean `ks`?"), "{}", help("ks-test"));
        assert!(help("zebra").starts_with("kinds: "), "{}", help("zebra"));
    }
}
