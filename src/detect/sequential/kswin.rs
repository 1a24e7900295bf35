//! Owns KSWIN: the two-sample Kolmogorov-Smirnov test within a sliding window.

use super::config::{BadParameter, must, share};
use super::mersenne::Mersenne;
use super::{Detector, Reading, Step, Takes};
use crate::rng::Stream;
use crate::stats::ks::statistic_sorted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// KSWIN: the newest `stat_size` observations of a window of `window_size` against as many drawn from the earlier ones, without
/// replacement. Alarm when the exact two-sided p-value is at most `alpha` and D is above `min_distance`. After an alarm the
/// window fills anew. As river 0.23 has it; there a D of at most 0.1 never alarms, which its text does not say.
///
/// * Units: none; a change of unit, or any rising function of the metric, changes nothing.
/// * False alarms: independent and continuous data, at the defaults, a mean of 760 observations (measured). The tests overlap, so
///   that `1/alpha` (200) is no guide.
/// * Blind to: drift that is slow beside the window; small differences: 30 against 30, D has to be 14/30.
/// * Memory: at most `versions (16 window_size + 16 stat_size + 700) + 32 observations` bytes; with the draws of river 2.5 kB a
///   version more.
/// * Source: Raab, Heusinger and Schleif, Neurocomputing 2020, doi 10.1016/j.neucom.2019.11.111; p-value: Hodges, Arkiv for
///   Matematik 3 (1958) 469-486, which takes observations as distinct: with ties it errs on the safe side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KswinConfig {
    /// Significance of one test.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub alpha: f64,
    /// Observations that are kept; nothing is decided before there are so many.
    #[schemars(range(min = 2, max = 1_000_000))]
    pub window_size: u32,
    /// Observations on either side of the test; at most half of the window.
    #[schemars(range(min = 1, max = 10_000))]
    pub stat_size: u32,
    /// No alarm unless D is above this.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_distance: f64,
    /// Who draws.
    pub draws: Draws,
    /// The seed of river's draws.
    pub seed: u64,
}

/// Who draws the earlier observations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Draws {
    /// The detector's own stream, which belongs to the trial's seed.
    #[default]
    Own,
    /// Python's generator with `seed`, seeded again after each alarm, as river 0.23 has it.
    River,
}

impl Default for KswinConfig {
    fn default() -> Self {
        let (alpha, min_distance, draws) = (0.005, 0.1, Draws::Own);
        Self { alpha, window_size: 100, stat_size: 30, min_distance, draws, seed: 0 }
    }
}

impl KswinConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        share("alpha", self.alpha)?;
        must((2..=1_000_000).contains(&self.window_size), "window_size", "between 2 and 1000000")?;
        must((1..=10_000).contains(&self.stat_size), "stat_size", "between 1 and 10000")?;
        must(self.stat_size <= self.window_size / 2, "stat_size", "at most half of window_size")?;
        must((0.0..=1.0).contains(&self.min_distance), "min_distance", "between 0 and 1")
    }

    /// What keeps every change from being significant, if anything does: river accepts that.
    pub(super) fn never(&self) -> Option<BadParameter> {
        let part = self.stat_size as usize;
        if self.min_distance >= 1.0 {
            return Some(BadParameter { parameter: "min_distance", rule: "below 1: D is no more" });
        }
        let rule = "larger, or `stat_size`: not even D = 1 of so few values alarms";
        (critical(part, self.alpha, self.min_distance) > part).then_some(BadParameter { parameter: "alpha", rule })
    }

    pub(super) fn start(&self, stream: Stream) -> Kswin {
        let (size, part) = (self.window_size as usize, self.stat_size as usize);
        let source = match self.draws {
            Draws::Own => Source::Own(Box::new(stream)),
            Draws::River => Source::River { seed: self.seed, mersenne: Mersenne::new(self.seed) },
        };
        Kswin {
            size,
            part,
            critical: critical(part, self.alpha, self.min_distance),
            source,
            window: Vec::with_capacity(size),
            oldest: 0,
            order: Vec::with_capacity(size - part),
            positions: Vec::with_capacity(part),
            drawn: Vec::with_capacity(part),
            newest: Vec::with_capacity(part),
            steps: None,
            seen: 0,
            alarmed: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Source {
    Own(Box<Stream>),
    River { seed: u64, mersenne: Mersenne },
}

/// A KSWIN at work.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kswin {
    size: usize,
    part: usize,
    /// The least `D stat_size` that alarms.
    critical: usize,
    source: Source,
    /// A ring once it is full.
    window: Vec<f64>,
    oldest: usize,
    /// Scratch memory of the draws; a permutation of the earlier positions if they are our own.
    order: Vec<usize>,
    positions: Vec<usize>,
    /// Scratch memory of the test.
    drawn: Vec<f64>,
    newest: Vec<f64>,
    /// `D stat_size` of the last test.
    steps: Option<usize>,
    seen: u64,
    alarmed: bool,
}

impl Kswin {
    fn at(&self, position: usize) -> f64 {
        let i = self.oldest + position;
        self.window[if i < self.size { i } else { i - self.size }]
    }

    fn draw(&mut self) {
        let earlier = self.size - self.part;
        match &mut self.source {
            Source::River { mersenne, .. } => {
                mersenne.sample(earlier, self.part, &mut self.order, &mut self.positions);
            }
            Source::Own(stream) => {
                if self.order.len() != earlier {
                    self.order = (0..earlier).collect();
                }
                for i in 0..self.part {
                    self.order.swap(i, i + stream.below(earlier - i));
                }
                self.positions.clear();
                self.positions.extend_from_slice(&self.order[..self.part]);
            }
        }
    }

    /// `D stat_size` between the newest part and these positions; `drawn` and `newest` are scratch memory.
    fn test(&self, positions: &[usize], drawn: &mut Vec<f64>, newest: &mut Vec<f64>) -> usize {
        drawn.clear();
        drawn.extend(positions.iter().map(|&p| self.at(p)));
        newest.clear();
        newest.extend((self.size - self.part..self.size).map(|p| self.at(p)));
        drawn.sort_unstable_by(f64::total_cmp);
        newest.sort_unstable_by(f64::total_cmp);
        // D is a multiple of 1/stat_size.
        statistic_sorted(drawn, newest).map_or(0, |test| (test.d * self.part as f64).round() as usize)
    }

    /// See [`super::Sequential::positions`].
    pub(super) fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// See [`super::Sequential::compare`].
    pub(super) fn compare(&self, positions: &[usize]) -> Option<(f64, f64)> {
        let earlier = self.size - self.part;
        if self.window.len() < self.size || positions.len() != self.part || positions.iter().any(|&p| p >= earlier) {
            return None;
        }
        let steps = self.test(positions, &mut Vec::new(), &mut Vec::new());
        Some((steps as f64 / self.part as f64, p_value(self.part, steps)))
    }
}

impl Detector for Kswin {
    const TAKES: Takes = Takes::Any;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed {
            self.window.clear();
            self.positions.clear();
            (self.oldest, self.steps, self.seen, self.alarmed) = (0, None, 0, false);
            if let Source::River { seed, mersenne } = &mut self.source {
                *mersenne = Mersenne::new(*seed);
            }
        }
        self.seen += 1;
        if self.window.len() < self.size {
            self.window.push(x);
        } else {
            self.window[self.oldest] = x;
            self.oldest = if self.oldest + 1 < self.size { self.oldest + 1 } else { 0 };
        }
        if self.window.len() == self.size {
            self.draw();
            let (mut drawn, mut newest) = (std::mem::take(&mut self.drawn), std::mem::take(&mut self.newest));
            let steps = self.test(&self.positions, &mut drawn, &mut newest);
            (self.drawn, self.newest, self.steps) = (drawn, newest, Some(steps));
            self.alarmed = steps >= self.critical;
        }
        Step::alarm(self.alarmed)
    }

    fn reading(&self) -> Reading {
        let share = |steps: usize| steps as f64 / self.part as f64;
        let threshold = if self.critical > self.part { f64::INFINITY } else { share(self.critical) };
        Reading { statistic: self.steps.map_or(f64::NAN, share), threshold, seen: self.seen }
    }

    fn needs(&self) -> (u64, u64) {
        (self.seen, self.size as u64)
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        let p = self.steps.map_or(f64::NAN, |steps| p_value(self.part, steps));
        vec![("ks_d", self.reading().statistic), ("p", p)]
    }

    fn heap(&self) -> usize {
        let values = self.window.capacity() + self.drawn.capacity() + self.newest.capacity();
        let places = self.order.capacity() + self.positions.capacity();
        let source = match &self.source {
            Source::Own(_) => size_of::<Stream>(),
            Source::River { mersenne, .. } => mersenne.heap(),
        };
        values * size_of::<f64>() + places * size_of::<usize>() + source
    }
}

