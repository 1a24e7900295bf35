//! Owns the figures of a rule, made of all its synthetic rollouts.

use crate::campaign::power::bound::{self, Known};
use crate::campaign::power::shift::Shift;
use crate::campaign::power::synthetic::Counts;
use crate::campaign::power::{Asked, Fork, Frame, Seen, Watched};
use crate::event::Verdict;
use crate::report::power::{Ceiling, FIRES_ANYWAY, FalseAlarms, Row, RulePower, Still};
use crate::stats::Interval;
use crate::stats::proportion::{poisson_rate, wilson};
use crate::stats::quantile::{Method, quantile_by};
use crate::time::Span;

/// What one rule finds, of all rollouts.
pub(super) fn rule(frame: &Frame<'_>, asked: &Asked, place: usize, seen: &[Seen]) -> RulePower {
    let plan = frame.bench.plan;
    let watched = &asked.watched[place];
    let whole = watched.rules.len() > 1;
    let first = &plan.policy.rules[watched.rules[0]];
    let (alarms, exposed) = alarms(frame, watched, place, seen);
    let still = still(frame, watched, place, seen);
    let about = About { frame, asked, watched, place, seen, alarms: &alarms, still: &still, exposed };
    let never = alarms.rollouts == 0 && alarms.before > 0;
    let blind = asked.watched.iter().any(|w| !w.is_simulated());
    let all = if blind { " of those that are simulated" } else { "" };
    RulePower {
        rule: if whole { "any of them".to_owned() } else { first.name.clone() },
        text: if whole { format!("the policy as a whole: the first rule that fires{all}") } else { first.text.clone() },
        then: watched.rules.iter().map(|i| plan.policy.rules[*i].then).max().unwrap_or(Verdict::Alert),
        silent: if never { Some(BEFORE.to_owned()) } else { watched.silent.map(str::to_owned) },
        rows: if never { Vec::new() } else { watched.shifts.iter().map(|shift| about.row(*shift)).collect() },
        still,
        alarms,
    }
}

/// Why nothing is said of a rule that was never watched.
const BEFORE: &str = "it had fired before the stage in every rollout";

/// First alarms without a shift, and canary requests until then.
fn alarms(frame: &Frame<'_>, watched: &Watched, place: usize, seen: &[Seen]) -> (FalseAlarms, Counts) {
    let (mut before, mut events, mut in_stage, mut rollouts, mut days) = (0, 0, 0, 0, 0.0);
    let mut counts = Counts::default();
    let from = frame.bench.in_force();
    for null in seen.iter().filter(|_| watched.is_simulated()).map(|s| &s.null[place]) {
        // Before the stage it had its say in another one.
        if null.fired.is_some_and(|at| at <= from) {
            before += 1;
            continue;
        }
        rollouts += 1;
        events += u64::from(null.fired.is_some());
        in_stage += u64::from(null.fired.is_some_and(|at| at.since(frame.begins) <= frame.lasts));
        days += null.until.since(from).as_secs_f64() / 86_400.0;
        counts.ended += null.counts.ended;
        counts.labelled += null.counts.labelled;
        counts.bad += null.counts.bad;
    }
    let rate = |events: u64, exposure: f64| Some((events as f64 / exposure, poisson_rate(events, exposure, 0.95)?));
    let alarms = FalseAlarms {
        before,
        events,
        rollouts,
        days,
        per_day: rate(events, days),
        per_rollout: rate(in_stage, rollouts as f64),
        requests: counts.ended,
    };
    (alarms, counts)
}

/// How often it fires without a shift in the time in which it is to find one.
fn still(frame: &Frame<'_>, watched: &Watched, place: usize, seen: &[Seen]) -> Still {
    let (mut trials, mut fired) = (0, 0);
    for fork in seen.iter().filter(|_| watched.is_simulated()).map(|s| s.still[place]) {
        if let Fork::Watched { delay, .. } = fork {
            trials += 1;
            fired += u64::from(delay.is_some_and(|delay| delay <= frame.within));
        }
    }
    Still { trials, fired, share: share(fired, trials) }
}

