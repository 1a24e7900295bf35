//! Owns an example of each kind of signal: what `rollcage explain` shows, as a policy file has it.

/// A kind, the lines of a signal of it, and what a rule on it says, where `NAME` is the signal.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("latency-quantile", "quantile = 0.99\nwindow = \"60s\"", "NAME.value > 1.5 * baseline.NAME.value"),
    ("error-rate", "window = \"60s\"\nconfidence = 0.999", "NAME.lower > 0.01"),
    (
        "burn-rate",
        "slo = 0.999\nslower_than = \"60ms\"\nlong = \"1h\"\nshort = \"5m\"\nfactor = 14.4",
        "NAME.ratio > 1",
    ),
    ("saturation", "of = \"cpu\"\nwindow = \"60s\"", "NAME.value > 0.8"),
    (
        "data-quality",
        "defect = \"out-of-range\"\nof = \"features\"\nwindow = \"60s\"\nreference = { first = \"5m\" }",
        "NAME.lower > 0.01",
    ),
    ("accuracy", "window = { labels = 2000 }\nmin = 300\nconfidence = 0.99", "NAME.upper < baseline.NAME.lower"),
    ("f1", "window = { labels = 2000 }\nmin = 300\nthreshold = 0.5", "NAME.upper < baseline.NAME.lower"),
    ("auc", "window = { labels = 2000 }\nmin = 300", "NAME.upper < baseline.NAME.lower"),
    ("calibration", "window = { labels = 2000 }\nmin = 300", "NAME.lower > baseline.NAME.upper"),
    (
        "performance-estimate",
        "measure = \"accuracy\"\nwindow = \"60s\"\nmin = 300",
        "NAME.upper < baseline.NAME.lower - 0.03",
    ),
    (
        "fairness",
        "disparity = \"demographic-parity\"\nby = \"SEX\"\nwindow = \"3m\"\nmin = 300",
        "NAME.lower > baseline.NAME.upper",
    ),
    ("outcome", "of = \"purchase\"\nwindow = \"10m\"\nmin = 500", "NAME.upper < baseline.NAME.lower"),
    ("ks", "of = \"score\"\nwindow = \"60s\"\nreference = { own = \"2m\" }\nlooks = \"all\"", "NAME.p < 0.01"),
    ("psi", "of = \"features\"\nwindow = \"60s\"\nreference = { first = \"2m\" }\nalpha = 0.001", "NAME.ratio > 1"),
    (
        "jensen-shannon",
        "of = \"score\"\nwindow = \"60s\"\nreference = { own = \"2m\" }\nmin = 500",
        "NAME.distance > 0.1",
    ),
    ("hellinger", "of = \"score\"\nwindow = \"60s\"\nreference = { own = \"2m\" }\nmin = 500", "NAME.distance > 0.1"),
    (
        "total-variation",
        "of = \"score\"\nwindow = \"60s\"\nreference = { own = \"2m\" }\nmin = 500",
        "NAME.distance > 0.15",
    ),
    (
        "wasserstein",
        "of = \"score\"\nwindow = \"60s\"\nreference = { own = \"2m\" }\nmin = 500",
        "NAME.distance > 0.05",
    ),
    ("energy", "of = \"score\"\nwindow = \"60s\"\nreference = { own = \"2m\" }\nmin = 500", "NAME.coefficient > 0.05"),
    ("chi-squared", "of = \"score\"\nbinning = \"quantile\"\nwindow = \"60s\"\nlooks = \"all\"", "NAME.p < 0.01"),
    ("mann-whitney", "of = \"score\"\nwindow = \"60s\"\nconfidence = 0.999", "NAME.upper < -0.05"),
    ("welch", "of = \"score\"\nwindow = \"60s\"\nlooks = \"all\"", "NAME.p < 0.01"),
    ("cramer-von-mises", "of = \"score\"\nwindow = \"60s\"\nlooks = \"all\"", "NAME.p < 0.01"),
    ("anderson-darling", "of = \"score\"\nwindow = \"60s\"\nlooks = \"all\"", "NAME.p < 0.01"),
    ("kayenta", "of = \"score\"\nwindow = \"5m\"\ndirection = \"increase\"\nroot_tolerance = 1e-9", "NAME.high > 0"),
    ("mmd", "of = \"features\"\nwindow = \"60s\"\nmin = 200\npermutations = 999", "NAME.p < 0.002"),
    (
        "cusum",
        "of = \"score\"\nstandardise = { own = \"2m\" }\nmu0 = 0.0\nsigma = 1.0\nk = 0.25\nh = 25.0",
        "NAME.alarm > 0",
    ),
    (
        "ewma",
        "of = \"score\"\nstandardise = { own = \"2m\" }\nmu0 = 0.0\nsigma = 1.0\nlambda = 0.05\nlimit = 5.0",
        "NAME.alarm > 0",
    ),
    (
        "shiryaev-roberts",
        "of = \"score\"\nstandardise = { own = \"2m\" }\nmu0 = 0.0\nmu1 = 0.5\nsigma = 1.0\nthreshold = 1e6",
        "NAME.alarm > 0",
    ),
    ("page-hinkley", "of = \"latency\"\ndelta = 0.002\nthreshold = 3.0", "NAME.alarm > 0"),
    ("adwin", "of = \"wrong\"\ndelta = 1e-4", "NAME.alarm > 0"),
    ("ddm", "of = \"wrong\"\nwarm_start = 1000\nwarning_threshold = 3.0\ndrift_threshold = 5.0", "NAME.alarm > 0"),
    ("eddm", "of = \"wrong\"\nwarm_start = 1000\nalpha = 0.9\nbeta = 0.8", "NAME.alarm > 0"),
    ("hddm-a", "of = \"wrong\"\ndrift_confidence = 1e-5", "NAME.alarm > 0"),
    ("hddm-w", "of = \"wrong\"\ndrift_confidence = 1e-5", "NAME.alarm > 0"),
    ("fhddm", "of = \"wrong\"\nsliding_window_size = 500", "NAME.alarm > 0"),
    ("kswin", "of = \"score\"\nalpha = 1e-6\nwindow_size = 500\nstat_size = 100", "NAME.alarm > 0"),
    ("sprt-bernoulli", "of = \"wrong\"\np0 = 0.18\np1 = 0.25\nalpha = 1e-4", "NAME.alarm > 0"),
    ("sprt-gaussian", "of = \"score\"\nmu0 = 0.5\nmu1 = 0.6\nsigma = 0.3\nalpha = 1e-4", "NAME.alarm > 0"),
    ("msprt", "of = \"score\"\ntheta0 = 0.5\nsigma = 0.3\ntau = 0.1\nalpha = 1e-4", "NAME.alarm > 0"),
    ("e-detector", "of = \"wrong\"\nm = 0.2\nalpha = 1e-6", "NAME.alarm > 0"),
    ("ecdd", "of = \"wrong\"\naverage_run_length = 1000", "NAME.alarm > 0"),
    ("stepd", "of = \"wrong\"\nmin_num_instances = 1000\nalpha_d = 1e-7\nalpha_w = 1e-4", "NAME.alarm > 0"),
    ("rddm", "of = \"wrong\"\nmin_num_instances = 1000\nwarning_level = 3.5\ndrift_level = 5.0", "NAME.alarm > 0"),
    ("frouros-cusum", "of = \"score\"\nlambda = 50.0", "NAME.alarm > 0"),
    ("frouros-page-hinkley", "of = \"score\"\nlambda = 50.0", "NAME.alarm > 0"),
    (
        "confidence-sequence",
        "of = \"wrong\"\nmethod = \"beta-binomial\"\nconfidence = 0.999",
        "NAME.lower > baseline.NAME.upper",
    ),
    ("coin", "share = 0.01", "NAME.heads > 0"),
];

/// The example of a kind, in the form of a policy file: a signal that has the kind's name, and a rule on it.
#[must_use]
pub fn example(kind: &str) -> Option<String> {
    let (_, lines, when) = EXAMPLES.iter().find(|(of, ..)| *of == kind)?;
    let when = when.replace("NAME", kind);
    // A detector that has alarmed begins anew: there is no second look.
    let looks = if when.contains(".alarm") { "" } else { "for = 2\n" };
    // Run lengths of a thousand at most: nothing to turn back on.
    let then = if kind == "ecdd" { "alert" } else { "rollback" };
    Some(format!(
        "[signals.{kind}]\nkind = \"{kind}\"\n{lines}\n\n[[rule]]\nwhen = \"{when}\"\n{looks}then = \"{then}\"\n"
    ))
}
