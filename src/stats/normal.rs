//! Owns the standard normal distribution: cdf, survival, density and the portable inverse that samples are drawn through.
//!
//! The inverse is Wichura's: M. J. Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution",
//! Applied Statistics 37 (1988) 477-484. In the centre (`0.075 <= p <= 0.925`, 85 % of draws) it is a ratio of two
//! polynomials, hence equal on any machine; in the tails `libm`'s logarithm is used.

use std::f64::consts::FRAC_1_SQRT_2;

use self::coefficients::*;

/// 1 / sqrt(2 pi).
const FRAC_1_SQRT_2PI: f64 = 0.398_942_280_401_432_7;

/// P(Z <= x). 0 at -inf, 1 at inf, NaN at NaN. Source: `erfc(-x/sqrt 2)/2`, which keeps its relative precision in the lower
/// tail (checked to 1e-12 down to x = -37).
#[must_use]
pub fn cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// P(Z > x), with relative precision in the upper tail, where `1 - cdf(x)` has none.
#[must_use]
pub fn sf(x: f64) -> f64 {
    0.5 * libm::erfc(x * FRAC_1_SQRT_2)
}

/// The density at `x`.
#[must_use]
pub fn density(x: f64) -> f64 {
    FRAC_1_SQRT_2PI * libm::exp(-0.5 * x * x)
}

/// The `x` with P(Z <= x) = p: AS 241's PPND16, relative error about 1e-16 (checked to 1e-12 from p = 1e-300).
///
/// `p = 0` gives -inf, `p = 1` gives inf; outside `[0, 1]` and for NaN the result is NaN.
#[inline]
#[must_use]
pub fn quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * horner(&A, r) / horner(&B, r);
    }
    tail(p, q)
}

/// [`quantile`] of many, to the same bits: the central polynomials of all at once (without a branch, so that the processor
/// takes several in a step), then the few that lie in a tail.
pub fn quantiles(p: &[f64], out: &mut [f32]) {
    for (&p, x) in p.iter().zip(out.iter_mut()) {
        let q = p - 0.5;
        let r = 0.180_625 - q * q;
        *x = (q * horner(&A, r) / horner(&B, r)) as f32;
    }
    for (&p, x) in p.iter().zip(out) {
        let q = p - 0.5;
        if q.abs() > 0.425 {
            *x = tail(p, q) as f32;
        }
    }
}

/// AS 241's tails; out of line, because one draw in seven comes here.
#[cold]
fn tail(p: f64, q: f64) -> f64 {
    let smaller = if q < 0.0 { p } else { 1.0 - p };
    if smaller <= 0.0 {
        let edge = if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
        return if smaller < 0.0 { f64::NAN } else { edge };
    }
    let r = (-libm::log(smaller)).sqrt();
    let x = if r <= 5.0 {
        let r = r - 1.6;
        horner(&C, r) / horner(&D, r)
    } else {
        let r = r - 5.0;
        horner(&E, r) / horner(&F, r)
    };
    if q < 0.0 { -x } else { x }
}

/// AS 241's PPND7 in `f32`: relative error below 1e-6 for `1e-37 <= p <= 0.5`. Above one half `p` itself is no finer than
/// 6e-8, which bounds what the upper tail can mean: the largest finite result is 5.29. Same conventions as [`quantile`].
#[inline]
#[must_use]
pub fn quantile_f32(p: f32) -> f32 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        let numerator = ((A7[3] * r + A7[2]) * r + A7[1]) * r + A7[0];
        let denominator = ((B7[2] * r + B7[1]) * r + B7[0]) * r + 1.0;
        return q * numerator / denominator;
    }
    tail_f32(p, q)
}

#[cold]
fn tail_f32(p: f32, q: f32) -> f32 {
    let smaller = if q < 0.0 { p } else { 1.0 - p };
    if smaller <= 0.0 {
        let edge = if q < 0.0 { f32::NEG_INFINITY } else { f32::INFINITY };
        return if smaller < 0.0 { f32::NAN } else { edge };
    }
    let r = (-libm::logf(smaller)).sqrt();
    let x = if r <= 5.0 {
        let r = r - 1.6;
        (((C7[3] * r + C7[2]) * r + C7[1]) * r + C7[0]) / ((D7[1] * r + D7[0]) * r + 1.0)
    } else {
        let r = r - 5.0;
        (((E7[3] * r + E7[2]) * r + E7[1]) * r + E7[0]) / ((F7[1] * r + F7[0]) * r + 1.0)
    };
    if q < 0.0 { -x } else { x }
}

/// A polynomial of degree 7, lowest coefficient first.
#[inline]
fn horner(c: &[f64; 8], r: f64) -> f64 {
    ((((((c[7] * r + c[6]) * r + c[5]) * r + c[4]) * r + c[3]) * r + c[2]) * r + c[1]) * r + c[0]
}