fn share(events: u64, trials: u64) -> Interval {
    wilson(events, trials, 0.95).unwrap_or(Interval { low: 0.0, high: 1.0 })
}

/// One rule, with what is known of it without a shift.
struct About<'a> {
    frame: &'a Frame<'a>,
    asked: &'a Asked,
    watched: &'a Watched,
    place: usize,
    seen: &'a [Seen],
    alarms: &'a FalseAlarms,
    still: &'a Still,
    exposed: Counts,
}

impl About<'_> {
    /// One size of shift.
    fn row(&self, shift: Shift) -> Row {
        let Self { frame, exposed, .. } = self;
        let of = self.asked.shifts.iter().position(|s| *s == shift);
        // A label's observations are counted apart: the others tell nothing of it.
        let observed = |counts: &Counts| if matches!(shift, Shift::Wrong(_)) { counts.labelled } else { counts.ended };
        let mut delays: Vec<f64> = Vec::new();
        let mut bad = 0.0;
        let mut by_change = vec![(0.0, 0_u64); frame.changes.len()];
        let lag = frame.bench.world.telemetry.lag.as_secs_f64();
        for seen in self.seen {
            let fork = of.and_then(|of| seen.forks[of].get(self.place));
            let Some(Fork::Watched { delay, looks, counts }) = fork else { continue };
            let delay = delay.map_or(f64::INFINITY, Span::as_secs_f64);
            delays.push(delay);
            // The scrape that told came a lag before the look. What is bad anyway is so on the same tape without the shift.
            let told = delay.min(frame.within.as_secs_f64());
            let usual = looks.checked_sub(1).and_then(|i| seen.bad.get(i)).copied().unwrap_or(0);
            bad += (counts.bad as f64 - usual as f64) * told / (told - lag).max(1e-3);
            by_change[seen.change].0 += observed(counts) as f64;
            by_change[seen.change].1 += 1;
        }
        delays.sort_by(f64::total_cmp);
        let trials = delays.len() as u64;
        let found = delays.iter().filter(|d| d.is_finite()).count() as u64;
        let quantile = |q: f64| quantile_by(&delays, q, Method::InvertedCdf).filter(|d| d.is_finite());
        let means = by_change.iter().filter(|(_, n)| *n > 0).map(|(sum, n)| sum / *n as f64);
        let observations = means.fold(0.0, f64::max);
        // It fires anyway, or the worst change is not among those that are seen.
        let anyway = self.still.fired as f64 > FIRES_ANYWAY * self.still.trials as f64;
        let sound = !anyway && by_change.iter().all(|(_, n)| *n > 0);
        let per_second = frame.rate(self.seen) * observed(exposed) as f64 / (exposed.ended as f64).max(1.0);
        let known = Known { exposed: observed(exposed), alarms: self.alarms.events, per_second, observations };
        let optimum = if sound { bound::optimum(&frame.bench, shift, self.watched.info, &known) } else { None };
        Row {
            kind: shift.kind(),
            size: shift.size(),
            words: shift.words(frame.bench.plan, frame.bench.healthy, &frame.features),
            trials,
            found,
            share: share(found, trials),
            median_s: quantile(0.5),
            p90_s: quantile(0.9),
            bad: (bad / (trials as f64).max(1.0)).max(0.0),
            observations,
            censored: found < trials,
            delays_s: delays,
            optimum,
            ceiling: self.ceiling(shift),
        }
    }

    fn ceiling(&self, shift: Shift) -> Option<Ceiling> {
        let mut watched = Vec::new();
        for seen in self.seen {
            if let Fork::Watched { delay, .. } = seen.still[self.place] {
                watched.push((delay, &seen.came[..]));
            }
        }
        bound::ceiling(&self.frame.bench, (shift, self.watched.info), self.frame.within, &watched)
    }
}
