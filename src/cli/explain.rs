//! Owns `explain`: what a kind of signal computes, with which parameters, from which source, and what it is blind to.

use crate::cli::exit::Exit;
use crate::cli::{Format, Stop, print};
use crate::plan::about::{About, MEMORY_WORDS, Parameter, kinds};
use crate::plan::diagnostic::did_you_mean;
use clap::Args;
use serde_json::json;

/// Columns of a terminal that text is folded to.
const COLUMNS: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A kind of signal, like `ks` or `burn-rate`; without it, all of them in a line each
    signal: Option<String>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

impl Explain {
    pub(super) fn execute(self) -> Result<Exit, Stop> {
        let all = kinds();
        let Some(wanted) = &self.signal else {
            match self.format {
                Format::Json => {
                    let all: Vec<_> = all.iter().map(object).collect();
                    print(&format!("{:#}\n", json!({ "signals": all })));
                }
                Format::Human => {
                    let width = all.iter().map(|a| a.kind.len()).max().unwrap_or(0);
                    for about in &all {
                        print(&format!("{:width$}  {}\n", about.kind, first_sentence(&about.summary)));
                    }
                }
            }
            return Ok(Exit::Holds);
        };
        let Some(about) = all.iter().find(|a| a.kind == *wanted) else {
            let names: Vec<&str> = all.iter().map(|a| a.kind.as_str()).collect();
            let help = did_you_mean(wanted, &names, "kinds").unwrap_or_default();
            let all = "`rollcage explain` lists all of them";
            return Err(Stop::Usage(format!("there is no kind of signal `{wanted}`; {help}; {all}")));
        };
        print(&match self.format {
            Format::Json => format!("{:#}\n", object(about)),
            Format::Human => page(about),
        });
        Ok(Exit::Holds)
    }
}

fn first_sentence(text: &str) -> &str {
    text.split_inclusive(". ").next().unwrap_or(text).trim_end()
}

fn object(about: &About) -> serde_json::Value {
    let parameter = |p: &Parameter| {
        let choice = |(value, what): &(String, String)| json!({ "value": value, "what": what });
        json!({
            "name": p.name, "what": p.what, "required": p.required, "default": p.default, "values": p.values,
            "choices": p.choices.iter().map(choice).collect::<Vec<_>>(),
        })
    };
    json!({
        "kind": about.kind, "summary": about.summary, "definition": about.text, "fields": about.fields,
        "example": about.example, "parameters": about.parameters.iter().map(parameter).collect::<Vec<_>>(),
    })
}

/// The page for people.
fn page(about: &About) -> String {
    let mut out = format!("{}\n\n{}\n", about.kind, fold(&about.summary, 0));
    for paragraph in about.text.split("\n\n") {
        out.push('\n');
        let items: Vec<String> = items(paragraph);
        for item in items {
            let hang = if item.starts_with("* ") { 2 } else { 0 };
            out.push_str(&fold(&item, hang));
            out.push('\n');
        }
    }
    let memory = about.text.split("Memory:").nth(1).and_then(|rest| rest.split('`').nth(1)).unwrap_or_default();
    let used = |word: &str| memory.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word);
    let words: Vec<String> =
        MEMORY_WORDS.iter().filter(|(word, _)| used(word)).map(|(word, what)| format!("{word}: {what}")).collect();
    if !words.is_empty() {
        out.push_str(&format!("\n{}\n", fold(&format!("Where {}.", words.join("; ")), 0)));
    }
    out.push_str(&format!("\n{}\n", fold(&format!("Rules may read: {}.", about.fields.join(", ")), 0)));
    out.push_str("\nParameters\n");
    let width = about.parameters.iter().map(|p| p.name.len()).max().unwrap_or(0);
    for p in &about.parameters {
        let mut what = p.what.clone();
        if !p.values.is_empty() {
            what.push_str(&format!(" [{}]", p.values));
        }
        match (&p.default, p.required) {
            (Some(default), _) => what.push_str(&format!(" Default: {default}.")),
            (None, true) => what.push_str(" Must be written."),
            (None, false) => {}
        }
        out.push_str(&fold(&format!("  {:width$}  {what}", p.name), width + 4));
        out.push('\n');
        for (choice, what) in &p.choices {
            out.push_str(&fold(&format!("  {:width$}    {choice}: {what}", ""), width + 8));
            out.push('\n');
        }
    }
    out.push_str("\nExample\n");
    for line in about.example.lines() {
        out.push_str(format!("  {line}").trim_end());
        out.push('\n');
    }
    out
}

/// The lines of a paragraph joined; each bullet is an item of its own.
fn items(paragraph: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for line in paragraph.lines() {
        match items.last_mut() {
            Some(last) if !line.starts_with("* ") => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => items.push(line.trim_end().to_owned()),
        }
    }
    items
}

/// Folds text to the terminal; lines after the first begin `hang` columns in.
fn fold(text: &str, hang: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    let indent = text.len() - text.trim_start().len();
    out.push_str(&text[..indent]);
    column += indent;
    for (i, word) in text.trim_start().split(' ').enumerate() {
        let length = word.chars().count();
        if i > 0 && column + 1 + length > COLUMNS && !word.is_empty() {
            out.push('\n');
            out.push_str(&" ".repeat(hang));
            column = hang;
        } else if i > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}
