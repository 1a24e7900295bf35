//! Holds the two-sample tests to scipy, R, evidently and Kayenta: format `two-sample-v1`.
//!
//! What a detector reports is taken from a detector made of its configuration, as a policy file would have it; the rest
//! (moments, quantiles, edges, R's own estimates) from the statistics.

use crate::harness::{Case, Folder, P_VALUE, Report, STATISTIC, Within, number, numbers};
use crate::policy::signal;
use rollcage::detect::config::SignalKind;
use rollcage::detect::two_sample::{NoVerdict, Test, Verdict};
use rollcage::stats::bins::{EqualWidth, categories, more_distinct_than};
use rollcage::stats::mmd::{Gram, median_distance, squared_distances};
use rollcage::stats::psi::Edges;
use rollcage::stats::quantile::{Method, quantile_by};
use rollcage::stats::shift::Shift;
use rollcage::stats::summary::Summary;
use rollcage::stats::{divergence, special};
use serde_json::{Value, json};

/// Runs all cases of the document.
pub fn run(folder: &Folder, file: &str, document: &Value, report: &mut Report) -> Result<(), String> {
    let probabilities = numbers(&document["quantile_probs"]);
    let cases = document["cases"].as_array().ok_or(format!("{file}: no cases"))?;
    let samples = file.strip_suffix(".json").unwrap_or(file);
    for json in cases {
        let id = json["id"].as_str().ok_or(format!("{file}: a case without id"))?;
        let mut data = Data { a: Vec::new(), b: Vec::new(), sorted_a: Vec::new(), sorted_b: Vec::new() };
        for row in folder.rows(&format!("{samples}/{id}.csv"))? {
            let x = row.get(1).and_then(|x| x.parse().ok()).ok_or(format!("{file}#{id}: a row without a value"))?;
            if row[0] == "a" { data.a.push(x) } else { data.b.push(x) }
        }
        data.sorted_a = sorted(&data.a);
        data.sorted_b = sorted(&data.b);
        let mut case = Case::new(file, id, json);
        for remark in ["/id", "/note"] {
            case.input(remark);
        }
        case.equal("samples", "/n", data.a.len());
        case.equal("samples", "/m", data.b.len());
        for check in
            [ks, distances, quadratic, mean, ranks, r_wilcox, kayenta, psi, shares, table, mmd, moments, evidently]
        {
            check(&mut case, &data);
        }
        quantiles(&mut case, &data, &probabilities);
        case.finish(report);
    }
    Ok(())
}

/// The samples of a case: the reference and the window.
struct Data {
    a: Vec<f64>,
    b: Vec<f64>,
    sorted_a: Vec<f64>,
    sorted_b: Vec<f64>,
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// What a configured detector says of the samples.
struct Said {
    fields: &'static [&'static str],
    verdict: Verdict,
}

impl Data {
    /// Of the detector that a policy file with these entries makes.
    fn ask(&self, config: Value) -> Said {
        let test = test(&config).unwrap_or_else(|e| panic!("{config}: {e}"));
        let verdict = test.evaluate(&self.a, &self.b, &mut |_| unreachable!("all labellings are taken"));
        if let Ok(values) = &verdict {
            assert_eq!(values.len(), test.fields().len(), "{config}");
        }
        Said { fields: test.fields(), verdict }
    }
}

/// The test that a policy file with these entries makes.
fn test(config: &Value) -> Result<Test, String> {
    let mut table = config.as_object().ok_or("not a table")?.clone();
    let kind = table.remove("test").ok_or("no test")?;
    table.extend([("of".to_owned(), json!("score")), ("window".to_owned(), json!("60s"))]);
    match signal(kind.as_str().unwrap_or_default(), &table)? {
        SignalKind::Comparison(comparison) => Ok(comparison.test),
        other => Err(format!("not a comparison: {other:?}")),
    }
}

impl Said {
    /// A field's value; `None` without a verdict.
    fn get(&self, field: &str) -> Option<f64> {
        let place = self.fields.iter().position(|f| *f == field).unwrap_or_else(|| panic!("no field {field}"));
        self.verdict.as_ref().ok().map(|values| values[place])
    }
}

