//! Holds the renderings to hand-made reports: what each says, what it leaves out, and what it looks like to the byte.

use super::sample::{at, incident, sample, shapes};
use super::*;
use crate::event::Event;
use crate::id::SignalId;
use crate::report::aggregate::{Aggregate, TrialFigures, aggregate};
use crate::report::trial::{ExpectationVerdict, RequestCounts};
use serde_json::Value;

const COMMAND: &str = "rollcage run scenarios/silent-corruption.toml --policy balanced --seed 7";

fn lines(report: &TrialReport, color: bool) -> Vec<String> {
    let options = ConsoleOptions { color, out_dir: Some("reports/x-7"), reproduce: Some(COMMAND) };
    console(report, &options).lines().map(str::to_owned).collect()
}

#[test]
fn the_console_fits_whatever_happened() {
    for (name, report) in shapes() {
        let lines = lines(&report, false);
        assert!(lines.len() <= LINES_MAX, "{name}: {} lines\n{}", lines.len(), lines.join("\n"));
        for line in &lines {
            assert!(line.chars().count() <= COLUMNS_MAX, "{name}: {line}");
            assert_eq!(line.trim_end(), line, "{name}: nothing but text at the end of a line");
        }
    }
}

#[test]
fn the_console_tells_the_story() {
    let text = lines(&sample(), false).join("\n");
    for part in [
        "silent-corruption · policy balanced · seed 7",
        "06:00.000  injected   v2: exponent bits",
        "06:00.412  onset",
        "(5 % of traffic on v2)",
        "score-drift: KS 0.31, p 2e-9",
        "MTTD 3 min 15 s",
        "rollback to v1, by rule score-drift",
        "v2 → v1, 2 steps",
        "last answer of v2; all 6 replicas answer with sha256:3bfc…",
        "MTTR 4 min 30 s",
        "outcome    recovered",
        "1 204 bad because of it · 1 100 users hurt · 96 310 avoided · 0 caused by the policy",
        "✓ mttd p90 <= 4m (3 min 15 s)",
        "written    reports/x-7/",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains("reproduce"), "nothing failed");
}

#[test]
fn a_missed_expectation_ends_with_the_line_that_reproduces_it() {
    let missed = shapes().into_iter().find(|(name, _)| *name == "missed").unwrap().1;
    let lines = lines(&missed, false);
    assert_eq!(lines.last().unwrap(), &format!("  reproduce: {COMMAND}"));
    let text = lines.join("\n");
    assert!(text.contains("never, within 34 min") && text.contains("✗ outcome recovered (missed)"), "{text}");
}

#[test]
fn colours_add_nothing_but_colours() {
    for (name, report) in shapes() {
        let colored = lines(&report, true).join("\n");
        let mut plain = String::new();
        let mut rest = colored.as_str();
        while let Some((text, code)) = rest.split_once('\u{1b}') {
            plain.push_str(text);
            rest = code.split_once('m').unwrap().1;
        }
        plain.push_str(rest);
        let trimmed: Vec<&str> = plain.lines().map(str::trim_end).collect();
        assert_eq!(trimmed, lines(&report, false), "{name}");
    }
}

#[test]
fn the_json_keeps_its_contract() {
    const KEYS: [&str; 26] = [
        "scenario",
        "policy",
        "seed",
        "outcome",
        "mttd_s",
        "mttr_s",
        "censored",
        "requests",
        "bad_requests",
        "harm_suffered",
        "harm_avoided",
        "lost_requests",
        "trace_digest",
        "digests",
        "trace_events",
        "sim_s",
        "incidents",
        "expectations",
        "segments",
        "rollbacks",
        "policy_harm",
        "joint_harm",
        "budget_spent",
        "host",
        "rollout",
        "horizon_s",
    ];
    for (name, report) in shapes() {
        let json = summary_json(&report);
        let object = json.as_object().unwrap();
        for key in KEYS {
            assert!(object.contains_key(key), "{name}: {key}");
        }
        for key in ["exogenous", "inference", "decisions", "streams"] {
            assert!(json["digests"].get(key).is_some(), "{key}");
        }
        for key in ["wall_s", "requests_per_s", "reference_runs", "rows_inferred", "jobs"] {
            assert!(json["host"].get(key).is_some(), "{key}");
        }
        assert_eq!(json["incidents"].as_array().unwrap().len(), report.incidents.len());
    }
    let json = summary_json(&sample());
    assert_eq!(json["mttd_s"], 195.002);
    assert_eq!(json["mttr_s"], 270.0);
    assert_eq!(json["incidents"][0]["onset"]["at_s"], 360.412);
    assert_eq!(json["incidents"][0]["bad_version"], "v2");
}

