//! Owns cumulative incidence with competing events: what ends a run first, where one minus Kaplan-Meier would overstate it.
//!
//! The estimate is O. Aalen and S. Johansen's (Scandinavian Journal of Statistics 5 (1978) 141-150): the sum of
//! `S(t-) d_cause / n` over event times, `S` being the share that has had no event of any cause.

use serde::{Deserialize, Serialize};

use super::survival::sorted_by_time;

/// One run: how long it was watched, and which cause ended it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompetingObservation {
    /// Time until the first event, or until watching stopped; any unit, finite, not negative.
    pub time: f64,
    /// Which kind of event it was; `None` if none happened.
    pub cause: Option<u32>,
}

/// The incidence just after one event time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidenceStep {
    /// A time at which an event of the cause happened.
    pub time: f64,
    /// The share of runs that the cause had ended by then.
    pub incidence: f64,
}

/// The cumulative incidence of one cause, a step for each of its event times. `None` without observations or if a time is
/// negative or not finite; no steps if the cause never happened.
#[must_use]
pub fn cumulative_incidence(observations: &[CompetingObservation], cause: u32) -> Option<Vec<IncidenceStep>> {
    let sorted = sorted_by_time(observations, |o| o.time)?;
    let (mut event_free, mut incidence, mut steps) = (1.0, 0.0, Vec::new());
    let mut at_risk = sorted.len();
    for group in sorted.chunk_by(|a, b| a.time == b.time) {
        let n = at_risk as f64;
        let of_cause = group.iter().filter(|o| o.cause == Some(cause)).count();
        let of_any = group.iter().filter(|o| o.cause.is_some()).count();
        if of_cause > 0 {
            incidence += event_free * of_cause as f64 / n;
            steps.push(IncidenceStep { time: group[0].time, incidence });
        }
        event_free *= (n - of_any as f64) / n;
        at_risk -= group.len();
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cases: &[(f64, u32)]) -> Vec<CompetingObservation> {
        cases.iter().map(|&(time, cause)| CompetingObservation { time, cause: (cause > 0).then_some(cause) }).collect()
    }

    fn steps(cases: &[(f64, u32)], cause: u32) -> Vec<(f64, f64)> {
        cumulative_incidence(&of(cases), cause).unwrap().iter().map(|step| (step.time, step.incidence)).collect()
    }

    #[test]
    fn without_censoring_it_is_the_share_of_runs() {
        let cases = [(1.0, 1), (2.0, 2), (3.0, 1), (4.0, 2)];
        assert_eq!(steps(&cases, 1), [(1.0, 0.25), (3.0, 0.5)]);
        assert_eq!(steps(&cases, 2), [(2.0, 0.25), (4.0, 0.5)]);
        assert_eq!(steps(&cases, 3), []);
    }

    /// By hand. Five at risk; t=1: cause 1, 1/5. t=2: censored. t=3: three at risk, S(3-) = 4/5, one of each cause:
    /// 4/5 * 1/3 = 4/15 each, S = 4/5 * 1/3. t=4: one at risk, cause 2: 4/15 * 1.
    #[test]
    fn with_censoring_and_a_tie_it_is_what_the_hand_computes() {
        let cases = [(1.0, 1), (2.0, 0), (3.0, 1), (3.0, 2), (4.0, 2)];
        let close = |got: Vec<(f64, f64)>, want: &[(f64, f64)]| {
            assert_eq!(got.len(), want.len());
            for ((time, incidence), (t, i)) in got.iter().zip(want) {
                assert!(time == t && (incidence - i).abs() < 1e-15, "{got:?}");
            }
        };
        close(steps(&cases, 1), &[(1.0, 0.2), (3.0, 7.0 / 15.0)]);
        close(steps(&cases, 2), &[(3.0, 4.0 / 15.0), (4.0, 8.0 / 15.0)]);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(cumulative_incidence(&[], 1), None);
        assert_eq!(cumulative_incidence(&of(&[(f64::NAN, 1)]), 1), None);
        assert_eq!(cumulative_incidence(&of(&[(1.0, 0)]), 1), Some(vec![]));
    }
}
