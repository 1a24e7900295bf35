//! Holds the comparison to hand-computed examples, and to what must hold of any runs.

use super::*;
use crate::rng::{Seed, Stream};
use crate::stats::normal;
use proptest::prelude::*;

const NEVER: Option<f64> = None;

fn runs(first: u64, values: &[Option<f64>]) -> Vec<RunFigures> {
    let run = |(seed, &value)| RunFigures { seed, values: BTreeMap::from([(Quantity::Mttd, value)]), early: false };
    (first..).zip(values).map(run).collect()
}

fn subject_of_tests() -> Subject {
    Subject { scenario: "s".into(), policy: "p".into(), fault: None, horizon: SimTime(1) }
}

fn compare(simulated: &[Option<f64>], live: &[Option<f64>]) -> Row {
    let all = validate(subject_of_tests(), &runs(1_000, simulated), &runs(1, live), vec![], vec![]);
    all.row(Quantity::Mttd).expect("both sides have it").clone()
}

/// `from`, `from` + 1, … up to `to`.
fn count(from: u32, to: u32) -> Vec<Option<f64>> {
    (from..=to).map(|v| Some(f64::from(v))).collect()
}

fn band(values: &[Option<f64>]) -> Band {
    compare(values, &[]).band
}

#[test]
fn the_interval_is_that_of_order_statistics() {
    // 19 values: the first and the last, which hold a 20th in 18 of 20 places.
    let b = band(&count(1, 19));
    assert_eq!((b.low, b.median, b.high, b.level), (1.0, 10.0, 19.0, 0.9));
    // 39 values: the second and the second last, 36 of 40 places.
    let b = band(&count(1, 39));
    assert_eq!((b.low, b.median, b.high, b.level), (2.0, 20.0, 38.0, 0.9));
    // 200 values: the 10th and the 191st, 181 of 201 places.
    let b = band(&count(1, 200));
    assert_eq!((b.low, b.median, b.high, b.level), (10.0, 100.5, 191.0, 181.0 / 201.0));
    // Too few for 90 %: all that there is, and an honest level.
    let b = band(&count(1, 4));
    assert_eq!((b.low, b.median, b.high, b.level), (1.0, 2.5, 4.0, 0.6));
    let b = band(&[Some(7.0)]);
    assert_eq!((b.low, b.median, b.high, b.level), (7.0, 7.0, 7.0, 0.0));
    assert_eq!(Band::of(&[]), None);
}

#[test]
fn live_values_are_counted_inside_with_both_ends_and_the_gap_is_of_medians() {
    // The interval is 101 to 119, and a tenth of a second on each side.
    let row = compare(&count(101, 119), &[Some(100.91), Some(119.09), Some(100.89), Some(119.11), Some(112.0)]);
    assert_eq!((row.inside, row.live.len(), row.predicted), (3, 5, true));
    assert_eq!((row.live_median, row.gap), (Some(112.0), Some(2.0)));
    let row = compare(&count(101, 119), &[]);
    assert_eq!((row.inside, row.live_median, row.gap), (0, None, None));
}

#[test]
fn a_count_has_no_resolution_and_a_point_has_one() {
    let of = |quantity, simulated: f64, live: f64| {
        let run = |seed, v| RunFigures { seed, values: BTreeMap::from([(quantity, Some(v))]), early: false };
        let simulated: Vec<_> = (0..20).map(|seed| run(seed, simulated)).collect();
        validate(subject_of_tests(), &simulated, &[run(99, live)], vec![], vec![]).rows[0].clone()
    };
    let late = of(Quantity::Mttd, 47.0, 47.03);
    assert_eq!(
        (late.inside, late.gap.is_some_and(|gap| (0.029..0.031).contains(&gap))),
        (1, true),
        "and the gap is told"
    );
    assert_eq!(of(Quantity::Mttd, 47.0, 47.2).inside, 0);
    assert_eq!((of(Quantity::BadRequests, 0.0, 0.0).inside, of(Quantity::BadRequests, 0.0, 1.0).inside), (1, 0));
}