#[test]
fn means_leave_the_censored_out_and_count_them() {
    let mut report = sample();
    let mut never = incident();
    (never.detected, never.recovered) = (None, None);
    report.incidents.push(never);
    let json = summary_json(&report);
    assert_eq!((&json["mttd_s"], &json["mttr_s"]), (&Value::from(195.002), &Value::from(270.0)));
    assert_eq!(json["censored"], serde_json::json!({ "of": 2, "mttd": 1, "mttr": 1 }));
    report.incidents.remove(0);
    let json = summary_json(&report);
    assert!(json["mttd_s"].is_null() && json["incidents"][0]["recovered"].is_null());
}

fn many<'a>(reports: &[TrialReport], aggregate: &'a Aggregate) -> Many<'a> {
    let first = &reports[0];
    Many {
        scenario: "silent-corruption",
        policy: "balanced",
        seeds: (1, reports.len() as u64),
        horizon: first.horizon,
        aggregate,
        expectations: &[],
        host: first.host,
    }
}

fn summed(reports: &[TrialReport]) -> Aggregate {
    aggregate(&reports.iter().map(TrialFigures::from).collect::<Vec<_>>())
}

#[test]
fn many_trials_stand_beside_their_aggregate() {
    let reports = [sample(), sample()];
    let sum = summed(&reports);
    let json = summary_many(&many(&reports, &sum), reports.iter().map(summary_json).collect());
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["scenario", "policy", "trials", "aggregate", "host"]);
    assert_eq!(json["trials"].as_array().unwrap().len(), 2);
    let aggregate = &json["aggregate"];
    assert_eq!(aggregate["outcomes"]["recovered"]["count"], 2);
    assert_eq!((&aggregate["mttd_s"]["n"], &aggregate["mttd_s"]["censored"]), (&Value::from(2), &Value::from(0)));
    assert_eq!(aggregate["mttd_s"]["p50"]["value"], 195.002);
}

#[test]
fn the_console_of_many_trials_fits() {
    let all: Vec<TrialReport> = shapes().into_iter().map(|(_, report)| report).collect();
    for reports in [&all[..], &all[..1], &all[1..2], &all[3..4]] {
        let sum = summed(reports);
        let crowd = shapes().into_iter().find(|(name, _)| *name == "crowd").unwrap().1;
        let many = Many { expectations: &crowd.expectations, ..many(reports, &sum) };
        let options = ConsoleOptions { color: false, out_dir: Some("reports/x"), reproduce: Some(COMMAND) };
        let text = console_many(&many, &options);
        assert!(text.lines().count() <= LINES_MAX, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS_MAX), "{text}");
        assert!(text.contains("outcomes"), "{text}");
    }
}

#[test]
fn the_table_of_windows_adds_up_to_the_totals() {
    for (name, report) in shapes() {
        let text = windows_csv(&report);
        let mut reader = ::csv::ReaderBuilder::new().flexible(false).from_reader(text.as_bytes());
        let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let column = |wanted: &str| header.iter().position(|name| name == wanted).unwrap();
        let mut sum = RequestCounts::default();
        let mut rows = 0;
        for row in reader.records() {
            let row = row.unwrap();
            let number = |wanted: &str| row[column(wanted)].parse::<u64>().unwrap();
            sum.requests += number("requests");
            sum.bad += number("bad");
            sum.failed += number("failed");
            sum.late += number("late");
            sum.wrong += number("wrong");
            assert_eq!(number("answered") + number("failed"), number("requests"));
            rows += 1;
        }
        assert_eq!(rows, report.windows.iter().map(|window| window.cells.len()).sum::<usize>(), "{name}");
        if name != "odd" {
            assert_eq!(sum, RequestCounts { lost: 0, ..report.requests }, "{name}");
        }
    }
    let text = windows_csv(&sample());
    let header = text.lines().next().unwrap();
    assert!(header.ends_with("score-drift.d,score-drift.p,score-drift.n"), "{header}");
    // v2 gets no traffic in the first window: nothing measured is not zero.
    assert!(text.lines().nth(2).unwrap().starts_with("0.000,10.000,v2,0.000000,0,0,0,0,0,0,0,,,,,"), "{text:.400}");
}

