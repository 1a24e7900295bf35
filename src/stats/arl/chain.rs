//! Owns absorbing chains with one restart point: what run-length problems become once their statistic takes finitely many
//! values. Mean run length by one banded elimination, distribution by stepping.
//!
//! A statistic that falls back to zero starts anew there, so a run is a row of independent cycles from zero, each of which ends
//! at zero again or in an alarm (E. S. Page, Biometrika 41 (1954) 100-115). With `N` the mean length of a cycle and `Q` its
//! chance to end in an alarm, the mean run length is `N / Q`. Both are sums of positive terms, so no digits are lost however
//! long the runs are.

/// Where a state goes in one step. The probabilities `weights`, `zero` and `alarm` sum to 1 (to the accuracy of the
/// discretisation).
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The first state that it reaches.
    pub first: usize,
    /// The probabilities of that state and those after it.
    pub weights: Vec<f64>,
    /// The probability of the restart point.
    pub zero: f64,
    /// The probability of an alarm.
    pub alarm: f64,
}

impl Row {
    /// The expectation of `values` over the states that it reaches.
    fn over(&self, values: &[f64]) -> f64 {
        self.weights.iter().zip(values.get(self.first..).unwrap_or(&[])).map(|(w, v)| w * v).sum()
    }
}

/// A chain: its states' rows, and the row of its restart point. A statistic without restart point has its start there.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// One per state.
    pub states: Vec<Row>,
    /// The restart point's.
    pub zero: Row,
}

/// Mean length of a cycle and the chance that it ends in an alarm, from every state and from the restart point.
pub(crate) struct Cycles {
    length: Vec<f64>,
    alarm: Vec<f64>,
    from_zero: f64,
}

impl Cycles {
    /// The mean run length from the restart point: steps until the alarm, the alarming one included.
    pub(crate) fn mean(&self) -> f64 {
        self.from_zero
    }

    /// The same from a state with these moves.
    pub(crate) fn mean_from(&self, start: &Row) -> f64 {
        let length = 1.0 + start.over(&self.length);
        let alarm = start.alarm + start.over(&self.alarm);
        length + (1.0 - alarm) * self.from_zero
    }
}

impl Chain {
    /// A statistic that is at its restart point before every step, and alarms with this probability in each.
    pub(crate) fn single(alarm: f64) -> Self {
        Self { states: Vec::new(), zero: Row { first: 0, weights: Vec::new(), zero: 1.0 - alarm, alarm } }
    }

    /// Solves the chain. `None` if no alarm can be reached from the restart point, or if the rows are not probabilities.
    pub(crate) fn cycles(&self) -> Option<Cycles> {
        let alarm: Vec<f64> = self.states.iter().map(|row| row.alarm).collect();
        let [length, alarm] = solve(&self.states, [vec![1.0; self.states.len()], alarm])?;
        let chance = self.zero.alarm + self.zero.over(&alarm);
        let from_zero = (1.0 + self.zero.over(&length)) / chance;
        (chance > 0.0 && from_zero.is_finite()).then_some(Cycles { length, alarm, from_zero })
    }

    /// P(T > 1), P(T > 2), … for a run from a state with the moves `start`.
    pub(crate) fn survival<'a>(&'a self, start: &'a Row) -> impl Iterator<Item = f64> + 'a {
        let mut alive = vec![1.0; self.states.len()];
        let mut next = alive.clone();
        let mut zero = 1.0;
        std::iter::from_fn(move || {
            let after = |row: &Row, alive: &[f64]| row.over(alive) + row.zero * zero;
            let now = after(start, &alive);
            for (value, row) in next.iter_mut().zip(&self.states) {
                *value = after(row, &alive);
            }
            zero = after(&self.zero, &alive);
            std::mem::swap(&mut alive, &mut next);
            Some(now)
        })
    }
}