fn ks(case: &mut Case, data: &Data) {
    let ask = |method: &str, side: &str| data.ask(json!({"test": "ks", "method": method, "alternative": side}));
    let p = |method: &str| ask(method, "two-sided").get("p");
    let exact = ask("exact-no-ties", "two-sided");
    case.number("ks", "/ks/d", exact.get("d"), STATISTIC);
    case.number("ks", "/ks/location", exact.get("location"), Within::Exactly);
    case.number("ks", "/ks/sign", exact.get("sign"), Within::Exactly);
    case.number("ks", "/ks/p_exact", exact.get("p"), P_VALUE);
    case.number("ks", "/ks/p_scipy_asymp", p("asymptotic"), P_VALUE);
    case.number("ks", "/ks/p_kolmogorov_limit", p("limit"), P_VALUE);
    case.number("ks", "/ks/p_stephens", p("stephens"), P_VALUE);
    for side in ["greater", "less"] {
        let said = ask("exact-no-ties", side);
        case.number("ks", &format!("/ks/d_{side}"), said.get("d"), STATISTIC);
        // scipy's exact distribution up to some size, Hodges' approximation above; which of the two it is the file does not
        // say, so it must be one of them.
        let at = format!("/ks/p_{side}");
        let want = case.peek(&at).and_then(number).unwrap_or(f64::NAN);
        let off = |p: &Option<f64>| p.map_or(f64::INFINITY, |p| (p - want).abs());
        let both = [said.get("p"), ask("asymptotic", side).get("p")];
        let p = both.into_iter().min_by(|x, y| off(x).total_cmp(&off(y))).flatten();
        case.number("ks", &at, p, P_VALUE);
    }
    case.input("/r_ks/note");
    // R 4.2 counts the walks that stay inside and gives 1 - count / exp(lgamma(n + m + 1) - …): the rounding of the largest
    // logarithm is the absolute error of the p-value. Summing the walks of `tiny_5_5` in fractions gives 2/252 =
    // 0.00793650793650794, R 0.0079365079365115; of `disjoint` 2/C(70, 30), R 0.
    let rounding = 4.0 * f64::EPSILON * special::ln_gamma((data.a.len() + data.b.len() + 1) as f64);
    case.number("ks", "/r_ks/p_exact", p("exact"), Within::Either(1e-8, rounding));
    let (n, m) = (data.a.len() as f64, data.b.len() as f64);
    let x = (n * m / (n + m)).sqrt() * exact.get("d").unwrap_or(f64::NAN);
    let r_asymptotic = p("limit").map(|p| p + r_limit_cut(x));
    case.number("ks", "/r_ks/p_asymptotic", r_asymptotic, P_VALUE);
}

/// What R's Kolmogorov limit has too much: below 1 it takes one term of the series (its tolerance 1e-6 gives `k < 3`), which
/// leaves out 3.1e-5 at x = 0.99; from 1 on it stops at the first term below 1e-6.
fn r_limit_cut(x: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    if x < 1.0 {
        let term = |k: f64| libm::exp(-k * k * std::f64::consts::PI * std::f64::consts::PI / (8.0 * x * x));
        return (1..6).map(|k| term(f64::from(2 * k + 1))).sum::<f64>() * (2.0 * std::f64::consts::PI).sqrt() / x;
    }
    let term = |k: i32| if k % 2 == 1 { 2.0 } else { -2.0 } * libm::exp(-2.0 * f64::from(k * k) * x * x);
    let kept = (1..20).find(|&k| term(k).abs() <= 1e-6).unwrap_or(20);
    -(kept + 1..20).map(term).sum::<f64>()
}

fn distances(case: &mut Case, data: &Data) {
    let distance = |test: &str| data.ask(json!({"test": test})).get("distance");
    case.number("wasserstein", "/wasserstein", distance("wasserstein"), STATISTIC);
    case.number("energy", "/energy_distance", distance("energy"), STATISTIC);
}

fn quadratic(case: &mut Case, data: &Data) {
    let said = data.ask(json!({"test": "cramer-von-mises", "ties": "midranks"}));
    case.number("cramer-von-mises", "/cramer_von_mises/t", said.get("t"), STATISTIC);
    // scipy gives 1 minus a series that it leaves at terms of 1e-7, so its small p-values are too large: 7.3e-10 for
    // `disjoint`, of which the whole series in 40 digits (mpmath) leaves 6.8e-14. What it leaves out is added here; the
    // rounding of 1 minus the series stays.
    let p = said.get("p").zip(said.get("t")).map(|(p, t)| p + scipy_series_cut(t, data.a.len(), data.b.len()));
    case.number("cramer-von-mises", "/cramer_von_mises/p_asymptotic", p, Within::Either(1e-8, 1e-14));
    let said = data.ask(json!({"test": "anderson-darling"}));
    case.number("anderson-darling", "/anderson_darling_k2", said.get("a2"), STATISTIC);
}

