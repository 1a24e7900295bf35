//! Owns the survey of all places a runtime library may be in, for people who wonder which one is used.

use std::path::PathBuf;

use super::error::RuntimeError;
use super::fetch;
use super::pins;
use super::provision::{Located, NO_CACHE, NO_PYTHON, NO_WHEEL, Origin, Places, beside, cached, library_path, named};

/// One place that `survey` looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which place.
    pub origin: Origin,
    /// The path that was looked at, where there is one. For [`Origin::Fetched`]: the Python that would fetch.
    pub path: Option<PathBuf>,
    /// What is there.
    pub finding: Finding,
}

/// What a place holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The variable is not set, or the folder is not known.
    Unset,
    /// Nothing is there.
    Absent,
    /// A usable library.
    Usable(Located),
    /// Something is there that cannot be used; why, one line.
    Unusable(String),
    /// Fetching could be tried.
    Possible,
}

/// Looks at every place of this process, in order, without fetching: for `rollcage doctor`.
#[must_use]
pub fn survey() -> Vec<Candidate> {
    survey_in(&Places::of_process())
}

/// As [`survey`], for given places.
#[must_use]
pub fn survey_in(places: &Places) -> Vec<Candidate> {
    let usable = |found: Result<Located, RuntimeError>| match found {
        Ok(located) => Finding::Usable(located),
        Err(error) => Finding::Unusable(error.to_string()),
    };
    let variable = match &places.variable {
        None => Finding::Unset,
        Some(path) if !path.is_file() => Finding::Unusable("not a file".to_owned()),
        Some(path) => usable(named(path, Origin::Variable)),
    };
    let beside_path = places.beside.as_deref().and_then(beside);
    let beside = match &beside_path {
        None if places.beside.is_none() => Finding::Unset,
        None => Finding::Absent,
        Some(path) => usable(named(path, Origin::BesideExecutable)),
    };
    let pin = pins::here();
    let cache_path = places.cache.as_deref().zip(pin).map(|(cache, pin)| library_path(cache, &pin));
    let cache = match (&cache_path, pin) {
        (Some(path), Some(_)) if !path.is_file() => Finding::Absent,
        (Some(path), Some(pin)) => match cached(path, &pin, Origin::Cache) {
            Some(located) => Finding::Usable(located),
            None => Finding::Unusable("not the pinned library; it would be fetched anew".to_owned()),
        },
        _ => Finding::Unset,
    };
    let python = fetch::pythons(places).into_iter().next();
    let fetched = match (pin, &python, &places.cache) {
        (None, _, _) => Finding::Unusable(NO_WHEEL.to_owned()),
        (_, None, _) => Finding::Unusable(NO_PYTHON.to_owned()),
        (_, _, None) => Finding::Unusable(NO_CACHE.to_owned()),
        _ => Finding::Possible,
    };
    vec![
        Candidate { origin: Origin::Variable, path: places.variable.clone(), finding: variable },
        Candidate { origin: Origin::BesideExecutable, path: beside_path.or(places.beside.clone()), finding: beside },
        Candidate { origin: Origin::Cache, path: cache_path.or(places.cache.clone()), finding: cache },
        Candidate { origin: Origin::Fetched, path: python, finding: fetched },
    ]
}