#[test]
fn never_is_later_than_everything() {
    let inf = f64::INFINITY;
    // 18 values and one never: the upper end, the 19th, is never.
    let mut some = count(1, 18);
    some.push(NEVER);
    let row = compare(&some, &[NEVER, Some(0.5), Some(1e9)]);
    assert_eq!((row.band.low, row.band.median, row.band.high, row.band.never), (1.0, 10.0, inf, 1));
    assert_eq!((row.inside, row.live_median, row.gap), (2, Some(1e9), Some(1e9 - 10.0)));
    // Two of 39 leave it finite: a live never is outside.
    let mut few = count(1, 38);
    few.push(NEVER);
    let row = compare(&few, &[NEVER]);
    assert_eq!((row.band.high, row.inside, row.live_median, row.gap), (38.0, 0, Some(inf), None));
    // Half of them: the median lies between a value and never, which is never.
    let half = [count(1, 10), vec![NEVER; 10]].concat();
    assert_eq!(band(&half).median, inf);
    let row = compare(&vec![NEVER; 20], &[NEVER, Some(5.0)]);
    assert_eq!((row.band.low, row.inside, row.predicted, row.gap), (inf, 1, true, None));
}

#[test]
fn an_interval_wider_than_its_median_is_no_prediction() {
    // 1 to 19 around 10 is 18 wide; 101 to 119 around 110, too.
    assert!(!band(&count(1, 19)).predicts(0.0) && band(&count(101, 119)).predicts(0.0));
    // 10 to 28 around 19 is 18 wide, 9 to 27 around 18 as well: exactly the median is still one.
    assert!(
        band(&count(10, 28)).predicts(0.0) && band(&count(9, 27)).predicts(0.0) && !band(&count(8, 26)).predicts(0.0)
    );
    let zeros = vec![Some(0.0); 30];
    assert!(band(&zeros).predicts(0.0), "always zero is a prediction");
    assert!(!band(&[zeros, vec![Some(0.1); 30]].concat()).predicts(0.0), "zero or a little more is none");
    // 100 in 18 of 19, never in one: the width is infinite, even though the median is not.
    assert!(!band(&[vec![Some(100.0); 18], vec![NEVER]].concat()).predicts(0.0));
    assert!(!band(&[vec![Some(100.0); 9], vec![NEVER; 10]].concat()).predicts(0.0), "nor where the median is never");
    assert!(band(&[NEVER; 19]).predicts(0.0));
    // What is accepted counts: 0.3 to 0.6 around 0.45 is taken as 0.2 to 0.7.
    let of = |low, high| band(&[vec![Some(low); 10], vec![Some(high); 10]].concat());
    assert!(of(0.3, 0.6).predicts(0.0) && !of(0.3, 0.6).predicts(RESOLUTION_S));
    assert!(of(0.5, 0.6).predicts(RESOLUTION_S), "0.4 to 0.7 around 0.55");
    // A point says its value to the resolution, even below it.
    assert!(of(0.05, 0.05).predicts(RESOLUTION_S) && of(0.0, 0.0).predicts(RESOLUTION_S));
    assert!(band(&[NEVER; 19]).predicts(RESOLUTION_S));
}

#[test]
fn runs_turned_back_early_are_counted_and_not_in_spans() {
    let run = |seed, early: bool| {
        let mut values = BTreeMap::from([(Quantity::BadRequests, Some(seed as f64))]);
        values.extend((!early).then_some((Quantity::Mttd, Some(50.0))));
        RunFigures { seed, values, early }
    };
    let simulated: Vec<_> = (0..40).map(|seed| run(seed, seed % 2 == 0)).collect();
    let live: Vec<_> = (100..104).map(|seed| run(seed, seed == 100)).collect();
    let all = validate(subject_of_tests(), &simulated, &live, vec![], vec![]);
    assert_eq!((all.early, all.trials, all.repeats), (Early { simulated: 20, live: 1 }, 40, 4));
    let row = |quantity| all.row(quantity).expect("a row");
    assert_eq!((row(Quantity::Mttd).band.n, row(Quantity::Mttd).live.len(), row(Quantity::Mttd).inside), (20, 3, 3));
    assert_eq!((row(Quantity::BadRequests).band.n, row(Quantity::BadRequests).live.len()), (40, 4));
    // 20 values hold a 21st in 19 of 21 places; the counts, 0 to 39, are no prediction.
    let expected = all.expected_inside();
    assert!((expected - 3.0 * 19.0 / 21.0).abs() < 1e-12, "{expected}");
    // Nobody is left to say when.
    let none: Vec<_> = (0..40).map(|seed| run(seed, true)).collect();
    assert!(validate(subject_of_tests(), &none, &live, vec![], vec![]).row(Quantity::Mttd).is_none());
}