/// The terms after the first one below 1e-7 of the series of the Cramér-von Mises limit (S. Csörgő and J. Faraway, JRSS B 58
/// (1996) 221-234, eq. 1.3) at the standardised statistic, with the Bessel function by its integral.
fn scipy_series_cut(t: f64, n: usize, m: usize) -> f64 {
    let (n, m) = (n as f64, m as f64);
    let (all, pairs) = (n + m, n * m);
    let variance =
        (all + 1.0) * (4.0 * pairs * all - 3.0 * (n * n + m * m) - 2.0 * pairs) / (180.0 * all * all * pairs);
    let x = 1.0 / 6.0 + (t - (1.0 + 1.0 / all) / 6.0) / (45.0 * variance).sqrt();
    let term = |k: u32| {
        let (k, y) = (f64::from(k), f64::from(4 * k + 1));
        let q = y * y / (16.0 * x);
        let at = |i: u32| f64::from(i) * 0.05;
        let bessel: f64 = (0..600)
            .map(|i| if i == 0 { 0.5 } else { 1.0 } * libm::exp(-q * (1.0 + libm::cosh(at(i)))) * libm::cosh(at(i) / 4.0))
            .sum();
        let gammas = libm::exp(special::ln_gamma(k + 0.5) - special::ln_gamma(k + 1.0));
        gammas * (y / x).sqrt() * bessel * 0.05 / libm::pow(std::f64::consts::PI, 1.5)
    };
    if x < 0.003 {
        return 0.0; // scipy takes no series there
    }
    let kept = (0..2000).find(|&k| term(k) < 1e-7).unwrap_or(2000);
    (kept + 1..kept + 400).map(term).take_while(|&term| term > 1e-18).sum()
}

fn mean(case: &mut Case, data: &Data) {
    let said = data.ask(json!({"test": "welch"}));
    case.number("welch", "/welch_t/t", said.get("t"), STATISTIC);
    case.number("welch", "/welch_t/p", said.get("p"), P_VALUE);
    let df = said.get("df").or_else(|| {
        // Equal constants are no verdict, but scipy has degrees of freedom for them.
        Summary::of(&data.a).welch(&Summary::of(&data.b)).map(|test| test.degrees_of_freedom)
    });
    case.number("welch", "/welch_t/df", df, STATISTIC);
}

fn ranks(case: &mut Case, data: &Data) {
    let ask = |method: &str, side: &str, continuity: bool| {
        data.ask(json!({
            "test": "mann-whitney", "method": method, "alternative": side, "continuity": continuity, "confidence": 0.98
        }))
    };
    let said = ask("exact", "two-sided", true);
    case.number("mann-whitney", "/mann_whitney/u_a", said.get("u"), STATISTIC);
    case.number("mann-whitney", "/mann_whitney/p_two-sided_exact", said.get("p"), P_VALUE);
    case.number("mann-whitney", "/mann_whitney/cles_a_gt_b", said.get("cles").map(|c| 1.0 - c), STATISTIC);
    case.number("mann-whitney", "/mann_whitney/hodges_lehmann_b_minus_a", said.get("shift"), STATISTIC);
    // The reference names the side of its first sample, a policy that of the window.
    for (theirs, ours) in [("two-sided", "two-sided"), ("less", "greater"), ("greater", "less")] {
        for (name, continuity) in [("cc", true), ("nocc", false)] {
            let p = ask("asymptotic", ours, continuity).get("p");
            case.number("mann-whitney", &format!("/mann_whitney/p_{theirs}_{name}"), p, P_VALUE);
        }
    }
}

