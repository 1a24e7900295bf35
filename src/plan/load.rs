//! Owns the loading of a plan: which file is which, in which order stages run, and how the parts come together.

use crate::control::config::{PolicyConfig, RolloutConfig};
use crate::id::{Names, VersionId};
use crate::plan::diagnostic::{Diagnostic, Source, did_you_mean};
use crate::plan::document::{Document, Place};
use crate::plan::fault::Fault as WireFault;
use crate::plan::files::{Files, shown};
use crate::plan::policy::Policy;
use crate::plan::resolve::signals::Known;
use crate::plan::resolve::{self, faults, models, policy, traffic, words};
use crate::plan::scenario::Scenario;
use crate::plan::{Foreign, Plan, Vet, policy_schema, scenario_schema, schema};
use crate::time::SimTime;
use crate::world::config::{Effect, Payload, Version, WorldConfig};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Loads a scenario with its own policy, or with another: a path, or the name of one in `policies/` beside the scenario.
///
/// # Errors
/// All mistakes in all files, the scenario's first.
pub fn load(scenario: &Path, policy: Option<&Path>, vet: &mut Vet<'_>) -> Result<Plan, Vec<Diagnostic>> {
    load_from(&mut Files::disk(), scenario, policy, vet)
}

/// As [`load`], from given files.
///
/// # Errors
/// As [`load`].
pub fn load_from(
    files: &mut Files,
    path: &Path,
    policy: Option<&Path>,
    vet: &mut Vet<'_>,
) -> Result<Plan, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let base = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let document = document(path, files).map_err(|d| found.extend(d)).ok();
    // One mistake, and not one for each key.
    if let Some(d) = document.as_ref().filter(|d| d.find(&["rule"]).is_some() && d.find(&["traffic"]).is_none()) {
        let help = "name the scenario first and the policy with `--policy`";
        return Err(vec![Place::root(d).at("rule").wrong_key("this is a policy, not a scenario").help(help)]);
    }
    let scenario: Option<Scenario> = document.as_ref().and_then(|d| typed(d, &scenario_schema(), &mut found));
    let policy_path = match (policy, &document) {
        (Some(wanted), _) => policy_file(wanted, &base, files).map_err(|d| found.push(*d)).ok(),
        (None, Some(d)) => own_policy(d, &base, files, &mut found),
        (None, None) => None,
    };
    let policy_document = policy_path.and_then(|p| self::document(&p, files).map_err(|d| found.extend(d)).ok());
    let policy: Option<Policy> = policy_document.as_ref().and_then(|d| typed(d, &policy_schema(), &mut found));

    let plant = match (&scenario, &document) {
        (Some(s), Some(d)) => Some(plant(s, &Place::root(d), &base, files, vet, &mut found)),
        _ => None,
    };
    let known = plant.as_ref().map_or_else(Known::default, Plant::known);
    let policy = match (&policy, &policy_document) {
        (Some(p), Some(d)) => Some(policy::policy(p, &Place::root(d), &known, &mut found)),
        (None, Some(d)) => {
            policy::partly(d, &known, &mut found);
            None
        }
        _ => None,
    };
    if let (true, Some(plant), Some(policy), Some(s)) = (found.is_empty(), plant, policy, scenario)
        && let Some(whole) = plant.whole
    {
        let mut names = whole.names;
        names.rules = policy.rules.iter().map(|r| r.name.clone()).collect();
        names.signals = policy.signals.iter().map(|s| s.name.clone()).collect();
        names.fields = policy.signals.iter().map(|s| s.kind.fields().iter().map(|&f| f.to_owned()).collect()).collect();
        let columns = plant.columns.unwrap_or_default();
        return Ok(Plan {
            fault_words: whole
                .world
                .faults
                .iter()
                .map(|f| words::fault(f, &names, &columns, &whole.world.versions))
                .collect(),
            name: s.name,
            summary: s.summary,
            look_at: s.look_at,
            objective: resolve::objective(&s.objective),
            world: whole.world,
            rollout: whole.rollout,
            policy,
            names,
            foreign: whole.foreign,
            live: s.live.map(|live| base.join(live)),
            expectations: whole.expectations,
            digest: files.digest(),
        });
    }
    if found.is_empty() {
        found.push(Diagnostic::whole(shown(path), "the scenario could not be resolved (this is a bug of rollcage)"));
    }
    let (scenario_file, policy_file) = (shown(path), policy_document.map(|d| d.source.file));
    let rank = |d: &Diagnostic| match &d.file {
        file if *file == scenario_file => 0,
        file if Some(file) == policy_file.as_ref() => 1,
        _ => 2,
    };
    found.sort_by(|a, b| (rank(a), &a.file, a.span.start).cmp(&(rank(b), &b.file, b.span.start)));
    found.dedup();
    Err(found)
}

