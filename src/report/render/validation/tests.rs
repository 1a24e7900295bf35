//! Holds the renderings of a validation to hand-made comparisons of many shapes.

use super::*;
use crate::report::render::png;
use crate::report::validation::{RunFigures, Subject, validate};
use crate::rng::{Seed, Stream};
use crate::stats::normal;
use crate::time::{SimTime, Span};
use std::collections::BTreeMap;

const COMMAND: &str = "rollcage validate scenarios/silent-corruption.toml --policy balanced --repeats 10 --seed 1";

/// Runs whose spans are those of a silent corruption, `late` seconds later than they should be.
fn side(first: u64, n: u64, late: f64) -> Vec<RunFigures> {
    (first..first + n)
        .map(|seed| {
            let mut stream = Stream::named(Seed(seed), "test", "validation");
            let mut normal = || normal::quantile(stream.uniform());
            let onset = 0.4 + 0.1 * normal();
            let detected = 287.0 + 15.0 * (2.0 * normal()).round() + late;
            let reverted = detected + 30.1 + 0.05 * normal() + late / 5.0;
            let recovered = reverted + 3.0 * normal().abs();
            let wrong = (66_000.0 + 400.0 * normal() + 10.0 * late).round();
            let some = |v: f64| Some(v.max(0.0));
            let values = BTreeMap::from([
                (Quantity::Onset, some(onset)),
                (Quantity::Mttd, some(detected)),
                (Quantity::Decided, some(detected)),
                (Quantity::RevertStarted, some(detected)),
                (Quantity::Reverted, some(reverted)),
                (Quantity::Mttr, some(recovered)),
                (Quantity::MttrFromDetected, some(recovered - detected)),
                (Quantity::BadRequests, some(wrong + 12.0)),
                (Quantity::FailedRequests, some(0.0)),
                (Quantity::LateRequests, some((12.0 + 4.0 * normal()).round())),
                (Quantity::WrongRequests, some(wrong)),
            ]);
            RunFigures { seed, values, early: false }
        })
        .collect()
}

/// A run turned back before its fault.
fn turned(mut run: RunFigures) -> RunFigures {
    run.values.retain(|quantity, _| !quantity.is_span());
    RunFigures { early: true, ..run }
}

fn subject() -> Subject {
    Subject {
        scenario: "silent-corruption".to_owned(),
        policy: "balanced".to_owned(),
        fault: Some("v2: signs of 3 % of the weights, behind the digest check".to_owned()),
        horizon: SimTime::ZERO + Span::secs(1_800),
    }
}

fn causes() -> Vec<Cause> {
    let cause = |name: &str, what: &str, modelled_s: f64, live: &[f64]| Cause {
        name: name.to_owned(),
        what: what.to_owned(),
        modelled_s,
        live: live.to_vec(),
    };
    vec![
        cause("scrape jitter", "between two looks of the policy", 15.0, &[15.0, 15.02, 14.99, 15.31]),
        cause("order to effect", "from an order to the router's new weights", 0.02, &[0.004, 0.011, 0.006]),
        cause("late sending", "later than intended", 0.0, &[0.000_123, 0.000_456, 0.000_789, 0.012]),
        cause("process start", "from fetch to ready", 8.5, &[9.1, 9.4, 8.9]),
        cause("artifact load", "building the session", 1.0, &[]),
    ]
}

fn settings() -> Vec<Setting> {
    let setting = |name: &str, samples, declared_s, measured_s, used| Setting {
        name: name.to_owned(),
        samples,
        declared_s,
        measured_s,
        used,
    };
    vec![
        setting("service time of v1, median", 8_112, 0.006, Some(0.0041), Used::Measured),
        setting("service time of v2, median", 88, 0.006, Some(0.004), Used::Declared),
        setting("service time of v3, median", 7, 0.006, Some(0.003), Used::Pooled { samples: 8_207, value_s: 0.0042 }),
        setting("start: load", 0, 1.0, None, Used::Declared),
    ]
}

fn sample() -> Validation {
    validate(subject(), &side(100, 200, 0.0), &side(1, 10, 6.0), causes(), settings())
}