fn r_wilcox(case: &mut Case, data: &Data) {
    let Some(note) = case.input("/r_wilcox/note") else { return };
    let level = note.as_str().and_then(|n| n.split("conf.level=").nth(1)?.trim_end_matches(')').parse::<f64>().ok());
    let level = level.unwrap_or(0.95);
    let ask = |method: &str, tolerance: f64| {
        data.ask(json!({"test": "mann-whitney", "method": method, "confidence": level, "tolerance": tolerance}))
    };
    // R's `tol.root`.
    let said = ask("asymptotic", 1e-4);
    let missing = |case: &Case, at: &str| case.peek(&format!("/r_wilcox/{at}")).is_some_and(Value::is_null);
    let shift = Shift::of_sorted(&data.sorted_a, &data.sorted_b);
    let ends = |said: &Said| [said.get("lower").unwrap_or(f64::NAN), said.get("upper").unwrap_or(f64::NAN)];
    let tied = missing(case, "ci_asymptotic/0");
    if tied {
        // R stops with an error because all values are tied at an extreme shift; it gives no p-value either.
        case.input("/r_wilcox/p_asymptotic_cc");
    } else {
        case.number("mann-whitney", "/r_wilcox/p_asymptotic_cc", said.get("p"), P_VALUE);
    }
    case.numbers("mann-whitney", "/r_wilcox/ci_asymptotic", &ends(&said), STATISTIC);
    let estimate = shift.and_then(|s| s.estimate_by_root(false, 1e-4));
    case.number("mann-whitney", "/r_wilcox/estimate_asymptotic", estimate, STATISTIC);
    if missing(case, "p_exact") {
        // Not asked of R, or with ties, for which R 4.2 has no exact answer; with ties this one must not have any either.
        for at in ["p_exact", "ci_exact", "estimate_exact"] {
            case.input(&format!("/r_wilcox/{at}"));
        }
        let distinct = !data.a.iter().any(|x| data.b.contains(x))
            && [&data.sorted_a, &data.sorted_b].iter().all(|v| v.windows(2).all(|pair| pair[0] < pair[1]));
        let exact = shift.and_then(|s| s.interval_exact(level));
        case.holds("mann-whitney", "no exact interval with ties", distinct || exact.is_none());
        return;
    }
    let said = ask("exact", 1e-4);
    case.number("mann-whitney", "/r_wilcox/p_exact", said.get("p"), P_VALUE);
    case.numbers("mann-whitney", "/r_wilcox/ci_exact", &ends(&said), STATISTIC);
    case.number("mann-whitney", "/r_wilcox/estimate_exact", said.get("shift"), STATISTIC);
}

fn kayenta(case: &mut Case, data: &Data) {
    for (at, outliers) in [("/kayenta", "keep"), ("/kayenta_outliers_removed", "remove")] {
        if case.peek(at).is_none() {
            continue;
        }
        let ask = |direction: &str, root: f64| {
            data.ask(json!({
                "test": "kayenta", "direction": direction, "outliers": outliers, "root_tolerance": root
            }))
        };
        let said = ask("either", 1e-4);
        case.input(&format!("{at}/why"));
        case.equal("kayenta", &format!("{at}/label"), label(&said));
        if said.verdict == Err(NoVerdict::Noise) {
            let mean = |values: &[f64]| Summary::of(values).mean();
            case.equal("kayenta", &format!("{at}/control_n"), data.a.len());
            case.equal("kayenta", &format!("{at}/experiment_n"), data.b.len());
            let ratio = mean(&data.b).zip(mean(&data.a)).map(|(b, a)| b / a);
            case.number("kayenta", &format!("{at}/mean_ratio"), ratio, STATISTIC);
            continue;
        }
        case.number("kayenta", &format!("{at}/control_n"), said.get("n"), Within::Exactly);
        case.number("kayenta", &format!("{at}/experiment_n"), said.get("m"), Within::Exactly);
        case.number("kayenta", &format!("{at}/mean_ratio"), said.get("effect"), STATISTIC);
        case.number("kayenta", &format!("{at}/tolerance_bound"), said.get("bound"), STATISTIC);
        for (at, root) in [(at.to_owned(), 1e-4), (format!("{at}/tight_root"), 1e-13)] {
            let said = ask("either", root);
            let ends = [said.get("lower").unwrap_or(f64::NAN), said.get("upper").unwrap_or(f64::NAN)];
            case.numbers("kayenta", &format!("{at}/ci98"), &ends, STATISTIC);
            case.number("kayenta", &format!("{at}/estimate"), said.get("shift"), STATISTIC);
            for direction in ["Increase", "Decrease", "Either"] {
                let said = ask(&direction.to_lowercase(), root);
                case.equal("kayenta", &format!("{at}/label_{direction}"), label(&said));
            }
        }
    }
}