/// Reads the text of a policy by itself. Names that only a scenario could know (features, outcomes) are taken on trust.
///
/// # Errors
/// All mistakes.
pub fn policy_alone(file: &str, text: &str) -> Result<PolicyConfig, Vec<Diagnostic>> {
    let document = Document::parse(Source::new(file, text))?;
    let mut found = Vec::new();
    let wire: Option<Policy> = typed(&document, &policy_schema(), &mut found);
    let policy = wire.map(|wire| policy::policy(&wire, &Place::root(&document), &Known::default(), &mut found));
    if policy.is_none() {
        policy::partly(&document, &Known::default(), &mut found);
    }
    policy.filter(|_| found.is_empty()).ok_or(found)
}

fn document(path: &Path, files: &mut Files) -> Result<Document, Vec<Diagnostic>> {
    Document::parse(files.text(path).map_err(|e| vec![e.about(path)])?)
}

/// The document as its wire type, if it is of its schema.
fn typed<T: DeserializeOwned>(
    document: &Document,
    schema: &serde_json::Value,
    found: &mut Vec<Diagnostic>,
) -> Option<T> {
    let mistakes = schema::check(document, schema);
    if !mistakes.is_empty() {
        found.extend(mistakes);
        return None;
    }
    match serde_json::from_value(document.to_json()) {
        Ok(wire) => Some(wire),
        Err(e) => {
            found.push(Diagnostic::whole(&document.source.file, format!("cannot be read: {e}")));
            None
        }
    }
}

/// Recorded rows have the labels they have: only where the truth is a concept can it follow features that move.
fn labels_can_follow(
    sources: &[traffic::Resolved],
    faults: &[crate::world::config::Fault],
    root: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    for (i, fault) in faults.iter().enumerate() {
        if let Effect::CovariateDrift { source, labels_follow: true, .. } = &fault.effect
            && sources.get(source.index()).is_some_and(|r| matches!(r.source.payload, Payload::Replay { .. }))
        {
            let place = root.at("fault").at(i).at("labels");
            found.push(place.wrong("labels of recorded rows cannot follow a drift").help("write labels = \"stay\""));
        }
    }
}

/// An expectation may be about another policy than the one under test, but about one that there is: the scenario's own, or
/// one in `policies/` beside it, by the name of its file.
fn about_known_policies(s: &Scenario, root: &Place<'_>, base: &Path, files: &Files, found: &mut Vec<Diagnostic>) {
    let there = files.names(&base.join("policies"));
    let mut names: Vec<&str> = there.iter().filter_map(|n| n.strip_suffix(".toml")).collect();
    if names.is_empty() {
        return;
    }
    let own = s.policy.as_deref().map(Path::new).and_then(|p| p.file_stem()?.to_str());
    names.extend(own.filter(|own| !names.contains(own)));
    for (i, expectation) in s.expect.iter().enumerate() {
        if let Some(policy) = &expectation.policy
            && !names.contains(&policy.as_str())
        {
            let place = root.at("expect").at(i).at("policy");
            let help = did_you_mean(policy, &names, "policies");
            found.push(place.wrong(format!("there is no policy `{policy}`")).maybe_help(help));
        }
    }
}

/// The live-sized variant is a scenario that is there.
fn live_variant(s: &Scenario, root: &Place<'_>, base: &Path, files: &Files, found: &mut Vec<Diagnostic>) {
    let Some(live) = &s.live else { return };
    let path = base.join(live);
    if files.exists(&path) {
        return;
    }
    let names = files.names(path.parent().unwrap_or(base));
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|n| n.ends_with(".toml")).collect();
    let wanted = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let message = format!("no scenario at `{}`", shown(&path));
    found.push(root.at("live").wrong(message).maybe_help(did_you_mean(wanted, &names, "scenarios there")));
}

/// The policy that the scenario names.
fn own_policy(document: &Document, base: &Path, files: &Files, found: &mut Vec<Diagnostic>) -> Option<PathBuf> {
    let Some(own) = document.text_at(&["policy"]) else {
        if document.find(&["policy"]).is_none() {
            let help = "write `policy = \"policies/….toml\"`, or name one with --policy";
            found.push(document.source.at(0..0, "the scenario names no policy").help(help));
        }
        return None;
    };
    let path = base.join(own);
    if files.exists(&path) {
        return Some(path);
    }
    let folder = path.parent().unwrap_or(base);
    let names = files.names(folder);
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|n| n.ends_with(".toml")).collect();
    let wanted = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let message = format!("no policy at `{}`", shown(&path));
    found.push(document.wrong(&["policy"], message).maybe_help(did_you_mean(wanted, &names, "policies there")));
    None
}