/// Solves `(I - K) x = b` for two `b`, `K` being the rows' weights: Gaussian elimination within the rows' reach.
///
/// Without pivoting, because `K`'s rows sum to at most 1: `I - K` is diagonally dominant by rows, and then elimination in the
/// given order is stable (N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed. 2002, theorem 9.9).
fn solve<const B: usize>(rows: &[Row], mut sides: [Vec<f64>; B]) -> Option<[Vec<f64>; B]> {
    let n = rows.len();
    // The upper triangle: row i from its diagonal on.
    let mut upper: Vec<Vec<f64>> = Vec::with_capacity(n);
    let mut work = vec![0.0; n];
    for (i, row) in rows.iter().enumerate() {
        let first = row.first.min(i);
        let mut end = (row.first + row.weights.len()).max(i + 1);
        if end > n {
            return None;
        }
        for (slot, weight) in work[row.first..].iter_mut().zip(&row.weights) {
            *slot = -weight;
        }
        work[i] += 1.0;
        for j in first..i {
            let factor = work[j] / upper[j][0];
            work[j] = 0.0;
            if factor == 0.0 {
                continue;
            }
            end = end.max(j + upper[j].len());
            for (slot, value) in work[j + 1..].iter_mut().zip(&upper[j][1..]) {
                *slot -= factor * value;
            }
            for side in &mut sides {
                side[i] -= factor * side[j];
            }
        }
        // A zero pivot is a set of states that nothing leaves.
        if work[i] <= 0.0 || work[i].is_nan() {
            return None;
        }
        upper.push(work[i..end].to_vec());
        work[i..end].fill(0.0);
    }
    for side in &mut sides {
        for i in (0..n).rev() {
            let known: f64 = upper[i][1..].iter().zip(&side[i + 1..]).map(|(u, x)| u * x).sum();
            side[i] = (side[i] - known) / upper[i][0];
        }
    }
    Some(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(first: usize, weights: &[f64], zero: f64) -> Row {
        Row { first, weights: weights.to_vec(), zero, alarm: 1.0 - zero - weights.iter().sum::<f64>() }
    }

    /// Heads in a row: from no heads to the third. The mean is 2 + 4 + 8, the distribution that of the tribonacci numbers.
    fn three_heads() -> Chain {
        Chain { states: vec![row(1, &[0.5], 0.5), row(2, &[], 0.5)], zero: row(0, &[0.5], 0.5) }
    }

    #[test]
    fn three_heads_in_a_row_take_fourteen_throws() {
        let chain = three_heads();
        let cycles = chain.cycles().unwrap();
        assert!((cycles.mean() - 14.0).abs() < 1e-13, "{}", cycles.mean());
        assert!((cycles.mean_from(&chain.states[0]) - 12.0).abs() < 1e-13);
        assert!((cycles.mean_from(&chain.states[1]) - 8.0).abs() < 1e-13);
        let survival: Vec<f64> = chain.survival(&chain.zero).take(5).collect();
        assert_eq!(survival, [1.0, 1.0, 7.0 / 8.0, 13.0 / 16.0, 24.0 / 32.0]);
    }

    #[test]
    fn the_mean_is_the_sum_of_the_survival_function() {
        let chain = three_heads();
        let mean: f64 = 1.0 + chain.survival(&chain.zero).take(2000).sum::<f64>();
        assert!((mean - 14.0).abs() < 1e-12, "{mean}");
    }

    /// A random chain whose rows reach everywhere, solved by summing the powers of its matrix.
    #[test]
    fn elimination_agrees_with_the_neumann_series() {
        let mut seed = 1_u64;
        let mut draw = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40) as f64 / 16_777_216.0
        };
        let rows: Vec<Row> = (0..9)
            .map(|i: usize| {
                let first = i.saturating_sub(3);
                let reach = (9 - first).min(6);
                let weights: Vec<f64> = (0..reach).map(|_| draw() * 0.8 / reach as f64).collect();
                row(first, &weights, 0.0)
            })
            .collect();
        let [x] = solve(&rows, [vec![1.0; 9]]).unwrap();
        let mut series = vec![1.0; 9];
        for _ in 0..400 {
            series = rows.iter().map(|row| 1.0 + row.over(&series)).collect();
        }
        assert!(x.iter().zip(&series).all(|(a, b)| (a - b).abs() < 1e-12), "{x:?} {series:?}");
    }

    #[test]
    fn a_single_step_is_geometric() {
        let chain = Chain::single(0.25);
        assert_eq!(chain.cycles().map(|c| c.mean()), Some(4.0));
        assert_eq!(chain.survival(&chain.zero).take(3).collect::<Vec<f64>>(), [0.75, 0.5625, 0.421_875]);
        assert!(Chain::single(0.0).cycles().is_none());
    }

    #[test]
    fn a_chain_that_cannot_alarm_has_no_mean() {
        let stuck = Chain { states: vec![row(0, &[1.0], 0.0)], zero: row(0, &[0.5], 0.0) };
        assert!(stuck.cycles().is_none());
        let never = Chain { states: vec![row(0, &[0.5], 0.5)], zero: row(0, &[0.5], 0.5) };
        assert!(never.cycles().is_none());
        let outside = Chain { states: vec![row(0, &[0.5, 0.1], 0.0)], zero: row(0, &[0.5], 0.0) };
        assert!(outside.cycles().is_none());
    }
}