fn label(said: &Said) -> Value {
    match (said.get("high"), said.get("low")) {
        (Some(1.0), _) => json!("High"),
        (_, Some(1.0)) => json!("Low"),
        (Some(_), _) => json!("Pass"),
        _ => Value::Null,
    }
}

/// The binnings of which the reference speaks: the one without a bin below, and the default where it has none either.
fn binnings(data: &Data, bins: usize) -> Vec<&'static str> {
    let lowest =
        Edges::from_sorted(&data.sorted_a, bins).and_then(|edges| edges.lowest(|edge| data.sorted_a[0] < edge));
    let below = lowest.map_or(0, |lowest| data.b.iter().filter(|x| **x < lowest).count());
    if below >= 5 { vec!["quantile-merged"] } else { vec!["quantile-merged", "quantile"] }
}

fn psi(case: &mut Case, data: &Data) {
    let variants: Vec<String> =
        case.peek("/psi").and_then(Value::as_object).map_or_else(Vec::new, |v| v.keys().cloned().collect());
    for name in variants {
        let at = format!("/psi/{name}");
        let bins = name.strip_prefix("quantile_").and_then(|n| n.split('_').next()?.parse::<usize>().ok());
        let eps = case.input(&format!("{at}/eps")).and_then(number);
        let (Some(bins), Some(eps)) = (bins, eps) else {
            case.note("psi", format!("{at}: unknown variant"));
            continue;
        };
        for binning in binnings(data, bins) {
            let said = data.ask(json!({"test": "psi", "binning": binning, "bins": bins, "empty": eps}));
            case.number("psi", &format!("{at}/psi"), said.get("value"), STATISTIC);
        }
        let Some(edges) = Edges::from_sorted(&data.sorted_a, bins) else {
            case.note("psi", format!("{at}: no edges"));
            continue;
        };
        case.numbers("psi", &format!("{at}/edges"), edges.edges(), STATISTIC);
        case.equal("psi", &format!("{at}/counts_ref"), edges.count(&data.a));
        case.equal("psi", &format!("{at}/counts_cur"), edges.count(&data.b));
    }
}

fn shares(case: &mut Case, data: &Data) {
    for binning in binnings(data, 10) {
        for (name, base) in [("e", std::f64::consts::E), ("2", 2.0)] {
            let said = data.ask(json!({"test": "jensen-shannon", "binning": binning, "bins": 10, "base": base}));
            let at = |what: &str| format!("/js_decile_bins/{what}_base_{name}");
            case.number("jensen-shannon", &at("distance"), said.get("distance"), STATISTIC);
            case.number("jensen-shannon", &at("divergence"), said.get("divergence"), STATISTIC);
        }
        for (test, at) in [("hellinger", "/hellinger_decile_bins"), ("total-variation", "/tvd_decile_bins")] {
            let said = data.ask(json!({"test": test, "binning": binning, "bins": 10}));
            case.number(test, at, said.get("distance"), STATISTIC);
        }
    }
}

fn table(case: &mut Case, data: &Data) {
    if case.peek("/chi2_decile_bins").is_none() {
        return;
    }
    for binning in binnings(data, 10) {
        let ask = |form: &str| data.ask(json!({"test": "chi-squared", "form": form, "binning": binning, "bins": 10}));
        let (pearson, g) = (ask("contingency"), ask("g"));
        let at = |what: &str| format!("/chi2_decile_bins/{what}");
        case.number("chi-squared", &at("chi2"), pearson.get("statistic"), STATISTIC);
        case.number("chi-squared", &at("p"), pearson.get("p"), P_VALUE);
        case.number("chi-squared", &at("dof"), pearson.get("df"), Within::Exactly);
        case.number("chi-squared", &at("g"), g.get("statistic"), STATISTIC);
        case.number("chi-squared", &at("p_g"), g.get("p"), P_VALUE);
    }
    let at = |what: &str| format!("/chi2_decile_bins/{what}");
    let Some(edges) = Edges::from_sorted(&data.sorted_a, 10) else {
        return case.note("chi-squared", "no edges".to_owned());
    };
    let both = edges.count(&data.a).into_iter().zip(edges.count(&data.b)).filter(|(a, b)| a + b > 0);
    let (a, b): (Vec<u32>, Vec<u32>) = both.unzip();
    case.equal("chi-squared", &at("table"), json!([a, b]));
}