/// The file of a policy given by path or by name.
fn policy_file(wanted: &Path, base: &Path, files: &Files) -> Result<PathBuf, Box<Diagnostic>> {
    let folder = base.join("policies");
    let name = wanted.to_string_lossy();
    let candidates =
        [wanted.to_path_buf(), folder.join(format!("{name}.toml")), folder.join(wanted), base.join(wanted)];
    if let Some(path) = candidates.into_iter().find(|p| files.exists(p)) {
        return Ok(path);
    }
    let names = files.names(&folder);
    let names: Vec<&str> = names.iter().filter_map(|n| n.strip_suffix(".toml")).collect();
    let stem = wanted.file_stem().and_then(|n| n.to_str()).unwrap_or_default();
    let help = did_you_mean(stem, &names, &format!("policies in `{}`", shown(&folder)));
    Err(Box::new(Diagnostic::whole(name, "there is no such policy").maybe_help(help)))
}

/// What the scenario alone says.
struct Plant {
    /// Columns of each source, if all could be read.
    columns: Option<Vec<Vec<String>>>,
    /// All of it, if all could be resolved.
    whole: Option<Whole>,
}

impl Plant {
    /// What signals of a policy may name.
    fn known(&self) -> Known<'_> {
        let names = self.whole.as_ref().map(|whole| &whole.names);
        Known {
            columns: self.columns.as_deref(),
            segments: names.map(|n| n.segments.as_slice()),
            outcomes: names.map(|n| n.outcomes.as_slice()),
            sources: self.whole.as_ref().map(|whole| whole.world.sources.as_slice()),
            scrape: self.whole.as_ref().map(|whole| whole.world.telemetry.scrape),
        }
    }
}

struct Whole {
    world: WorldConfig,
    rollout: RolloutConfig,
    names: Names,
    foreign: Option<Foreign>,
    expectations: Vec<crate::report::expect::Expectation>,
}

fn plant(
    s: &Scenario,
    root: &Place<'_>,
    base: &Path,
    files: &mut Files,
    vet: &mut Vet<'_>,
    found: &mut Vec<Diagnostic>,
) -> Plant {
    let horizon = s.horizon.0;
    let order = version_order(s, root, found);
    let model_names: Vec<&str> = order.iter().map(String::as_str).collect();
    let loaded: Option<Vec<models::Loaded>> = {
        let load =
            |name: &String| models::load(s.models.get(name)?, &root.at("models").at(name), base, files, vet, found);
        let all: Vec<Option<models::Loaded>> = order.iter().map(load).collect();
        all.into_iter().collect()
    };

    let mut names = Names { segments: vec!["all".to_owned()], ..Names::default() };
    let features = loaded.as_ref().map_or_else(Vec::new, |l| union(&order, l));
    let needs = traffic::Needs { features: &features, horizon, base };
    duplicates(s.traffic.iter().map(|t| t.source.as_str()), "source", &root.at("traffic"), "source", found);
    let sources: Vec<Option<traffic::Resolved>> = s
        .traffic
        .iter()
        .enumerate()
        .map(|(i, t)| traffic::source(t, &root.at("traffic").at(i), &needs, files, &mut names, found))
        .collect();
    let sources: Option<Vec<traffic::Resolved>> = sources.into_iter().collect();
    // Columns are only right if every model could say what it needs.
    let columns: Option<Vec<Vec<String>>> =
        loaded.as_ref().and_then(|_| Some(sources.as_ref()?.iter().map(|r| r.columns.clone()).collect()));
    let versions: Option<Vec<Version>> = loaded.zip(columns.as_ref()).map(|(l, c)| versions(&order, l, c));

    let fleet = resolve::fleet(&s.fleet, &root.at("fleet"), &model_names, found);
    let stages = resolve::stages(&s.rollout.stages, horizon, &root.at("rollout").at("stages"), found);
    let source_names: Vec<&str> = s.traffic.iter().map(|t| t.source.as_str()).collect();
    let around = faults::Plant {
        horizon,
        models: &model_names,
        versions: versions.as_deref(),
        sources: &source_names,
        columns: columns.as_deref(),
        replicas: fleet.replicas,
    };
    let fault_names = fault_names(&s.fault, &root.at("fault"), found);
    let faults: Vec<_> = s
        .fault
        .iter()
        .enumerate()
        .map(|(i, f)| faults::fault(f, fault_names[i].clone(), &root.at("fault").at(i), &around, found))
        .collect();
    let foreign = s
        .foreign
        .as_ref()
        .map(|f| resolve::foreign::foreign(f, &root.at("foreign"), &model_names, fleet.replicas, found));
    let expectations = resolve::expect::expectations(&s.expect, &root.at("expect"), found);

    let faults: Option<Vec<_>> = faults.into_iter().collect();
    if let (Some(sources), Some(faults)) = (&sources, &faults) {
        labels_can_follow(sources, faults, root, found);
    }
    about_known_policies(s, root, base, files, found);
    live_variant(s, root, base, files, found);
    let whole = match (versions, sources, faults) {
        (Some(versions), Some(sources), Some(faults)) if versions.len() >= 2 => Some(Whole {
            names: Names {
                versions: order.clone(),
                sources: source_names.iter().map(|n| (*n).to_owned()).collect(),
                faults: fault_names,
                ..names
            },
            rollout: RolloutConfig {
                from: VersionId(0),
                to: VersionId(1),
                stages,
                replicas: fleet.replicas,
                scale_down_delay: s.fleet.scale_down_delay.0,
                standby: fleet.standby.iter().find(|(v, _)| *v == VersionId(0)).map_or(0, |(_, n)| *n),
                digest: versions[0].artifact.promised,
            },
            world: WorldConfig {
                horizon: SimTime(horizon.0),
                versions,
                initial: VersionId(0),
                fleet,
                sources: sources.into_iter().map(|r| r.source).collect(),
                telemetry: resolve::telemetry(&s.telemetry),
                control_delay: s.fleet.control_delay.0,
                faults,
            },
            foreign,
            expectations,
        }),
        _ => None,
    };
    Plant { columns, whole }
}

