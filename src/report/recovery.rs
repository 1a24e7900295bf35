//! Owns *recovered*, the milestone, and relapses.
//!
//! Harm can grow slowly: the first request that is bad because of a ramp is followed by windows that are well. So the search
//! starts at the first verification window from *onset* on that is outside the margins while the fault acts; if there is
//! none, at *onset*. From there the first window within the margins is the recovery: one is enough.
//!
//! Should a window within the guard time after it be clearly outside again while the fault acts, then it is a **relapse** if
//! something had ended the incident by the end of the verified window: a revert was done, or the fault did not act
//! in it. Otherwise nothing had changed and users were not well but lucky: the incident goes on, and so does the search.

use crate::report::fold::RunRecord;
use crate::report::verify::{Seen, Verifier};
use crate::time::{SimTime, Span};

/// What [`recovery`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// When users were well again; `None`: not by the end of the run.
    pub at: Option<SimTime>,
    /// They were hurt again by the same cause within the guard time.
    pub relapsed: bool,
}

/// When users were well again, by the definition at the top. `reverts`: when reverts were done. `acting` tells whether the fault
/// acts in the bins from its first argument to before its second.
pub fn recovery(
    trial: &RunRecord,
    verifier: &mut Verifier<'_>,
    onset: SimTime,
    guard: Span,
    reverts: &[SimTime],
    acting: impl Fn(usize, usize) -> bool,
) -> Recovery {
    let (grid, bins) = (trial.grid, trial.bins());
    let first = grid.bin_from(onset);
    // Windows are looked at once, and only those that matter: most of a run lies before the onset or after the recovery.
    let mut seen: Vec<Option<Seen>> = vec![None; bins];
    let mut look = |b: usize, verifier: &mut Verifier<'_>| match seen.get_mut(b) {
        Some(slot) => *slot.get_or_insert_with(|| verifier.look(b)),
        None => Seen::Thin,
    };
    let acts = |b: usize, verifier: &Verifier<'_>| acting(b, verifier.end_of(b).unwrap_or(bins));
    let hurts = |b: &usize| acts(*b, verifier) && matches!(look(*b, verifier), Seen::Outside { .. });
    let mut from = (first..bins).find(hurts).unwrap_or(first);
    loop {
        let Some(well) = (from..bins).find(|&b| look(b, verifier) == Seen::Within) else {
            return Recovery { at: None, relapsed: false };
        };
        let at = grid.start(well);
        let guarded = grid.bin_of(at + guard).min(bins.saturating_sub(1));
        let clearly = |b: &usize| acts(*b, verifier) && look(*b, verifier) == Seen::Outside { clearly: true };
        let Some(again) = (well + 1..=guarded).find(clearly) else {
            return Recovery { at: Some(at), relapsed: false };
        };
        let verified = grid.start(verifier.end_of(well).unwrap_or(bins));
        if reverts.iter().any(|&t| t <= verified) || !acts(well, verifier) {
            return Recovery { at: Some(at), relapsed: true };
        }
        from = again;
    }
}