fn mmd(case: &mut Case, data: &Data) {
    let Some(expected) = case.peek("/mmd_rbf").and_then(Value::as_object) else { return };
    let points: Vec<Vec<f64>> = data.a.iter().chain(&data.b).map(|&x| vec![x]).collect();
    let squared = squared_distances(&points);
    let median = median_distance(&squared);
    case.number("mmd", "/mmd_rbf/median_pairwise_distance", median, STATISTIC);
    let labellings = case.peek("/mmd_rbf/permutations").and_then(Value::as_u64).unwrap_or(1);
    // Without a p-value in the reference one draw is enough, and need not be drawn well.
    let ask = |bandwidth: Value| {
        let config = json!({
            "test": "mmd", "bandwidth": bandwidth, "standardise": false, "cap": points.len(), "permutations": labellings
        });
        let test = test(&config).unwrap_or_else(|e| panic!("mmd: {e}"));
        Said { fields: test.fields(), verdict: test.evaluate(&data.a, &data.b, &mut |_| 0) }
    };
    let gamma_of = |h: f64| 1.0 / (2.0 * h * h);
    for name in expected.keys().filter(|name| name.starts_with("gamma_")) {
        let at = |what: &str| format!("/mmd_rbf/{name}/{what}");
        let said = if name == "gamma_median" {
            case.number("mmd", &at("gamma"), median.map(gamma_of), STATISTIC);
            ask(json!("median"))
        } else {
            let gamma = case.input(&at("gamma")).and_then(number).unwrap_or(f64::NAN);
            let said = ask(json!((0.5 / gamma).sqrt()));
            case.number("mmd", &format!("/mmd_rbf/exact_permutation_p_{name}"), said.get("p"), P_VALUE);
            said
        };
        case.number("mmd", &at("mmd2_unbiased"), said.get("mmd2"), STATISTIC);
        // A single row is no verdict, but has a biased estimate.
        let gamma = case.peek(&at("gamma")).and_then(number).unwrap_or(f64::NAN);
        let single = || Gram::new(&squared, data.a.len(), (0.5 / gamma).sqrt()).map(|gram| gram.discrepancy().biased);
        case.number("mmd", &at("mmd2_biased"), said.get("biased").or_else(single), STATISTIC);
    }
    let choose = (0..data.a.len()).fold(1.0, |ways, i| ways * (data.b.len() + i + 1) as f64 / (i + 1) as f64);
    case.number("mmd", "/mmd_rbf/permutations", Some(choose.round()), Within::Exactly);
}

fn moments(case: &mut Case, data: &Data) {
    for (side, values) in [("a", &data.a), ("b", &data.b)] {
        let summary = Summary::of(values);
        case.number("moments", &format!("/moments/mean_{side}"), summary.mean(), STATISTIC);
        case.number("moments", &format!("/moments/var1_{side}"), summary.variance(), STATISTIC);
    }
}

fn quantiles(case: &mut Case, data: &Data, probabilities: &[f64]) {
    for (name, method) in [
        ("linear", Method::Linear),
        ("lower", Method::Lower),
        ("higher", Method::Higher),
        ("nearest", Method::Nearest),
        ("weibull", Method::Weibull),
        ("hazen", Method::Hazen),
        ("median_unbiased", Method::MedianUnbiased),
        ("inverted_cdf", Method::InvertedCdf),
    ] {
        let at = |q: &f64| quantile_by(&data.sorted_a, *q, method).unwrap_or(f64::NAN);
        let got: Vec<f64> = probabilities.iter().map(at).collect();
        case.numbers("quantiles", &format!("/quantiles_a/{name}"), &got, STATISTIC);
    }
}

