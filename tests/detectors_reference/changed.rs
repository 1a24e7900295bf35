//! The test of the test: a changed expectation of each kind is noticed, in the repository's own folder.

use crate::RUNNERS;
use crate::harness::{Compared, Folder, Report, leaves, number};
use serde_json::Value;

/// Values of which one is changed at a time, by document.
const KINDS: &[(&str, &[&str])] = &[
    (
        "burn_rate.json",
        &[
            "/cases/1/transitions/page_fast/0/0",
            "/cases/1/transitions/ticket/3/0",
            "/cases/2/budget_consumed_of_30d_at_this_volume",
            "/cases/3/burn_rate_last_1h",
            "/tiers/1/factor",
        ],
    ),
    (
        "arl_tables.json",
        &[
            "/cusum/7/arl_two_sided",
            "/cusum/3/arl_one_sided_fir_half",
            "/cusum/20/siegmund_one_sided",
            "/ewma/11/arl_two_sided",
            "/shiryaev_roberts/2/arl_out_of_control_zero_state",
            "/sprt_bernoulli_exact/1/prob_accept_h1",
            "/sprt_bernoulli_exact/4/expected_samples",
        ],
    ),
    (
        "confseq.json",
        &[
            "/boundaries/3/normal_one_sided",
            "/boundaries/8/poly_stitching_vmin10_c1",
            "/boundaries/14/beta_binomial_two_sided",
            "/bernoulli_ci/2/interval/1",
            "/predictable_mixture/4/empbern_lower/20",
            "/predictable_mixture/1/hoeffding_upper/40",
            "/log_mixtures/1/gamma_exponential",
        ],
    ),
    (
        "oracle.json",
        &[
            "/gaussian_mean_shift/6/optimal_worst_mean_delay",
            "/lognormal_latency_scale/3/llr_threshold",
            "/bernoulli_rate_shift/9/arl0",
            "/beta_score_drift/2/optimal_worst_mean_delay",
            "/gaussian_variance_shift/5/kl",
        ],
    ),
    (
        "fairness.json",
        &[
            "/cases/0/by_group/1/fpr",
            "/cases/1/demographic_parity_ratio",
            "/cases/1/equalized_odds_difference",
            "/cases/2/equalized_odds_ratio",
            "/cases/2/y_pred/1",
        ],
    ),
    (
        "paired.json",
        &[
            "/cases/0/t_ci95/0",
            "/cases/0/sign_flip_exact_p_mean",
            "/cases/1/bca_ci95_B100000/0",
            "/cases/2/percentile_ci95_B100000/1",
            "/cases/2/wilcoxon_pratt_approx/p",
            "/cases/3/wilcoxon_exact/p",
            "/cases/4/exact_bootstrap/z0_midrank",
            "/multiple_comparison/fdr_by/2",
            "/multiple_comparison/holm-sidak/7",
            "/proportion_ci95/1/jeffreys/0",
            "/two_proportion_difference_ci95_p1_minus_p2/0/newcombe/0",
            "/two_proportion_difference_ci95_p1_minus_p2/2/score/1",
            "/mcnemar/0/chi2_cc",
        ],
    ),
    (
        "survival.json",
        &[
            "/cases/0/km_surv/4",
            "/cases/0/km_median",
            "/cases/1/km_median",
            "/cases/1/rmst_se_greenwood",
            "/logrank/logrank_p",
        ],
    ),
];

/// Values of one case that are changed one at a time.
const VALUES: usize = 8;