/// Validations that renderings must survive, by name.
fn shapes() -> Vec<(&'static str, Validation)> {
    let with =
        |simulated: &[RunFigures], live: &[RunFigures]| validate(subject(), simulated, live, causes(), settings());
    let every = |runs: Vec<RunFigures>, change: fn(u64, Quantity, Option<f64>) -> Option<f64>| -> Vec<RunFigures> {
        let changed = |run: RunFigures| RunFigures {
            values: run.values.iter().map(|(&q, &v)| (q, change(run.seed, q, v))).collect(),
            ..run
        };
        runs.into_iter().map(changed).collect()
    };
    let some_never = |seed: u64, q: Quantity, v: Option<f64>| {
        v.filter(|_| !(q.is_span() && seed.is_multiple_of(4) && q >= Quantity::Mttd))
    };
    let never = |_, q: Quantity, v: Option<f64>| v.filter(|_| !q.is_span());
    let equal = |_, q: Quantity, _| Some(if q.is_span() { 45.0 } else { 1_000.0 });
    let zero = |_, _, _| Some(0.0);
    let mut long = sample();
    long.subject.scenario = "a-scenario-with-a-name-that-is-rather-long-for-any-heading-and-goes-on".to_owned();
    long.subject.policy = "a-policy-with-a-name-that-is-long <b>&\"quoted\"| and odd".to_owned();
    long.subject.fault = Some("x".repeat(300));
    for cause in &mut long.causes {
        cause.name = format!("{} with quite a few more words than fit", cause.name);
    }
    let mut free = sample();
    free.subject.fault = None;
    free.rows.retain(|row| !matches!(row.quantity, Quantity::Onset | Quantity::Mttr | Quantity::MttrFromDetected));
    let mut counts = sample();
    counts.rows.retain(|row| !row.quantity.is_span());
    let mut bare = sample();
    bare.rows.clear();
    bare.causes.clear();
    bare.settings.clear();
    let early = every(side(100, 200, 0.0), |_, _, v| v).into_iter().chain(side(1_000, 40, 0.0).into_iter().map(turned));
    let early_live = || side(1, 4, 0.0).into_iter().chain(side(5, 3, 0.0).into_iter().map(turned)).collect::<Vec<_>>();
    let all_early: Vec<_> = early_live().into_iter().map(turned).collect();
    let early: Vec<_> = early.collect();
    vec![
        ("early", with(&early, &early_live())),
        ("all early", with(&early, &all_early)),
        ("nothing but early", with(&side(100, 200, 0.0).into_iter().map(turned).collect::<Vec<_>>(), &all_early)),
        ("many", with(&side(1_000, 2_000, 0.0), &side(1, 900, 0.0))),
        ("sample", sample()),
        ("right", with(&side(100, 200, 0.0), &side(1, 30, 0.0))),
        ("wrong", with(&side(100, 200, 0.0), &side(1, 10, 120.0))),
        ("one repeat", with(&side(100, 200, 0.0), &side(1, 1, 0.0))),
        ("one trial", with(&side(100, 1, 0.0), &side(1, 10, 0.0))),
        ("no live", with(&side(100, 200, 0.0), &[])),
        ("some never", with(&every(side(100, 200, 0.0), some_never), &every(side(1, 12, 0.0), some_never))),
        ("never", with(&every(side(100, 200, 0.0), never), &every(side(1, 12, 0.0), never))),
        ("equal", with(&every(side(100, 200, 0.0), equal), &every(side(1, 12, 0.0), equal))),
        ("zero", with(&every(side(100, 200, 0.0), zero), &every(side(1, 12, 0.0), zero))),
        ("long", long),
        ("no fault", free),
        ("counts", counts),
        ("bare", bare),
    ]
}

fn shape(wanted: &str) -> Validation {
    shapes().into_iter().find(|(name, _)| *name == wanted).expect("a shape").1
}

fn terminal(validation: &Validation) -> String {
    let options = ConsoleOptions { color: false, out_dir: Some("reports/x"), reproduce: Some(COMMAND) };
    console_validation(validation, &options)
}

