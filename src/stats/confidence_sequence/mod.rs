//! Owns confidence sequences: intervals that hold at all times at once, so that one may look after every observation and stop
//! whenever one likes. (A fixed-time interval that is looked at repeatedly fails for sure in the end.)
//!
//! | type | bounds | for |
//! |---|---|---|
//! | [`Mixture`], [`poly_stitching`] | a sum whose "intrinsic time" (variance so far) is known: `P(some S_t > boundary(V_t)) <= alpha` | what a test is made of |
//! | [`BetaBinomial`] | a mean of 0/1 or of values in `[0, 1]`, from counts alone | error rates |
//! | [`EmpiricalBernstein`] | a mean of values in `[0, 1]`; narrow where they vary little | scores, capped latencies |
//! | [`Hoeffding`] | the same without looking at how they vary | comparison |
//!
//! Sources: S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences",
//! Annals of Statistics 49 (2021) 1055-1080 (mixtures and stitching; their `confseq` package is the reference in the tests);
//! I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024) 1-27 (predictable
//! mixtures).

mod binomial;
mod mixture;
mod predictable;

pub use binomial::BetaBinomial;
pub use mixture::{Kind, Mixture, poly_stitching};
pub use predictable::{EmpiricalBernstein, Hoeffding};

/// The variance-like constant of a two-sided normal mixture whose boundary is narrowest at the intrinsic time `v_opt` for error
/// `alpha_opt`: `v / (2 ln(1/a) + ln(1 + 2 ln(1/a)))`, Howard et al. (2021), section 3.5.
fn best_rho(v_opt: f64, alpha_opt: f64) -> Option<f64> {
    let log = -libm::log(alpha_opt);
    let rho = v_opt / (2.0 * log + libm::log1p(2.0 * log));
    (v_opt > 0.0 && v_opt.is_finite() && is_level(alpha_opt) && rho > 0.0 && rho.is_finite()).then_some(rho)
}

/// Whether this can be an error probability.
fn is_level(alpha: f64) -> bool {
    alpha > 0.0 && alpha < 1.0
}