#[expect(clippy::excessive_precision, reason = "the coefficients of AS 241, as printed")]
mod coefficients {
    #[rustfmt::skip]
    pub(super) const A: [f64; 8] = [
        3.387_132_872_796_366_608,     1.331_416_678_917_843_774_5e2, 1.971_590_950_306_551_442_7e3, 1.373_169_376_550_946_112_5e4,
        4.592_195_393_154_987_145_7e4, 6.726_577_092_700_870_085_3e4, 3.343_057_558_358_812_810_5e4, 2.509_080_928_730_122_672_7e3,
    ];
    #[rustfmt::skip]
    pub(super) const B: [f64; 8] = [
        1.0,                           4.231_333_070_160_091_125_2e1, 6.871_870_074_920_579_083e2,   5.394_196_021_424_751_107_7e3,
        2.121_379_430_158_659_586_7e4, 3.930_789_580_009_271_061e4,   2.872_908_573_572_194_267_4e4, 5.226_495_278_852_854_561e3,
    ];
    #[rustfmt::skip]
    pub(super) const C: [f64; 8] = [
        1.423_437_110_749_683_577_34,  4.630_337_846_156_545_295_9,   5.769_497_221_460_691_405_5,   3.647_848_324_763_204_605_04,
        1.270_458_252_452_368_382_58,  2.417_807_251_774_506_117_7e-1, 2.272_384_498_926_918_458_33e-2, 7.745_450_142_783_414_076_4e-4,
    ];
    #[rustfmt::skip]
    pub(super) const D: [f64; 8] = [
        1.0,                           2.053_191_626_637_758_821_87,  1.676_384_830_183_803_849_4,   6.897_673_349_851_000_045_5e-1,
        1.481_039_764_274_800_745_9e-1, 1.519_866_656_361_645_719_66e-2, 5.475_938_084_995_344_946e-4, 1.050_750_071_644_416_843_24e-9,
    ];
    #[rustfmt::skip]
    pub(super) const E: [f64; 8] = [
        6.657_904_643_501_103_777_2,   5.463_784_911_164_114_369_9,   1.784_826_539_917_291_335_8,   2.965_605_718_285_048_912_3e-1,
        2.653_218_952_657_612_309_3e-2, 1.242_660_947_388_078_438_6e-3, 2.711_555_568_743_487_578_15e-5, 2.010_334_399_292_288_132_65e-7,
    ];
    #[rustfmt::skip]
    pub(super) const F: [f64; 8] = [
        1.0,                           5.998_322_065_558_879_376_9e-1, 1.369_298_809_227_358_053_1e-1, 1.487_536_129_085_061_485_25e-2,
        7.868_691_311_456_132_591e-4,  1.846_318_317_510_054_681_8e-5, 1.421_511_758_316_445_888_7e-7, 2.044_263_103_389_939_785_64e-15,
    ];
    pub(super) const A7: [f32; 4] = [3.387_132_7, 50.434_27, 159.291_13, 59.109_37];
    pub(super) const B7: [f32; 3] = [17.895_17, 78.757_755, 67.187_56];
    pub(super) const C7: [f32; 4] = [1.423_437_3, 2.756_815_4, 1.306_728_5, 0.170_238_21];
    pub(super) const D7: [f32; 2] = [0.737_001_6, 0.120_211_32];
    pub(super) const E7: [f32; 4] = [6.657_905, 3.081_226_4, 0.428_682_95, 0.017_337_203];
    pub(super) const F7: [f32; 2] = [0.241_978_94, 0.012_258_202];
}

#[cfg(test)]
mod tests {
    #[test]
    fn many_at_once_are_the_same_to_the_bit() {
        let p: Vec<f64> = (0..10_000).map(|i| (f64::from(i) + 0.5) / 1e4).chain([1e-12, 1.0 - 1e-12]).collect();
        let mut out = vec![0.0; p.len()];
        super::quantiles(&p, &mut out);
        assert!(p.iter().zip(&out).all(|(&p, x)| x.to_bits() == (super::quantile(p) as f32).to_bits()));
    }

    use super::*;

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(quantile(1.0), f64::INFINITY);
        assert_eq!(quantile(0.5), 0.0);
        for bad in [-1e-300, 1.0 + 1e-15, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(quantile(bad).is_nan(), "{bad}");
            assert!(quantile_f32(bad as f32).is_nan() || bad as f32 == 1.0 || bad as f32 == 0.0, "{bad}");
        }
        assert_eq!((cdf(f64::NEG_INFINITY), cdf(f64::INFINITY), sf(f64::INFINITY)), (0.0, 1.0, 0.0));
        assert!(cdf(f64::NAN).is_nan());
    }

    #[test]
    fn the_single_precision_inverse_keeps_its_stated_accuracy() {
        let mut worst = 0.0_f64;
        let mut p = 1e-37_f32;
        while p < 0.5 {
            let exact = quantile(f64::from(p));
            if exact.abs() > 1e-3 {
                worst = worst.max((f64::from(quantile_f32(p)) / exact - 1.0).abs());
            }
            p *= 1.001;
        }
        assert!(worst < 1e-6, "{worst}");
    }

    #[test]
    fn the_inverse_increases_across_its_seams() {
        for seam in [0.075, 0.925, libm::exp(-25.0)] {
            let (low, high) = (quantile(seam * (1.0 - 1e-9)), quantile(seam * (1.0 + 1e-9)));
            assert!(low < high && high - low < 1e-6, "{seam}: {low} {high}");
        }
    }
}
