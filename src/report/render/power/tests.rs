//! Renderings of a small analysis.

use super::*;
use crate::event::Verdict;
use crate::report::power::{Ceiling, Kind, Optimum};

fn sample() -> Power {
    let row = |size: f64, found: u64, optimum: Option<Optimum>, ceiling: Option<Ceiling>| Row {
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
        optimum,
        ceiling,
    };
    let best = Optimum { arl0: 9000.0, observations: 64.0, seconds: 3.2, efficiency: 0.1 };
    let points = vec![CeilingPoint { within_s: 1.5, alarm: 0.03, found: 0.4 }];
    let ceiling = Ceiling { points, median_s: Some(1.5) };
    let rate = Some((0.5, Interval { low: 0.1, high: 2.5 }));
    let (before, events, rollouts) = (2, 1, 40);
    let alarms = FalseAlarms { before, events, rollouts, days: 2.0, per_day: rate, per_rollout: rate, requests: 9000 };
    let still = Still { trials: 40, fired: 1, share: Interval { low: 0.0, high: 0.13 } };
    let rule = |name: &str, rows: Vec<Row>| RulePower {
        rule: name.to_owned(),
        text: "latency.value > 2".to_owned(),
        then: Verdict::Rollback,
        silent: rows.is_empty().then(|| "a coin reads nothing".to_owned()),
        alarms,
        still,
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
        rules: vec![
            rule(
                "slow",
                vec![row(1.5, 7, None, None), row(2.0, 40, None, Some(ceiling)), row(4.0, 40, Some(best), None)],
            ),
            rule("a, coin", Vec::new()),
        ],
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
        for part in ["slow", "latency × 4", "no bound", "0.5 [0.1, 2.5] a day"] {
            assert!(form.contains(part), "{part} is not in {form}");
        }
    }
    for form in &forms[..2] {
        for part in [
            "1 false alarm in 40 rollouts (2 more fired before the stage): 0.5 [0.1, 2.5] a day",
            "3.2 s",
            "100 % [91, 100]",
            "≥ 10 %",
            "> 1.5 s",
            "nothing shifts",
            "2 % [0, 13]",
            "a coin reads nothing",
        ] {
            assert!(form.contains(part), "{part} is not in {form}");
        }
    }
    for part in ["false alarms: 1 in 40 rollouts", ">found<", ">18 %<", ">100 %<", "watched for"] {
        let lines: String = forms[2].lines().map(str::trim).collect();
        assert!(lines.contains(part), "{part} is not in the picture: {lines}");
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
    assert_eq!(json["rules"][0]["shifts"][2]["optimum"]["efficiency"], 0.1);
    assert_eq!(json["rules"][0]["shifts"][1]["ceiling"]["by_time"][0]["found"], 0.4);
    assert_eq!(power_png(&power).expect("drawn"), power_png(&power).expect("drawn"));
}
