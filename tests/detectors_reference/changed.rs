//! The test of the test: a changed expectation of each kind is noticed, in the repository's own folder.

use crate::RUNNERS;
use crate::harness::{Folder, Report, number};
use std::path::Path;

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

#[test]
fn a_changed_expectation_is_noticed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference");
    let folder = Folder { root, changed: None };
    for (file, pointers) in KINDS {
        for pointer in *pointers {
            let mut document = folder.json(file).expect("a document");
            let value = document.pointer_mut(pointer).unwrap_or_else(|| panic!("{file} has no {pointer}"));
            *value = (number(value).expect("a number") * 1.3 + 0.01).into();
            let (_, runner) = RUNNERS.iter().find(|(format, _)| document["format"] == *format).expect("a runner");
            let mut report = Report::default();
            let done = runner(&folder, file, &document, &mut report);
            assert!(done.is_err() || !report.wrong.is_empty(), "{file}: nobody noticed a changed {pointer}");
        }
    }
}
