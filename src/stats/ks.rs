//! Owns the two-sample Kolmogorov-Smirnov test on sorted samples, whole or in sorted chunks.
//!
//! The statistic is exact integer arithmetic, `max |i m - j n| / (n m)`, evaluated only where both samples have consumed all
//! of a tied value; so ties are right and the order of chunks cannot matter.
//!
//! Of two asymptotic p-values [`KsTest::p_value`] is Stephens', `K((sqrt(e) + 0.12 + 0.11/sqrt(e)) D)` with `e = nm/(n+m)`
//! (M. A. Stephens, JRSS B 32 (1970) 115-122), the form that Numerical Recipes made common: the plain Kolmogorov limit
//! rejects too rarely in windows of some tens of rows, which is where a canary is judged (at 5 %, 60 against 50 rows, 4 000
//! null pairs: the limit rejects 3.8 %, Stephens 5.2 %). Both assume continuous data and
//! err on the safe side with ties. Below about ten a side neither means much: the correction was made for larger samples.

use std::hint::select_unpredictable;

use super::buckets::{self, BUCKETS};
use super::quantile::range;
use super::{Alternative, kolmogorov};

/// The statistic and the sizes that it came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KsTest {
    /// The largest distance between the two empirical distribution functions, in `[0, 1]`.
    pub d: f64,
    /// Size of the first sample.
    pub n: u64,
    /// Size of the second sample.
    pub m: u64,
}

impl KsTest {
    /// The p-value to use: [`KsTest::p_stephens`]; see the module's text.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        self.p_stephens()
    }

    /// Stephens' corrected asymptotic p-value.
    #[must_use]
    pub fn p_stephens(&self) -> f64 {
        let root = self.effective_size().sqrt();
        kolmogorov_sf((root + 0.12 + 0.11 / root) * self.d)
    }

    /// The p-value of Kolmogorov's limit, `K(sqrt(nm/(n+m)) D)`: R's `ks.test(exact = FALSE)`.
    #[must_use]
    pub fn p_limit(&self) -> f64 {
        kolmogorov_sf(self.effective_size().sqrt() * self.d)
    }

    /// The p-value that scipy calls asymptotic. Two-sided: the exact one-sample distribution at `nm/(n+m)` rounded half to
    /// even; `None` if that is 0. One-sided: J. L. Hodges, "The significance probability of the Smirnov two-sample test",
    /// Arkiv för Matematik 3 (1958) 469-486, eq. 5.3, with `d` the one-sided distance.
    #[must_use]
    pub fn p_asymptotic(&self, alternative: Alternative) -> Option<f64> {
        let size = self.effective_size();
        if alternative == Alternative::TwoSided {
            return kolmogorov::two_sided_sf(size.round_ties_even() as u64, self.d);
        }
        let (small, large) = (self.n.min(self.m) as f64, self.n.max(self.m) as f64);
        let z = size.sqrt() * self.d;
        let skew = (large + 2.0 * small) / (large * small * (large + small)).sqrt();
        (size > 0.0).then(|| libm::exp(-2.0 * z * z - 2.0 * z * skew / 3.0).min(1.0))
    }

    /// Smirnov's one-sided limit, `exp(-2 x^2)`, at `sqrt(nm/(n+m)) d`, or with Stephens' correction, which for D+ is the same
    /// as for D; `d` is the one-sided distance.
    #[must_use]
    pub fn p_one_sided_limit(&self, stephens: bool) -> f64 {
        let root = self.effective_size().sqrt();
        let x = if stephens { root + 0.12 + 0.11 / root } else { root } * self.d;
        libm::exp(-2.0 * x * x)
    }

    fn effective_size(&self) -> f64 {
        let (n, m) = (self.n as f64, self.m as f64);
        n * m / (n + m)
    }
}

