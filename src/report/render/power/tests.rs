//! Renderings of a small analysis.

use super::*;
use crate::event::Verdict;
use crate::report::power::Kind;

fn sample() -> Power {
    let row = |size: f64, found: u64, bound: Bound| Row {
        kind: Kind::Latency,
        size,
        words: format!("latency × {size}"),
        trials: 40,
        found,
        share: crate::stats::proportion::wilson(found, 40, 0.95).expect("a share"),
        median_s: (found >= 20).then_some(32.0),
        p90_s: (found >= 36).then_some(47.0),
        delays_s: vec![32.0; 40],
        bad: 12.5,
        observations: 640.0,
        censored: found < 40,
        bound,
    };
    let best = Bound::Optimum { arl0: 9000.0, at_least: false, observations: 64.0, seconds: 3.2, efficiency: 0.1 };
    let rate = (0.5, Interval { low: 0.1, high: 2.5 });
    let alarms = FalseAlarms { events: 1, rollouts: 40, days: 2.0, per_day: rate, per_rollout: rate, requests: 9000 };
    let rule = |name: &str, rows: Vec<Row>| RulePower {
        rule: name.to_owned(),
        text: "latency.value > 2".to_owned(),
        then: Verdict::Rollback,
        silent: rows.is_empty().then(|| "a coin reads nothing".to_owned()),
        alarms,
        rows,
    };
    Power {
        scenario: "spike".to_owned(),
        policy: "sharp, \"very\"".to_owned(),
        versions: ("v2".to_owned(), "v1".to_owned()),
        setting: Setting {
            stage: 1,
            share: 0.1,
            rate: 200.0,
            scrape: Span::secs(15),
            lag: Span::secs(2),
            labels: Some((Span::secs(180), Span::secs(600))),
            failure_rate: 0.001,
            wrong_rate: 0.2,
            changes: vec![Span::secs(60), Span::secs(125)],
            within: Span::secs(240),
            trials: 40,
            seed: 1,
        },
        rules: vec![rule("slow", vec![row(1.5, 7, Bound::None), row(4.0, 40, best)]), rule("a, coin", Vec::new())],
    }
}

#[test]
fn every_form_says_what_was_found_and_what_was_possible() {
    let power = sample();
    let forms = [
        console_power(&power, &ConsoleOptions::default()),
        power_md(&power, "rollcage power spike.toml"),
        power_svg(&power).expect("drawn"),
    ];
    for form in &forms {
        for part in ["slow", "latency × 4", "no bound", "100 % [91, 100]"] {
            assert!(form.contains(part), "{part} is not in {form}");
        }
    }
    for form in &forms[..2] {
        for part in ["1 false alarm in 40 rollouts: 0.5 [0.1, 2.5] a day", "3.2 s", "10 %", "a coin reads nothing"] {
            assert!(form.contains(part), "{part} is not in {form}");
        }
    }
    assert!(forms[0].lines().all(|line| width(line) <= COLUMNS_MAX), "{}", forms[0]);
}

#[test]
fn tables_are_whole() {
    let power = sample();
    let csv = power_csv(&power);
    let mut lines = csv.lines().map(|line| line.split(',').count());
    let head = lines.next().expect("a head");
    assert!(lines.all(|n| n == head), "{csv}");
    let json = power_json(&power);
    assert_eq!(json["rules"][0]["shifts"][0]["median_s"], Value::Null);
    assert_eq!(json["rules"][0]["shifts"][1]["bound"]["efficiency"], 0.1);
    assert_eq!(power_png(&power).expect("drawn"), power_png(&power).expect("drawn"));
}