#[test]
fn the_terminal_fits_whatever_came_out() {
    for (name, validation) in shapes() {
        let text = terminal(&validation);
        assert!(text.lines().count() <= LINES_MAX, "{name}:\n{text}");
        for line in text.lines() {
            assert!(width(line) <= COLUMNS_MAX && line.trim_end() == line, "{name}: {line}");
            assert!(!(line.contains("simulator is right") && line.contains('…')), "{name}: {line}");
        }
        let turned = name.contains("early");
        assert_eq!(text.contains("turned back before the fault: simulated "), turned, "{name}:\n{text}");
    }
    let text = terminal(&sample());
    for part in [
        "silent-corruption · policy balanced",
        "10 live runs · 200 simulated trials",
        "simulated (90 %)",
        "detected (MTTD)",
        "not calibrated: service time of v2, start; by all versions together: service time of v3\n",
        "late sending          0                      0.000623 / 0.012 / 0.012",
        "scrape jitter",
        "validation.png",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    // Of 11 rows of 10, those of the onset and the late ones are not predicted.
    assert!(text.contains(" of 90 live values inside; at least about 81 if the simulator is right.\n"), "{text}");
    assert!(!text.contains("artifact load"), "a cause that nobody saw is not told\n{text}");
    let early = terminal(&shape("early"));
    assert!(early.contains("turned back before the fault: simulated 40 of 240, live 3 of 7\n"), "{early}");
}

#[test]
fn values_are_told_in_three_digits_and_gaps_with_their_sign() {
    assert_eq!([0.0, 0.0004, 0.153, 4.7, 47.0, 287.4].map(seconds), ["0", "0.000400", "0.153", "4.70", "47.0", "287"]);
    assert_eq!(value(Quantity::BadRequests, 66_012.5), "66 013");
    assert_eq!(value(Quantity::Mttr, f64::INFINITY), "never");
    let of = |simulated: f64, live: f64| {
        let run =
            |seed, v| vec![RunFigures { seed, values: BTreeMap::from([(Quantity::Mttd, Some(v))]), early: false }];
        gap(&validate(subject(), &run(1, simulated), &run(2, live), vec![], vec![]).rows[0])
    };
    assert_eq!((of(287.0, 290.04), of(290.0, 287.0), of(5.0, 5.0)), ("+3.0".into(), "−3.0".into(), "0".into()));
    assert_eq!((of(300.0, 300.4), of(6.0, 6.03)), ("+0.4".into(), "+0.03".into()));
    // What its values do not show is none, and has no sign.
    assert_eq!([of(300.0, 300.01), of(6.000_4, 6.0), of(0.153_2, 0.153), of(0.0, 0.000_4)], ["0"; 4]);
    let never = shape("never");
    assert_eq!(gap(never.row(Quantity::Mttr).expect("a row")), "–");
}

#[test]
fn the_page_tells_table_causes_making_and_command() {
    for (name, validation) in shapes() {
        let text = validation_md(&validation, COMMAND);
        for part in ["# ", "## Table", "## Causes of gaps", "## How it was made", "## Run again", COMMAND] {
            assert!(text.contains(part), "{name}: {part}");
        }
        // Every table has as many cells in each row as in its head.
        for table in text.split("\n\n").filter(|block| block.starts_with('|')) {
            let cells = |line: &str| line.replace("\\|", "").matches('|').count();
            let head = table.lines().next().map(cells);
            assert!(table.lines().all(|line| Some(cells(line)) == head), "{name}:\n{table}");
        }
    }
    let vague = validation_md(&shape("some never"), COMMAND);
    assert!(vague.contains("**not predicted**") && vague.contains("never"), "{vague}");
    let text = validation_md(&sample(), COMMAND);
    assert!(text.contains("| service time of v2, median | 0.006 | 0.004 | 88 | **declared** |"), "{text}");
    assert!(text.contains("| 0.003 | 7 | **all versions together**: 0.004, of 8 207 |"), "{text}");
    assert!(text.contains("`factor` of a `latency-spike` multiplies all of it; live,"), "{text}");
    assert!(text.contains("| late sending | 0 | 0.000623 | 0.012 | 0.000123 to 0.012 | 4 |"), "{text}");
    assert!(text.contains("Runs turned back before the fault: simulated 0 of 200, live 0 of 10."), "{text}");
    let early = validation_md(&shape("early"), COMMAND);
    assert!(early.contains("Runs turned back before the fault: simulated 40 of 240, live 3 of 7."), "{early}");
    assert!(
        !validation_md(&shape("no fault"), COMMAND).contains("turned back before"),
        "there is nothing to be before"
    );
}

#[test]
fn the_table_of_values_and_the_object_hold_every_value() {
    for (name, validation) in shapes() {
        let text = validation_csv(&validation);
        let mut reader = ::csv::ReaderBuilder::new().from_reader(text.as_bytes());
        assert_eq!(reader.headers().expect("a head"), vec!["quantity", "side", "seed", "value"]);
        let rows: Vec<_> = reader.records().map(|row| row.expect("four cells")).collect();
        let values = |row: &Row| row.simulated.len() + row.live.len();
        assert_eq!(rows.len(), validation.rows.iter().map(values).sum::<usize>(), "{name}");
        assert!(rows.iter().all(|row| row[3].parse::<f64>().is_ok_and(|v| v >= 0.0)), "{name}");
        let json = validation_json(&validation);
        let quantities = json["quantities"].as_array().expect("a list");
        assert_eq!(quantities.len(), validation.rows.len());
        for (told, row) in quantities.iter().zip(&validation.rows) {
            assert_eq!(told["live"]["values"].as_array().map(Vec::len), Some(row.live.len()));
            assert_eq!(told["simulated"]["values"].as_array().map(Vec::len), Some(row.simulated.len()));
        }
    }
    let early = validation_json(&shape("early"));
    let turned = &early["turned_back_before_the_fault"];
    assert_eq!((&turned["simulated"], &turned["simulated_of"]), (&json!(40), &json!(240)));
    assert_eq!((&turned["live"], &turned["live_of"]), (&json!(3), &json!(7)));
    assert!(validation_json(&shape("no fault"))["turned_back_before_the_fault"].is_null());
    let calibration = &early["calibration"];
    assert_eq!((&calibration[2]["used"], &calibration[2]["used_s"]), (&json!("all-versions"), &json!(0.0042)));
    assert_eq!(calibration[1]["used_s"], calibration[1]["declared_s"]);
    let mut crowd = sample();
    crowd.causes[0].live = vec![0.5; VALUES_MAX + 1];
    let causes = &validation_json(&crowd)["causes"];
    assert!(causes[0]["live"]["values"].is_null() && causes[0]["live"]["p99"] == 0.5, "{causes:#}");
    assert_eq!(causes[1]["live"]["values"].as_array().map(Vec::len), Some(3));
    let text = validation_csv(&shape("never"));
    assert!(text.contains("mttd,live,1,inf"), "{text:.200}");
    let json = validation_json(&shape("some never"));
    let mttd = json["quantities"].as_array().and_then(|q| q.iter().find(|q| q["quantity"] == "mttd")).expect("a row");
    assert!(mttd["simulated"]["high"].is_null() && mttd["simulated"]["never"] == 50, "{mttd:#}");
}

#[test]
fn pictures_are_sound_whatever_came_out_and_say_what_is_inside() {
    for (name, validation) in shapes() {
        let svg = validation_svg(&validation).expect("draws");
        assert!(svg.starts_with("<svg width=\"1280\"") && svg.trim_end().ends_with("</svg>"), "{name}");
        assert!(!svg.contains("NaN") && !svg.contains("inf "), "{name}");
        let (width, height, pixels) = png::decode(&validation_png(&validation).expect("draws")).expect("a PNG");
        assert!(width == 1280 && height > 200 && pixels.iter().any(|&byte| byte < 100), "{name}");
    }
    let validation = sample();
    let svg = validation_svg(&validation).expect("draws");
    for row in validation.rows.iter().filter(|row| row.quantity.is_span()) {
        assert!(svg.contains(&format!("{} inside", inside(row))), "{:?}", row.quantity);
    }
    for part in ["10 live runs against 200 simulated trials", "policy balanced", "detected (MTTD)", "signs of 3 %"] {
        assert!(svg.contains(part), "{part}");
    }
    assert!(validation_svg(&shape("some never")).expect("draws").contains("not predicted"));
    // A mark for each live value or crowd of them, and a diamond for each outside.
    let discs = |svg: &str| svg.matches("<circle").count();
    assert!(
        discs(&validation_svg(&shape("right")).expect("draws"))
            > discs(&validation_svg(&shape("no live")).expect("draws"))
    );
}