/// The smallest `d` that [`KsTest::p_stephens`] finds significant at `alpha` for samples of `n` and `m`: compare the statistic
/// with it to spare a p-value per window. Above 1 if the samples are too small for any. `None` for an empty sample or unless
/// `0 < alpha < 1`.
#[must_use]
pub fn critical_distance(n: u64, m: u64, alpha: f64) -> Option<f64> {
    if n == 0 || m == 0 || !(alpha > 0.0 && alpha < 1.0) {
        return None;
    }
    let root = KsTest { d: 0.0, n, m }.effective_size().sqrt();
    let (mut low, mut high) = (0.0, 30.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if kolmogorov_sf(middle) > alpha {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(high / (root + 0.12 + 0.11 / root))
}

/// P(K > x) of Kolmogorov's distribution; 1 for `x <= 0`, NaN for NaN. Source: the alternating series for large `x` and its
/// theta-function transform for small `x` (Feller, Annals of Mathematical Statistics 19 (1948) 177-189); both are precise
/// where they meet.
#[must_use]
pub fn kolmogorov_sf(x: f64) -> f64 {
    use std::f64::consts::PI;
    if x.is_nan() {
        return f64::NAN;
    }
    if x <= 0.04 {
        return 1.0; // the cdf is below 1e-330
    }
    let odd_or_all = |k: f64| if x < 1.0 { (2.0 * k - 1.0) * (2.0 * k - 1.0) } else { k * k };
    if x < 1.0 {
        let sum: f64 = (1..=6).map(|k| libm::exp(-odd_or_all(f64::from(k)) * PI * PI / (8.0 * x * x))).sum();
        return 1.0 - (2.0 * PI).sqrt() / x * sum;
    }
    let sign = |k: i32| if k % 2 == 1 { 2.0 } else { -2.0 };
    (1..=6).map(|k| sign(k) * libm::exp(-2.0 * odd_or_all(f64::from(k)) * x * x)).sum()
}

/// The test on two samples, each sorted in ascending order.
///
/// `None` if one is empty or has NaN at an end (where `total_cmp` sorts it). Infinities are values like others. For an
/// unsorted slice the result means nothing, but there is one.
#[must_use]
pub fn statistic_sorted<T: Copy + PartialOrd>(a: &[T], b: &[T]) -> Option<KsTest> {
    if a.is_empty() || b.is_empty() || has_nan_end(a) || has_nan_end(b) {
        return None;
    }
    let (n, m) = (a.len() as i64, b.len() as i64);
    let (mut i, mut j) = (0, 0);
    let (mut gap, mut widest) = (0_i64, 0_i64);
    while i < a.len() && j < b.len() {
        let (x, y) = (a[i], b[j]);
        // Negated, so that a NaN in the middle advances both instead of neither.
        #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must advance")]
        let (a_steps, b_steps) = (!(x > y), !(y > x));
        i += usize::from(a_steps);
        j += usize::from(b_steps);
        gap += select_unpredictable(a_steps, m, 0) - select_unpredictable(b_steps, n, 0);
        let value = select_unpredictable(a_steps, x, y);
        let tied = a.get(i).is_some_and(|next| *next == value) || b.get(j).is_some_and(|next| *next == value);
        widest = if tied { widest } else { widest.max(gap.abs()) };
    }
    // One side is consumed. The loop may have stopped inside a tie; at its end the last distance is reached, and what is left
    // of the other side only closes it.
    while i < a.len() && b.last() == Some(&a[i]) {
        (i, gap) = (i + 1, gap + m);
    }
    while j < b.len() && a.last() == Some(&b[j]) {
        (j, gap) = (j + 1, gap - n);
    }
    widest = widest.max(gap.abs());
    Some(KsTest { d: widest as f64 / (n as f64 * m as f64), n: n as u64, m: m as u64 })
}

/// The largest distance between two distribution functions and where it is reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Farthest {
    /// The distance: the larger of the two one-sided ones, `sup (F - G)` for [`Alternative::Greater`] (with F the first
    /// sample's: the second lies above), or `sup (G - F)` for [`Alternative::Less`].
    pub d: f64,
    /// A value at which it is reached.
    pub location: f64,
    /// 1 if F is above G there, -1 if below.
    pub sign: i8,
}

/// The distance of two samples in any order, and where it is reached. Which of several equal places it is, is scipy's choice,
/// down to the rounding of `i/n - j/m`: the first value of the first sample, else the first of the second, with `greater`
/// before `less`. `None` if one is empty or has NaN; infinities are values like others.
///
/// Of large samples only those values are sorted that lie where the distance can be reached: it is known between
/// [`buckets`], and inside one it changes by no more than the values in it. If an outlier puts nearly all into one bucket, it
/// is a sort.
#[must_use]
pub fn farthest(a: &[f64], b: &[f64], alternative: Alternative) -> Option<Farthest> {
    range(a).zip(range(b))?;
    let (n, m) = (a.len() as i64, b.len() as i64);
    let mut walk = Walk { n, m, most: Peak::default(), least: Peak::default() };
    match buckets::over_both(a, b).filter(|_| a.len() + b.len() >= MANY) {
        None => walk.over(&ascending(a), &ascending(b), 0, 0),
        Some(buckets) => {
            let (a, b) = (buckets.drop(a), buckets.drop(b));
            let before = |k: usize| (a.before()[k], b.before()[k]);
            let gap = |k: usize| before(k).0 as i64 * m - before(k).1 as i64 * n;
            let (top, bottom) =
                (1..=BUCKETS).map(gap).fold((0, 0), |(top, bottom), gap| (top.max(gap), bottom.min(gap)));
            let wanted = std::array::from_fn(|k| {
                let ((i, j), (i_end, j_end)) = (before(k), before(k + 1));
                let reached = gap(k) + (i_end - i) as i64 * m >= top || gap(k) - (j_end - j) as i64 * n <= bottom;
                reached && i_end + j_end > i + j
            });
            let (of_a, of_b) = (a.sorted(&wanted), b.sorted(&wanted));
            for k in (0..BUCKETS).filter(|&k| wanted[k]) {
                walk.over(of_a.bucket(k), of_b.bucket(k), before(k).0, before(k).1);
            }
        }
    }
    walk.farthest(alternative)
}

/// From so many values of both samples on, buckets are worth their while.
const MANY: usize = 1500;

fn ascending(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// A value, at most which are `i` values of the first sample and `j` of the second.
#[derive(Clone, Copy)]
struct Place {
    at: f64,
    i: usize,
    j: usize,
    /// Whether the value is one of the first sample's.
    of_a: bool,
}

/// The largest gap so far, and all places where it is reached.
struct Peak {
    gap: i64,
    places: Vec<Place>,
}

impl Default for Peak {
    fn default() -> Self {
        Self { gap: i64::MIN, places: Vec::new() }
    }
}

impl Peak {
    fn see(&mut self, gap: i64, place: impl Fn() -> Place) {
        if gap >= self.gap {
            if gap > self.gap {
                self.gap = gap;
                self.places.clear();
            }
            self.places.push(place());
        }
    }
}

/// Both distribution functions from left to right; the gap between them is `i m - j n`.
struct Walk {
    n: i64,
    m: i64,
    most: Peak,
    least: Peak,
}

impl Walk {
    /// Goes over ascending values of both samples, before which are `i` of the first and `j` of the second.
    fn over(&mut self, a: &[f64], b: &[f64], i_before: usize, j_before: usize) {
        let (mut i, mut j) = (0, 0);
        let mut gap = i_before as i64 * self.m - j_before as i64 * self.n;
        let mut see = |gap: i64, i: usize, j: usize, at: f64| {
            let place = || Place { at, i: i_before + i, j: j_before + j, of_a: i > 0 && a[i - 1] == at };
            self.most.see(gap, place);
            self.least.see(-gap, place);
        };
        while i < a.len() && j < b.len() {
            let (x, y) = (a[i], b[j]);
            let (a_steps, b_steps) = (x <= y, y <= x);
            i += usize::from(a_steps);
            j += usize::from(b_steps);
            gap += select_unpredictable(a_steps, self.m, 0) - select_unpredictable(b_steps, self.n, 0);
            let value = select_unpredictable(a_steps, x, y);
            let tied = a.get(i).is_some_and(|next| *next == value) || b.get(j).is_some_and(|next| *next == value);
            if !tied {
                see(gap, i, j, value);
            }
        }
        // One side is consumed, perhaps inside of a tie. What is left of the other counts only at the ends of ties.
        while i < a.len() || j < b.len() {
            let value = if i < a.len() { a[i] } else { b[j] };
            i += a[i..].iter().take_while(|x| **x == value).count();
            j += b[j..].iter().take_while(|y| **y == value).count();
            gap = (i_before + i) as i64 * self.m - (j_before + j) as i64 * self.n;
            see(gap, i, j, value);
        }
    }

    fn farthest(&self, alternative: Alternative) -> Option<Farthest> {
        // Scipy compares rounded shares, and looks at the values of the first sample before those of the second.
        let share = |place: &Place| place.i as f64 / self.n as f64 - place.j as f64 / self.m as f64;
        let first = |peak: &Peak, sign: f64| {
            let better = |x: &Place, y: &Place| {
                let (x_share, y_share) = (sign * share(x), sign * share(y));
                y_share > x_share || (y_share == x_share && y.of_a && !x.of_a)
            };
            peak.places.iter().copied().reduce(|x, y| if better(&x, &y) { y } else { x })
        };
        let (top, bottom) = (first(&self.most, 1.0)?, first(&self.least, -1.0)?);
        let below = match alternative {
            Alternative::TwoSided => -share(&bottom) > share(&top),
            Alternative::Greater => false,
            Alternative::Less => true,
        };
        let (peak, place, sign) = if below { (&self.least, bottom, -1) } else { (&self.most, top, 1) };
        Some(Farthest { d: peak.gap as f64 / (self.n as f64 * self.m as f64), location: place.at, sign })
    }
}

/// The test on two samples that come as chunks, each chunk sorted: a window is a ring of sorted scrapes. The runs are merged,
/// not sorted again. Same conventions as [`statistic_sorted`]; empty chunks are allowed.
#[must_use]
pub fn statistic_chunks<T: Copy + PartialOrd>(a: &[&[T]], b: &[&[T]], scratch: &mut KsScratch<T>) -> Option<KsTest> {
    if a.iter().chain(b).any(|chunk| has_nan_end(chunk)) {
        return None;
    }
    statistic_sorted(scratch.a.merge(a), scratch.b.merge(b))
}

/// Memory that [`statistic_chunks`] reuses from call to call.
#[derive(Clone, Debug)]
pub struct KsScratch<T> {
    a: Merger<T>,
    b: Merger<T>,
}

impl<T> Default for KsScratch<T> {
    fn default() -> Self {
        Self { a: Merger::default(), b: Merger::default() }
    }
}

/// Merges sorted chunks pairwise, bottom up: `log2(chunks)` passes over memory.
#[derive(Clone, Debug)]
struct Merger<T> {
    from: Vec<T>,
    to: Vec<T>,
    /// Ends of the runs in `from`.
    ends: Vec<usize>,
}

impl<T> Default for Merger<T> {
    fn default() -> Self {
        Self { from: Vec::new(), to: Vec::new(), ends: Vec::new() }
    }
}

impl<T: Copy + PartialOrd> Merger<T> {
    fn merge<'a>(&'a mut self, chunks: &[&'a [T]]) -> &'a [T] {
        if let [only] = chunks {
            return only;
        }
        self.from.clear();
        self.ends.clear();
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            self.from.extend_from_slice(chunk);
            self.ends.push(self.from.len());
        }
        self.to.clone_from(&self.from);
        while self.ends.len() > 1 {
            let mut start = 0;
            for pair in self.ends.chunks(2) {
                let end = pair[pair.len() - 1];
                let (left, right) = self.from[start..end].split_at(pair[0] - start);
                merge_two(left, right, &mut self.to[start..end]);
                start = end;
            }
            let last = self.ends[self.ends.len() - 1];
            self.ends = self.ends.chunks_exact(2).map(|pair| pair[1]).collect();
            if self.ends.last() != Some(&last) {
                self.ends.push(last);
            }
            std::mem::swap(&mut self.from, &mut self.to);
        }
        &self.from
    }
}

fn merge_two<T: Copy + PartialOrd>(left: &[T], right: &[T], out: &mut [T]) {
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        let (x, y) = (left[i], right[j]);
        let from_right = y < x;
        out[i + j] = select_unpredictable(from_right, y, x);
        i += usize::from(!from_right);
        j += usize::from(from_right);
    }
    let rest = &mut out[i + j..];
    let (left, right) = (&left[i..], &right[j..]);
    rest[..left.len()].copy_from_slice(left);
    rest[left.len()..].copy_from_slice(right);
}

/// Only NaN differs from itself.
#[expect(clippy::eq_op, reason = "the test for NaN of a PartialOrd type")]
fn has_nan_end<T: PartialOrd>(sorted: &[T]) -> bool {
    sorted.first().is_some_and(|x| x != x) || sorted.last().is_some_and(|x| x != x)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By definition: both distribution functions at every value.
    fn by_definition(a: &[f32], b: &[f32]) -> f64 {
        let share = |of: &[f32], x: f32| of.iter().filter(|&&y| y <= x).count() as f64 / of.len() as f64;
        a.iter().chain(b).map(|&x| (share(a, x) - share(b, x)).abs()).fold(0.0, f64::max)
    }

    fn sorted(mut values: Vec<f32>) -> Vec<f32> {
        values.sort_by(f32::total_cmp);
        values
    }

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&x| f64::from(x)).collect()
    }

    /// Few distinct values: mostly ties.
    fn tied() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec((0_i8..6).prop_map(f32::from), 1..40).prop_map(sorted)
    }

    proptest! {
        #[test]
        fn the_merge_agrees_with_the_definition(a in tied(), b in tied()) {
            prop_assert!((statistic_sorted(&a, &b).unwrap().d - by_definition(&a, &b)).abs() < 1e-12);
        }

        #[test]
        fn chunks_agree_with_the_whole(a in prop::collection::vec(tied(), 1..9), b in prop::collection::vec(tied(), 1..9)) {
            let slices = |chunks: &'_ [Vec<f32>]| chunks.iter().map(Vec::as_slice).collect::<Vec<_>>().concat();
            let whole = statistic_sorted(&sorted(slices(&a)), &sorted(slices(&b)));
            let (a, b): (Vec<&[f32]>, Vec<&[f32]>) = (a.iter().map(Vec::as_slice).collect(), b.iter().map(Vec::as_slice).collect());
            prop_assert_eq!(statistic_chunks(&a, &b, &mut KsScratch::default()), whole);
        }
    }

    proptest! {
        #[test]
        fn the_farthest_place_has_the_distance(a in tied(), b in tied()) {
            let share = |of: &[f32], x: f64| of.iter().filter(|&&y| f64::from(y) <= x).count() as f64 / of.len() as f64;
            let farthest = |a: &[f32], b: &[f32], side| farthest(&wide(a), &wide(b), side).unwrap();
            let both = [Alternative::Greater, Alternative::Less].map(|side| farthest(&a, &b, side));
            for far in both {
                let there = (share(&a, far.location) - share(&b, far.location)) * f64::from(far.sign);
                prop_assert!((there - far.d).abs() < 1e-12);
            }
            let far = farthest(&a, &b, Alternative::TwoSided);
            prop_assert!((far.d - by_definition(&a, &b)).abs() < 1e-12);
            prop_assert!(far.d == both[0].d.max(both[1].d) && both.contains(&far));
            prop_assert_eq!(farthest(&b, &a, Alternative::Less).d, both[0].d);
        }

        #[test]
        fn buckets_find_what_sorting_everything_finds(
            mut a in prop::collection::vec(prop_oneof![-1.0_f64..1.0, (-3_i8..4).prop_map(f64::from), -1e9..1e9], 1..60),
            b in prop::collection::vec(prop_oneof![-1.0_f64..1.0, (-3_i8..4).prop_map(f64::from)], 1..60),
            copies in 1_usize..4,
            outlier in prop_oneof![Just(None), (-1e12..1e12_f64).prop_map(Some)],
        ) {
            a.extend(outlier);
            // Copies change no distance, but make the samples so large that buckets are used.
            let times = |v: &[f64], copies: usize| v.iter().copied().cycle().take(v.len() * copies).collect::<Vec<f64>>();
            let (few_a, few_b) = (times(&a, copies), b.clone());
            let (many_a, many_b) = (times(&few_a, MANY), times(&few_b, MANY));
            for side in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
                let (few, many) = (farthest(&few_a, &few_b, side).unwrap(), farthest(&many_a, &many_b, side).unwrap());
                prop_assert!((few.d - many.d).abs() < 1e-15);
                prop_assert_eq!((few.sign, few.location), (many.sign, many.location));
            }
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        let nan = f32::NAN;
        assert_eq!(farthest(&[], &[1.0], Alternative::TwoSided), None);
        assert_eq!(farthest(&[f64::NAN; 2000], &[1.0], Alternative::TwoSided), None);
        let far = farthest(&[f64::NEG_INFINITY; 1000], &[f64::INFINITY; 1000], Alternative::TwoSided).unwrap();
        assert_eq!((far.d, far.location), (1.0, f64::NEG_INFINITY));
        assert_eq!(KsTest { d: 0.5, n: 1, m: 1 }.p_asymptotic(Alternative::TwoSided), None);
        assert_eq!(statistic_sorted::<f32>(&[], &[1.0]), None);
        assert_eq!(statistic_sorted(&[1.0, nan], &[1.0]), None);
        assert!(statistic_sorted(&[1.0, nan, 2.0], &[1.0, nan, 0.0]).is_some());
        assert_eq!(statistic_sorted(&[2.0_f32; 5], &[2.0; 3]).unwrap().d, 0.0);
        assert_eq!(statistic_sorted(&[f32::NEG_INFINITY], &[f32::INFINITY]).unwrap().d, 1.0);
        assert_eq!(statistic_chunks::<f32>(&[], &[&[1.0]], &mut KsScratch::default()), None);
        assert_eq!((kolmogorov_sf(0.0), kolmogorov_sf(-1.0), kolmogorov_sf(f64::INFINITY)), (1.0, 1.0, 0.0));
        assert!(kolmogorov_sf(f64::NAN).is_nan());
        assert_eq!(critical_distance(0, 5, 0.05), None);
    }

    #[test]
    fn the_critical_distance_has_the_p_value_asked_for() {
        for alpha in [0.2, 0.05, 1e-3, 1e-6] {
            let d = critical_distance(300, 120, alpha).unwrap();
            assert!((KsTest { d, n: 300, m: 120 }.p_value() / alpha - 1.0).abs() < 1e-9, "{alpha}");
        }
    }
}