/// Names of models by version: the rollout's two first, the rest in order of name.
fn version_order(s: &Scenario, root: &Place<'_>, found: &mut Vec<Diagnostic>) -> Vec<String> {
    let place = root.at("rollout");
    let names: Vec<&str> = s.models.keys().map(String::as_str).collect();
    let noun = ("model", "models");
    let from = place.at("from").lookup(&s.rollout.from, &names, noun, found);
    let to = place.at("to").lookup(&s.rollout.to, &names, noun, found);
    if from.is_some() && from == to {
        found.push(
            place
                .at("to")
                .wrong("the rollout goes from a model to itself")
                .label(format!("the same as `from`, `{}`", s.rollout.from)),
        );
    }
    let mut order: Vec<usize> = from.into_iter().chain(to).collect();
    order.dedup();
    order.extend((0..names.len()).filter(|i| Some(*i) != from && Some(*i) != to));
    order.into_iter().filter_map(|i| names.get(i).map(|n| (*n).to_owned())).collect()
}

/// The features that any version needs, each with the versions that need it.
fn union(order: &[String], loaded: &[models::Loaded]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for (name, model) in order.iter().zip(loaded) {
        for feature in &model.features {
            match all.iter_mut().find(|(f, _)| f == feature) {
                Some((_, who)) => *who = format!("{who}, `{name}`"),
                None => all.push((feature.clone(), format!("`{name}`"))),
            }
        }
    }
    all
}

fn versions(order: &[String], loaded: Vec<models::Loaded>, columns: &[Vec<String>]) -> Vec<Version> {
    let version = |(name, model): (&String, models::Loaded)| Version {
        name: name.clone(),
        columns: columns.iter().map(|c| traffic::mapping(&model.features, c)).collect(),
        artifact: Arc::clone(&model.artifact),
        service: model.service,
    };
    order.iter().zip(loaded).map(version).collect()
}

/// The declared name of each fault, or its kind, numbered where it would repeat.
fn fault_names(faults: &[WireFault], place: &Place<'_>, found: &mut Vec<Diagnostic>) -> Vec<String> {
    let declared: Vec<&str> = faults.iter().filter_map(|f| f.common().name).collect();
    let mut names: Vec<String> = Vec::new();
    for (i, fault) in faults.iter().enumerate() {
        let name = match fault.common().name {
            Some(name) => {
                if names.iter().any(|n| n == name) {
                    found.push(place.at(i).at("name").wrong(format!("two faults are named `{name}`")));
                }
                name.to_owned()
            }
            None => {
                let taken = |n: &String| names.contains(n) || declared.contains(&n.as_str());
                let numbered = (2..).map(|n| format!("{}-{n}", fault.kind()));
                let free = std::iter::once(fault.kind().to_owned()).chain(numbered).find(|n| !taken(n));
                free.unwrap_or_default()
            }
        };
        names.push(name);
    }
    names
}

fn duplicates<'a>(
    names: impl Iterator<Item = &'a str>,
    noun: &str,
    place: &Place<'_>,
    key: &str,
    found: &mut Vec<Diagnostic>,
) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, name) in names.enumerate() {
        if seen.contains(&name) {
            found.push(place.at(i).at(key).wrong(format!("two {noun}s are named `{name}`")));
        }
        seen.push(name);
    }
}