#[test]
fn every_line_of_events_is_an_object_with_names() {
    for (name, report) in shapes() {
        let text = events_jsonl(&report);
        assert_eq!(text.lines().count(), report.events.len(), "{name}");
        for line in text.lines() {
            let object: Value = serde_json::from_str(line).unwrap();
            assert!(object["event"].is_string() && object["at_s"].is_number(), "{line}");
        }
    }
    let text = events_jsonl(&sample());
    assert!(text.contains(
        r#""at_s":555.002000000,"at":"09:15.002","event":"decided","verdict":"rollback","rules":["score-drift"]"#
    ));
    assert!(text.contains(r#""weights":{"v1":0.875,"v2":0.125}"#));
}

#[test]
fn the_postmortem_has_its_sections() {
    for (name, report) in shapes() {
        let text = incident_md(&report, COMMAND);
        let last = if report.is_live() { "## Run again" } else { "## Reproduce" };
        for part in ["# ", "## What happened", "## Impact", "## What the policy did", "## Measures", last, COMMAND] {
            assert!(text.contains(part), "{name}: {part}");
        }
    }
    let text = incident_md(&sample(), COMMAND);
    assert!(text.contains(
        "**v2 was bad: exponent bits of 0.2 % of the weights, behind the digest check; detected after 3 min 15 s"
    ));
    assert!(
        text.contains("| women |") && text.contains("| 09:15.002 | **Decided: rollback** on `score-drift` |"),
        "{text}"
    );
}

/// Every opened element is closed, and nothing stands in the text that XML would trip over.
fn well_formed(svg: &str) -> bool {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some((text, tag)) = rest.split_once('<') {
        if text.contains('>')
            || text.split('&').skip(1).any(|entity| entity.split_once(';').is_none_or(|(name, _)| name.len() > 5))
        {
            return false;
        }
        let Some((tag, after)) = tag.split_once('>') else { return false };
        if tag.matches('"').count() % 2 != 0 {
            return false;
        }
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = after;
    }
    open.is_empty() && rest.trim().is_empty()
}

#[test]
fn pictures_are_sound_whatever_happened() {
    for (name, report) in shapes() {
        let svg = timeline_svg(&report).unwrap();
        assert!(svg.starts_with("<svg width=\"1400\" height=\"1120\"") && well_formed(&svg), "{name}");
        assert!(!svg.contains("NaN") && !svg.contains("inf "), "{name}");
        let (width, height, pixels) = png::decode(&timeline_png(&report).unwrap()).unwrap();
        assert_eq!((width, height), (1400, 1120));
        assert!(pixels.iter().any(|&byte| byte < 100), "{name}: something is drawn");
    }
}

#[test]
fn pictures_say_what_happened_and_follow_the_report() {
    let (svg, png) = (timeline_svg(&sample()).unwrap(), timeline_png(&sample()).unwrap());
    for part in [
        "v2 was bad",
        "09:15",
        "detected, decided",
        "recovered",
        "v2 (bad)",
        "promised: 60 ms",
        "rule score-drift fails",
    ] {
        assert!(svg.contains(part), "{part}");
    }
    let mut other = sample();
    other.incidents[0].recovered = other.incidents[0].recovered.map(|at| at + crate::time::Span::secs(120));
    assert_ne!(svg, timeline_svg(&other).unwrap());
    assert_ne!(png, timeline_png(&other).unwrap());
}

#[test]
fn the_picture_shows_what_a_rule_reads_and_where_it_turns() {
    let svg = timeline_svg(&sample()).unwrap();
    for part in [
        ">score-drift.p<",
        "rule score-drift: score-drift.p &lt; 0.001",
        ">0.001<",
        ">accuracy.upper<",
        "rule latency: latency.value &gt; 2 * baseline.latency.value",
        "where a rule turns",
    ] {
        assert!(svg.replace('\n', "").contains(part), "{part}");
    }
    // Dashed lines and points follow the limits, the constant one and those that follow the baseline.
    let mut picture = vec![svg.clone()];
    for i in 0..3 {
        let mut other = sample();
        (other.readings[i].limit.factor, other.readings[i].limit.offset) = (1.5, 0.002);
        picture.push(timeline_svg(&other).unwrap());
    }
    for (i, a) in picture.iter().enumerate() {
        assert!(picture[i + 1..].iter().all(|b| a != b), "limit {i} is not drawn");
    }
    // The one look at which the rule began to fail is a dot, even where it is the only one.
    let mut once = sample();
    let fired = at(555_002);
    once.events.retain(|fact| match &fact.event {
        Event::Measured(m) => m.signal != SignalId(2) || fact.at == fired,
        _ => true,
    });
    let dots = |svg: &str| svg.matches("<circle").count();
    let mut none = once.clone();
    none.events.retain(|fact| !matches!(&fact.event, Event::Measured(m) if m.signal == SignalId(2)));
    assert!(dots(&timeline_svg(&once).unwrap()) > dots(&timeline_svg(&none).unwrap()));
}

#[test]
fn a_harm_below_zero_and_a_recovery_before_detection_are_said_to_be_so() {
    let mut report = sample();
    report.harm_suffered = Some(-338);
    report.incidents[0].recovered = Some(at(550_000));
    let md = incident_md(&report, COMMAND);
    assert!(md.contains("| MTTR from detection | already well when detected |") && md.contains("Harm below zero"));
    assert!(lines(&report, false).join("\n").contains("−338 net bad because of it"));
    let md = incident_md(&sample(), COMMAND);
    assert!(md.contains("| MTTR from detection | 1 min 15 s |") && !md.contains("Harm below zero"));
}

#[test]
fn figures_of_the_host_stand_in_the_summary_alone() {
    let mut other = sample();
    (other.host.wall_s, other.host.rows_inferred, other.host.jobs) = (98.7, 1, 64);
    let both = [sample(), other];
    let [a, b] = &both;
    assert_eq!(timeline_svg(a).unwrap(), timeline_svg(b).unwrap());
    assert_eq!(incident_md(a, COMMAND), incident_md(b, COMMAND));
    assert_eq!(windows_csv(a), windows_csv(b));
    assert_eq!(events_jsonl(a), events_jsonl(b));
    let without_host = |report: &TrialReport| {
        let mut json = summary_json(report);
        json.as_object_mut().unwrap().remove("host");
        json.to_string()
    };
    assert_eq!(without_host(a), without_host(b));
}

#[test]
fn a_report_replaces_an_earlier_one_to_the_byte_and_leaves_other_files_alone() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("nested").join("report");
    let read =
        |names: &[&str]| -> Vec<Vec<u8>> { names.iter().map(|name| fs::read(dir.join(name)).unwrap()).collect() };
    let names = write_all(&dir, &sample(), COMMAND, None).unwrap();
    let first = read(&names);
    assert!(first.iter().all(|bytes| !bytes.is_empty()));
    fs::write(dir.join("mine.txt"), "a user's own").unwrap();
    let again = write_all(&dir, &sample(), COMMAND, None).unwrap();
    assert_eq!((read(&again), &again), (first, &names));
    assert_eq!(fs::read_to_string(dir.join("mine.txt")).unwrap(), "a user's own");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), names.len() + 1, "no temporary folder stays");
}