/// For each detector and each pair of samples: values are changed by a hundred thousandth, beyond every tolerance there.
#[test]
fn a_change_just_beyond_the_tolerance_is_noticed() {
    let folder = crate::own_folder();
    let mut changed = 0;
    for file in ["stream.json", "two_sample.json"] {
        let whole = folder.json(file).expect("a document");
        let (_, runner) = RUNNERS.iter().find(|(format, _)| whole["format"] == *format).expect("a runner");
        let mut seen: Vec<&Value> = Vec::new();
        for case in whole["cases"].as_array().expect("cases") {
            if seen.contains(&&case["detector"]) && !case["detector"].is_null() {
                continue;
            }
            seen.push(&case["detector"]);
            let run = |case: Value| {
                let mut document = whole.clone();
                document["cases"] = Value::Array(vec![case]);
                let mut report = Report::default();
                let done = runner(&folder, file, &document, &mut report);
                (done.is_ok() && report.wrong.is_empty(), report.compared)
            };
            let (held, compared) = run(case.clone());
            assert!(held, "{file}: {} does not hold", case["id"]);
            for Compared { pointer, .. } in compared.iter().step_by((compared.len() / VALUES).max(1)) {
                let mut other = case.clone();
                let Some(value) = other.pointer_mut(pointer) else { continue };
                let Some(number) = number(value).filter(|x| x.is_finite()) else { continue };
                let whole_number = value.is_u64() || value.is_i64();
                *value = if whole_number { (number as i64 + 1).into() } else { (number * 1.00001 + 1e-9).into() };
                assert!(!run(other).0, "{file}: nobody noticed a changed {pointer} of {}", case["id"]);
                changed += 1;
            }
        }
    }
    assert!(changed > 200, "only {changed} values changed");
}

#[test]
fn what_is_unknown_is_a_failure() {
    let folder = crate::own_folder();
    let mut document = folder.json("stream.json").expect("a document");
    let mut case = document["cases"][0].clone();
    case["detector"] = "oracle-of-delphi".into();
    document["cases"] = Value::Array(vec![case]);
    let report = crate::run(&Folder { changed: Some(("stream.json".to_owned(), document.clone())), ..folder.clone() });
    assert!(report.wrong.iter().any(|w| w.contains("oracle-of-delphi")), "an unknown detector");
    document["format"] = "stream-v99".into();
    let report = crate::run(&Folder { changed: Some(("stream.json".to_owned(), document)), ..folder.clone() });
    assert!(report.wrong.iter().any(|w| w.contains("stream-v99")), "an unknown format");
    let mut document = folder.json("fairness.json").expect("a document");
    document["cases"][0]["surprise"] = 1.0.into();
    let report = crate::run(&Folder { changed: Some(("fairness.json".to_owned(), document)), ..folder });
    assert!(report.wrong.iter().any(|w| w.contains("surprise")), "a value that no one looks at");
}

/// Of each document the values that [`KINDS`] names, and some of all that are compared, each changed by three of its tolerances;
/// inputs by a third.
#[test]
fn a_changed_expectation_is_noticed() {
    let folder = crate::own_folder();
    for (file, pointers) in KINDS {
        let whole = folder.json(file).expect("a document");
        let (_, runner) = RUNNERS.iter().find(|(format, _)| whole["format"] == *format).expect("a runner");
        let run = |document: &Value| {
            let mut report = Report::default();
            let done = runner(&folder, file, document, &mut report);
            (done.is_ok() && report.wrong.is_empty(), report.compared)
        };
        let (held, compared) = run(&whole);
        assert!(held, "{file} does not hold");
        // Compared values know their place in the document, not their path in it.
        let mut paths = Vec::new();
        leaves("", &whole, &mut |at| paths.push(at.to_owned()));
        let within = |path: &str| {
            let place = std::ptr::from_ref(whole.pointer(path)?).addr();
            // Of several comparisons the closest notices first; the last is that of the signal.
            compared.iter().rev().find(|c| c.place == place).map(|c| c.within)
        };
        let all: Vec<&str> = paths.iter().map(String::as_str).filter(|path| within(path).is_some()).collect();
        assert!(all.len() > VALUES, "{file}: {} values compared", all.len());
        for path in all.iter().step_by((all.len() / VALUES).max(1)).chain(*pointers) {
            let mut document = whole.clone();
            let value = document.pointer_mut(path).unwrap_or_else(|| panic!("{file} has no {path}"));
            let Some(want) = number(value).filter(|x| x.is_finite()) else { continue };
            let whole_number = value.is_u64() || value.is_i64();
            let changed = within(path).map_or(want * 1.3 + 0.01, |within| within.beyond(want));
            *value = if whole_number && changed.fract() == 0.0 { (changed as i64).into() } else { changed.into() };
            assert!(!run(&document).0, "{file}: nobody noticed a changed {path}");
        }
    }
}