#[test]
fn a_cause_is_told_by_its_ends_its_middle_and_its_slowest_hundredth() {
    let cause = |live: Vec<f64>| Cause { name: "late".into(), what: "w".into(), modelled_s: 0.0, live };
    let seen = cause((0..=100).rev().map(f64::from).collect()).seen();
    assert_eq!(seen, Some(Seen { min: 0.0, median: 50.0, p99: 99.0, max: 100.0 }));
    assert_eq!(cause(vec![f64::NAN]).seen(), None);
}

/// Live values that are further draws of what the simulated ones are drawn from, `shift` standard deviations off: the share
/// that lies inside.
fn share_inside(shift: f64, draw: impl Fn(f64) -> Option<f64>) -> f64 {
    const ROUNDS: usize = 400;
    let mut stream = Stream::named(Seed(5), "test", "validation");
    let mut inside = 0;
    for _ in 0..ROUNDS {
        let mut next = |by: f64| draw(normal::quantile(stream.uniform()) + by);
        let simulated: Vec<_> = (0..200).map(|_| next(0.0)).collect();
        let live: Vec<_> = (0..10).map(|_| next(shift)).collect();
        inside += compare(&simulated, &live).inside;
    }
    inside as f64 / (10 * ROUNDS) as f64
}

#[test]
fn a_right_simulator_holds_nine_of_ten_and_a_wrong_one_does_not() {
    // The standard error is 0.007: 0.0047 of 4000 draws, and 0.021 / √400 of the intervals' own luck.
    let seconds = |z: f64| Some(300.0 + 40.0 * z);
    let right = share_inside(0.0, seconds);
    assert!((0.88..0.92).contains(&right), "{right}");
    // One of six comes never: the order statistics do not mind.
    let never = share_inside(0.0, |z| if z > 0.967 { NEVER } else { seconds(z) });
    assert!((0.88..1.0).contains(&never), "{never}: a tie at never only widens it");
    // One standard deviation off: Φ(0.645) − Φ(−2.645) = 0.736.
    let off = share_inside(1.0, seconds);
    assert!((0.70..0.77).contains(&off), "{off}");
    let far = share_inside(8.0, seconds);
    assert!(far == 0.0, "{far}");
}

fn values() -> impl Strategy<Value = Vec<Option<f64>>> {
    prop::collection::vec(prop::option::weighted(0.9, 0.0..1000.0f64), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_runs_does_not_matter(simulated in values(), live in values(), by in 0..60usize) {
        let (a, b) = (runs(1_000, &simulated), runs(1, &live));
        let turned = |runs: &[RunFigures]| {
            let mut runs = runs.to_vec();
            runs.reverse();
            let n = runs.len();
            runs.rotate_left(by % n);
            runs
        };
        let both = |a: &[RunFigures], b: &[RunFigures]| validate(subject_of_tests(), a, b, vec![], vec![]);
        prop_assert_eq!(both(&a, &b), both(&turned(&a), &turned(&b)));
    }

    #[test]
    fn an_interval_holds_its_median_and_most_of_its_own_values(simulated in values()) {
        let row = compare(&simulated, &simulated);
        prop_assert!(row.band.low <= row.band.median && row.band.median <= row.band.high);
        prop_assert!(row.inside as f64 >= row.band.level * simulated.len() as f64);
        prop_assert!(row.gap.is_none_or(|gap| gap == 0.0));
    }

    #[test]
    fn a_live_side_beyond_all_simulated_values_is_outside(simulated in values(), shift in 1.0..1e6f64) {
        let greatest = simulated.iter().flatten().copied().fold(0.0, f64::max);
        let row = compare(&simulated, &[Some(greatest + shift)]);
        // Inside only where the interval itself reaches to never.
        prop_assert_eq!(row.inside, usize::from(row.band.high.is_infinite() && row.band.low.is_finite()));
    }
}