/// All words of a report.
fn words(report: &TrialReport) -> String {
    let text = [
        lines(report, false).join("\n"),
        incident_md(report, COMMAND),
        timeline_svg(report).unwrap(),
        events_jsonl(report),
        windows_csv(report),
        summary_json(report).to_string(),
    ];
    text.join("\n")
}

#[test]
fn a_report_without_reference_runs_claims_nothing_that_only_they_can_show() {
    let shape = |wanted: &str| shapes().into_iter().find(|(name, _)| *name == wanted).unwrap().1;
    // Each is said of the sample or of a shape of it that has reference runs: the test can fail.
    const CLAIMS: [&str; 7] = [
        "fault-free world",
        "because of it",
        "because of the fault",
        "users hurt",
        "avoided · ",
        "Harm suffered",
        "also fire without the fault",
    ];
    let mut coincident = sample();
    coincident.incidents[0].coincident = true;
    let (with, coincident) = (words(&sample()), words(&coincident));
    for claim in CLAIMS {
        assert!(with.contains(claim) || coincident.contains(claim), "{claim}: the test looks for nothing");
        for name in ["alone", "harmless alone", "live"] {
            let text = words(&shape(name));
            assert!(!text.contains(claim), "{name} claims `{claim}`");
        }
    }
    let alone = words(&shape("alone"));
    assert!(alone.contains("harm       not defined: measured without reference runs"), "{alone:.2000}");
    assert!(alone.contains("– harm_avoided >= 4000 (not defined"), "an undefined demand is shown as one");
    assert!(alone.contains("bad share above the level before it") && alone.contains("loss and latency as before it"));
    assert!(words(&shape("harmless alone")).contains("No harm showed"));
}

#[test]
fn a_live_report_says_live_where_a_simulated_one_says_simulated() {
    let live = shapes().into_iter().find(|(name, _)| *name == "live").unwrap().1;
    let (text, other) = (words(&live), words(&sample()));
    for simulated in ["40 min simulated", "40 min of virtual time", "\"driver\":\"simulated\"", "## Reproduce"] {
        assert!(other.contains(simulated) && !text.contains(simulated), "{simulated}");
    }
    for word in ["40 min live", "40 min of real time", "\"driver\":\"live\"", "seed 7 · live", "## Run again"] {
        assert!(text.contains(word) && !other.contains(word), "{word}");
    }
    assert!(!text.contains("simulated") && !text.contains("virtual"));
}

#[test]
fn inconclusive_says_how_many_seeds() {
    let mut report = sample();
    report.expectations[1].verdict = ExpectationVerdict::Inconclusive { seeds: 40 };
    assert!(lines(&report, false).join("\n").contains("? mttd p90 <= 4m (3 min 15 s, needs about 40 seeds)"));
}