/// P(D >= steps/n) of two samples of `n` distinct observations each, from one distribution: the share of lattice paths that
/// leave the strip between the diagonals `±steps`, counted by reflections and summed from the smallest term as a continued
/// product (Hodges 1958, section 2).
fn p_value(n: usize, steps: usize) -> f64 {
    if steps == 0 {
        return 1.0;
    }
    let mut p = 0.0;
    for reflections in (0..=n / steps).rev() {
        let reach = reflections * steps;
        let share =
            (0..steps).fold(1.0, |share, j| (n - reach).saturating_sub(j) as f64 * share / (n + reach + j + 1) as f64);
        p = share * (1.0 - p);
    }
    f64::min(2.0 * p, 1.0)
}

/// The least `D n` that is significant at `alpha` and above `min_distance`; `n + 1` if none is.
fn critical(n: usize, alpha: f64, min_distance: f64) -> usize {
    let alarms = |steps: usize| steps as f64 / n as f64 > min_distance && p_value(n, steps) <= alpha;
    let (mut quiet, mut loud) = (0, n + 1);
    while loud - quiet > 1 {
        let middle = quiet.midpoint(loud);
        if alarms(middle) { loud = middle } else { quiet = middle }
    }
    loud
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_those_of_all_interleavings() {
        // 12 observations, 6 from each sample: D is what each of the C(12, 6) interleavings has.
        let n = 6_usize;
        let mut counts = [0_u32; 7];
        for mask in (0_u32..1 << 12).filter(|mask| mask.count_ones() == 6) {
            let mut gap = 0_i32;
            let widest = (0..12).map(|i| {
                gap += if mask >> i & 1 == 1 { 1 } else { -1 };
                gap.unsigned_abs()
            });
            counts[widest.max().unwrap_or(0) as usize] += 1;
        }
        for steps in 0..=n {
            let p = f64::from(counts[steps..].iter().sum::<u32>()) / f64::from(counts.iter().sum::<u32>());
            assert!((p_value(n, steps) - p).abs() < 1e-14, "{steps}: {p}");
        }
    }

    #[test]
    fn the_critical_distance_is_the_least_significant_one() {
        // scipy 1.14, ks_2samp of 30 against 30: p(13/30) = 0.00653, p(14/30) = 0.00253.
        assert_eq!(critical(30, 0.005, 0.1), 14);
        assert_eq!(critical(30, 0.007, 0.1), 13);
        assert_eq!(critical(30, 0.9, 0.5), 16, "the least distance binds");
        assert_eq!(critical(3, 0.01, 0.0), 4, "too few for any");
    }
}