fn evidently(case: &mut Case, data: &Data) {
    if case.peek("/evidently").is_none() {
        return;
    }
    let at = |what: &str| format!("/evidently/{what}");
    let ask = |test: &str, field: &str| data.ask(json!({"test": test, "binning": "evidently"})).get(field);
    let said = data.ask(json!({"test": "psi", "binning": "evidently", "empty": 1e-4}));
    case.number("psi", &at("psi"), said.get("value"), STATISTIC);
    case.number("jensen-shannon", &at("js_distance_base_e"), ask("jensen-shannon", "distance"), STATISTIC);
    // evidently takes the root of 1 minus a sum of shares: for equal samples 1.5e-8 is what rounding leaves of 0.
    let equal = case.peek(&at("hellinger")).and_then(number).is_some_and(|want| want < 1e-6);
    let within = if equal { Within::Absolute(4e-8) } else { STATISTIC };
    case.number("hellinger", &at("hellinger"), ask("hellinger", "distance"), within);
    let said = data.ask(json!({"test": "psi", "binning": "categories", "empty": 1e-4}));
    case.number("psi", &at("psi_categorical"), said.get("value"), STATISTIC);
    let said = data.ask(json!({"test": "chi-squared", "form": "one-sample", "binning": "categories"}));
    case.number("chi-squared", &at("chisquare_p_categorical"), said.get("p"), P_VALUE);
    let said = data.ask(json!({"test": "wasserstein", "scale": "evidently"}));
    case.number("wasserstein", &at("wasserstein_over_ref_std"), said.get("distance"), STATISTIC);
    let said = data.ask(json!({"test": "mann-whitney", "alternative": "greater"}));
    case.number("mann-whitney", &at("mann_whitney_p_alternative_less"), said.get("p"), P_VALUE);
    // Only a statistic here: the divergence that no detector reports, over evidently's bins.
    let bins = more_distinct_than(&data.a, 20).then(|| {
        let (low, high) = (data.sorted_a[0].min(data.sorted_b[0]), last(&data.sorted_a).max(last(&data.sorted_b)));
        EqualWidth::sturges(data.a.len() + data.b.len(), low, high)
    });
    let counts = match bins.flatten() {
        Some(bins) => {
            case.equal("psi", &at("bins"), bins.bins());
            (bins.count(&data.a), bins.count(&data.b))
        }
        None => categories(&data.sorted_a, &data.sorted_b),
    };
    let filled = |counts: &[u32]| {
        let mut shares = divergence::shares(counts)?;
        divergence::fill_zeros(&mut shares, 1e-4);
        Some(shares)
    };
    let both = filled(&counts.0).zip(filled(&counts.1));
    let kl = both.and_then(|(p, q)| divergence::kullback_leibler(&p, &q));
    case.number("kullback-leibler", &at("kl_ref_cur"), kl, STATISTIC);
}

fn last(values: &[f64]) -> f64 {
    values[values.len() - 1]
}

/// Of the richest case with small samples, every expectation is changed in turn, and each time that must be noticed.
#[test]
fn a_changed_expectation_is_noticed() {
    let (folder, file) = (crate::own_folder(), "two_sample.json");
    let mut document = folder.json(file).expect("a document");
    let cases = document["cases"].as_array_mut().expect("cases");
    cases.retain(|case| case["n"].as_u64() <= Some(150) && case["m"].as_u64() <= Some(150));
    cases.sort_by_key(|case| std::cmp::Reverse(case.to_string().len()));
    cases.truncate(1);
    let wrong = |document: &Value| {
        let mut report = Report::default();
        run(&folder, file, document, &mut report).expect("the samples");
        report.wrong.len()
    };
    assert_eq!(wrong(&document), 0);
    let mut places = Vec::new();
    crate::harness::leaves("/cases", &document["cases"], &mut |at| places.push(at.to_owned()));
    // Inputs and remarks: what they are is not the detectors' doing.
    let input = |at: &str| ["/id", "/note", "/why", "/eps", "/gamma"].iter().any(|end| at.ends_with(end));
    let mut tried = 0;
    for at in places.iter().filter(|at| !input(at)) {
        let mut changed = document.clone();
        let value = changed.pointer_mut(at).expect("a leaf");
        *value = match number(value) {
            Some(x) if x.is_finite() => json!(x * 1.01 + 1e-6),
            _ if value.is_null() || value.is_string() => json!(0.123),
            _ => continue,
        };
        tried += 1;
        assert!(wrong(&changed) > 0, "{at} is not looked at");
    }
    assert!(tried > 50, "only {tried} expectations");
}
