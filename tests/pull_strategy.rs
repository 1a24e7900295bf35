//! A strategy that pulls fits the controller's five calls: Argo Rollouts' analysis, held to facts from its own test suite
//! and driven through whole runs in virtual time.

use rollcage::control::config::Comparison;
use rollcage::control::strategy::analysis::{AnalysisRun, BadRun, Identity, Metric, mistakes};
use rollcage::control::strategy::analysis_rules::{
    Assessed, Condition, Counters, Effect, Limits, Measurement, MetricResult, Phase, assess_metric, assess_run, effect,
    evaluate_measurement, exceeded, is_terminating, next_measurement,
};
use rollcage::event::{Action, ActionEnd, ActionKind, ActionResult, Answer, Event, Input, Query, QueryResult, Verdict};
use rollcage::id::{ActionId, ControllerId, RuleId, SignalId, VersionId};
use rollcage::time::{SimTime, Span};
use serde_json::Value;

// ---------------------------------------------------------------------------------------------------------------------
// Facts from Argo's test suite

/// Cases that these functions do not cover, and why.
const NOT_COVERED: [(&str, &str); 8] = [
    ("argo-evaluate_measurement-08", "an unknown name in a condition: needs the expression language"),
    ("argo-evaluate_measurement-11", "an unknown name in a condition: needs the expression language"),
    ("argo-evaluate_measurement-12", "an unknown name in a condition: needs the expression language"),
    ("argo-abort_weight-03", "weights while aborting belong to the rollout, not to the analysis"),
    ("argo-abort_weight-04", "weights while aborting belong to the rollout, not to the analysis"),
    ("argo-rollback_window-01", "the rollback window belongs to the rollout, not to the analysis"),
    ("argo-rollback_window-02", "the rollback window belongs to the rollout, not to the analysis"),
    ("argo-rollback_window-06", "the rollback window belongs to the rollout, not to the analysis"),
];

const NOW: SimTime = SimTime(1_000_000_000_000);

#[test]
fn the_rules_agree_with_argos_own_test_suite() {
    let file: Value = serde_json::from_str(include_str!("cases/argo.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let mut left_out = 0;
    for case in cases {
        let (id, kind) = (case["id"].as_str().unwrap(), case["kind"].as_str().unwrap());
        if NOT_COVERED.iter().any(|(not, _)| *not == id) {
            left_out += 1;
            continue;
        }
        let (input, expect) = (&case["input"], &case["expect"]);
        let got = match kind {
            "evaluate_measurement" => evaluate(input),
            "assess_metric" => metric_phase(input, expect),
            "is_worse" => serde_json::json!({"worse": phase(&input["current"]).is_worsened_by(phase(&input["new"]))}),
            "schedule" => schedule(input),
            "next_reconcile" => next_reconcile(input),
            "validate" => validate(input),
            "assess_run" => run_phase(input, expect),
            "is_terminating" => terminating(input),
            "rollout_effect" => rollout_effect(input, expect),
            "reconcile_run" => reconcile(input, expect),
            "reconcile_run_sibling" => sibling(input),
            "terminate_before_first_measurement" => terminated(input),
            "counters" => counted(input, expect),
            unknown => panic!("{id}: the kind {unknown} is not known here"),
        };
        assert_eq!(&got, expect, "{id} ({})", case["source"]);
    }
    assert_eq!((left_out, cases.len() - left_out), (NOT_COVERED.len(), 74), "every case is either held or listed");
}

fn phase(value: &Value) -> Phase {
    match value.as_str().unwrap() {
        "Successful" => Phase::Successful,
        "Running" => Phase::Running,
        "Pending" => Phase::Pending,
        "Inconclusive" => Phase::Inconclusive,
        "Error" => Phase::Error,
        "Failed" => Phase::Failed,
        other => panic!("unknown phase {other}"),
    }
}

fn word(phase: Phase) -> Value {
    format!("{phase:?}").into()
}

fn span(value: &Value) -> Option<Span> {
    let text = value.as_str()?;
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        other => panic!("unknown unit {other}"),
    };
    Some(Span::secs(number.parse::<u64>().unwrap() * seconds))
}

fn limits(value: &Value) -> Limits {
    let default = Limits::default();
    let number = |key: &str, otherwise| value[key].as_i64().unwrap_or(otherwise);
    Limits {
        interval: span(&value["interval"]),
        count: number("count", 0) as u32,
        initial_delay: span(&value["initial_delay"]),
        failure_limit: number("failure_limit", default.failure_limit),
        inconclusive_limit: number("inconclusive_limit", default.inconclusive_limit),
        consecutive_error_limit: number("consecutive_error_limit", default.consecutive_error_limit),
        consecutive_success_limit: number("consecutive_success_limit", default.consecutive_success_limit),
    }
}

fn counters(value: &Value) -> Counters {
    let number = |key: &str| value[key].as_u64().unwrap_or(0) as u32;
    Counters {
        successful: number("successful"),
        failed: number("failed"),
        inconclusive: number("inconclusive"),
        error: number("error"),
        count: number("count"),
        consecutive_error: number("consecutive_error"),
        consecutive_success: number("consecutive_success"),
    }
}

/// A last measurement that ended in `phase` (or runs) at `finished`.
fn last(value: &Value, finished: SimTime) -> Option<Measurement> {
    let phase = if value.is_null() { return None } else { phase(value) };
    let finished = Some(finished).filter(|_| phase.is_final());
    Some(Measurement { phase, started: SimTime::ZERO, finished, message: String::new() })
}

fn ago(seconds: &Value) -> SimTime {
    NOW.minus(Span::secs(seconds.as_u64().unwrap()))
}

fn condition(text: &Value) -> Option<Condition> {
    match text.as_str().unwrap().split_whitespace().collect::<Vec<_>>()[..] {
        [] => None,
        ["true"] => Some(Condition::Constant(true)),
        ["false"] => Some(Condition::Constant(false)),
        ["result" | "result[0]", op, value] => Some(Condition::Compare {
            op: match op {
                ">=" => Comparison::GreaterEqual,
                ">" => Comparison::Greater,
                "<" => Comparison::Less,
                "<=" => Comparison::LessEqual,
                other => panic!("unknown comparison {other}"),
            },
            value: value.parse().unwrap(),
        }),
        ref other => panic!("not expressible: {other:?}"),
    }
}

fn evaluate(input: &Value) -> Value {
    let result = match &input["result"] {
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::String(s) if s == "NaN" => f64::NAN,
        other => panic!("unknown result {other}"),
    };
    let (phase, _) = evaluate_measurement(
        Some(result),
        condition(&input["success_condition"]),
        condition(&input["failure_condition"]),
    );
    serde_json::json!({"phase": word(phase)})
}

fn metric_phase(input: &Value, expect: &Value) -> Value {
    let (limits, counters) = (limits(&input["metric"]), counters(&input["result"]));
    let result = MetricResult {
        counters,
        last: last(&input["last_measurement"], NOW),
        phase: Phase::Running,
        ..Default::default()
    };
    let mut got = serde_json::json!({"phase": word(assess_metric(&limits, &result, input["terminating"] == true))});
    if !expect["message"].is_null() {
        got["message"] = exceeded(&limits, &counters).unwrap().1.into();
    }
    got
}

fn schedule(input: &Value) -> Value {
    let (phase, finished) = (&input["last"]["phase"], &input["last"]["finished_s_ago"]);
    let last = if finished.is_null() { None } else { last(phase, ago(finished)) };
    let count = input["count_done"].as_u64().unwrap_or(0) as u32;
    let result = MetricResult { last, counters: Counters { count, ..Default::default() }, ..Default::default() };
    let started = Some(&input["run_started_s_ago"]).filter(|s| !s.is_null()).map(ago);
    let due = next_measurement(&limits(&input["metric"]), &result, started, NOW);
    serde_json::json!({"measure_now": due.is_some_and(|due| due.has_come(NOW))})
}

fn next_reconcile(input: &Value) -> Value {
    let started = Some(&input["run_started_s_ago"]).filter(|s| !s.is_null()).map(ago);
    let due = input["metrics"].as_array().unwrap().iter().filter_map(|metric| {
        let measured = &metric["last"];
        let last = if measured.is_null() { None } else { last(&measured["phase"], ago(&measured["finished_s_ago"])) };
        next_measurement(&limits(metric), &MetricResult { last, ..Default::default() }, started, NOW)
    });
    let next = due.map(|due| due.instant().since(NOW)).min().unwrap();
    assert_eq!(next.0 % 1_000_000_000, 0);
    serde_json::json!({"in_s": next.0 / 1_000_000_000})
}

fn validate(input: &Value) -> Value {
    let bad = mistakes(&[metric("m", limits(&input["metric"]))]);
    serde_json::json!({"error": bad.first().map(BadRun::to_string)})
}

struct Given {
    name: String,
    limits: Limits,
    dry_run: bool,
    result: MetricResult,
}

fn given(metric: &Value) -> Given {
    let mut result = MetricResult {
        phase: phase(&metric["phase"]),
        counters: counters(metric),
        last: last(&metric["last_measurement"], NOW),
        message: metric["message"].as_str().unwrap_or("").into(),
    };
    if let Some(last) = &mut result.last {
        last.message.clone_from(&result.message);
    }
    // In a run's cases "count" is what was counted.
    let limits = Limits { count: 0, ..limits(metric) };
    Given { name: metric["name"].as_str().unwrap().into(), limits, dry_run: metric["dry_run"] == true, result }
}

fn assess(metrics: &mut [Given]) -> rollcage::control::strategy::analysis_rules::Assessment {
    let assessed = |m: &mut Given| -> Given { Given { name: m.name.clone(), result: m.result.clone(), ..*m } };
    let mut copies: Vec<Given> = metrics.iter_mut().map(assessed).collect();
    let got = assess_run(
        copies.iter_mut().map(|m| Assessed {
            name: &m.name,
            limits: &m.limits,
            dry_run: m.dry_run,
            result: &mut m.result,
        }),
        false,
    );
    metrics.iter_mut().zip(copies).for_each(|(old, new)| *old = new);
    got
}

fn run_phase(input: &Value, expect: &Value) -> Value {
    let mut metrics: Vec<Given> = input["metrics"].as_array().unwrap().iter().map(given).collect();
    let got = assess(&mut metrics);
    let mut out = serde_json::json!({"run_phase": word(got.phase), "message": got.message});
    if !expect["dry_run_summary"].is_null() {
        let s = got.dry_run;
        out["dry_run_summary"] = serde_json::json!({"count": s.count, "successful": s.successful, "failed": s.failed,
            "inconclusive": s.inconclusive, "error": s.error});
    }
    out
}

fn terminating(input: &Value) -> Value {
    let phases = input["metric_phases"].as_array().unwrap().iter().map(phase);
    let dry = input["dry_run"].as_array().unwrap().iter().map(|dry| *dry == Value::Bool(true));
    serde_json::json!({"terminating": is_terminating(false, phases.zip(dry))})
}

fn rollout_effect(input: &Value, expect: &Value) -> Value {
    let effect = effect(phase(&input["phase"])).unwrap();
    let mut got = serde_json::json!({"aborted": effect == Effect::Abort, "paused": effect == Effect::Pause});
    match effect {
        Effect::Pause => {
            got["pause_reason"] = "InconclusiveAnalysisRun".into();
            got["rollout_phase"] = "Paused".into();
        }
        Effect::Abort => got["rollout_phase"] = "Degraded".into(),
        Effect::Proceed => panic!("no case has this: {expect}"),
    }
    got
}

/// One pass over metrics whose provider answers at once.
fn reconcile(input: &Value, expect: &Value) -> Value {
    let metrics = input["metrics"].as_array().unwrap();
    if !metrics[0]["phase"].is_null() {
        let mut metrics: Vec<Given> = metrics.iter().map(given).collect();
        return serde_json::json!({"run_phase": word(assess(&mut metrics).phase)});
    }
    let name = metrics[0]["name"].as_str().unwrap();
    let mut run = start(vec![metric(name, limits(&metrics[0]))], SimTime::ZERO);
    let asked = drive(&mut run, |_, _| (Span::ZERO, series(1.0)), Span::ZERO);
    let (_, result) = run.results().next().unwrap();
    let got = serde_json::json!({"run_phase": word(run.assessment().phase),
        "metric_phases": {name: word(result.phase)}, "measurements": {name: asked.len()}});
    assert_eq!(expect["metric_phases"][name], "Successful");
    got
}

fn sibling(input: &Value) -> Value {
    let running =
        serde_json::json!({"name": input["sibling"]["name"], "phase": "Running", "last_measurement": "Running"});
    let worst = &input["failed_metric_phase"];
    let bad = serde_json::json!({"name": "bad", "phase": worst, "failed": 1, "count": 1, "last_measurement": worst});
    let mut metrics = [given(&running), given(&bad)];
    assert!(is_terminating(false, metrics.iter().map(|m| (m.result.phase, m.dry_run))));
    metrics[0].result.finish(NOW, phase(&input["sibling"]["terminate_returns"]), "Metric Terminated");
    let got = assess(&mut metrics);
    let sibling = &metrics[0].result;
    serde_json::json!({"run_phase": word(got.phase), "sibling_phase": word(sibling.phase),
        "sibling_message": sibling.message, "sibling_measurement_finished": !sibling.is_in_flight()})
}

fn terminated(input: &Value) -> Value {
    let spec = &input["metrics"][0];
    let metric = Metric { success: condition(&spec["success_condition"]), ..metric("m", limits(spec)) };
    let mut run = start(vec![metric], SimTime::ZERO);
    run.handle_timeout(SimTime::ZERO);
    run.terminate(SimTime::ZERO);
    assert_eq!((run.poll_action(), run.poll_timeout()), (None, None));
    serde_json::json!({"run_phase": word(run.assessment().phase), "message": run.assessment().message})
}

fn counted(input: &Value, expect: &Value) -> Value {
    let mut counters = counters(&input["before"]);
    counters.record(phase(&input["measurement"]));
    let all = serde_json::json!({"consecutive_error": counters.consecutive_error, "error": counters.error,
        "count": counters.count});
    assert_eq!(all.as_object().unwrap().len(), expect.as_object().unwrap().len());
    all
}

// ---------------------------------------------------------------------------------------------------------------------
// Whole runs in virtual time

const S: fn(u64) -> Span = Span::secs;

/// Good from 0.9, bad below 0.5.
fn metric(name: &str, limits: Limits) -> Metric {
    Metric {
        name: name.into(),
        query: Query::SuccessRate { version: VersionId(1), window: S(60) },
        success: Some(Condition::Compare { op: Comparison::GreaterEqual, value: 0.9 }),
        failure: Some(Condition::Compare { op: Comparison::Less, value: 0.5 }),
        limits,
        dry_run: false,
        signal: SignalId(3),
        rule: RuleId(5),
    }
}

fn start(metrics: Vec<Metric>, at: SimTime) -> AnalysisRun {
    let identity =
        Identity { controller: ControllerId(2), epoch: 1, first_action: ActionId(10), version: VersionId(1) };
    AnalysisRun::new(metrics, identity, at).unwrap()
}

fn series(value: f64) -> Answer {
    Answer::Series(vec![value])
}

fn error() -> Answer {
    Answer::Error("connection refused".into())
}

/// Drives a run through the five calls until it wants nothing more or virtual time is up. `provider` answers the n-th query
/// a span after it was asked. Returns when each query was asked.
fn drive(run: &mut AnalysisRun, provider: impl Fn(usize, &Action) -> (Span, Answer), horizon: Span) -> Vec<SimTime> {
    let mut asked = Vec::new();
    let mut answers: Vec<(SimTime, QueryResult)> = Vec::new();
    loop {
        let answer = answers.iter().map(|(at, _)| *at).min();
        let Some(now) = [answer, run.poll_timeout()].into_iter().flatten().min() else { return asked };
        if now > SimTime::ZERO + horizon {
            return asked;
        }
        match answers.iter().position(|(at, _)| *at == now) {
            Some(i) => run.handle_input(now, &Input::QueryResult(answers.remove(i).1)),
            None => run.handle_timeout(now),
        }
        while let Some(action) = run.poll_action() {
            assert!(matches!(action.kind, ActionKind::Query(_)));
            let (delay, answer) = provider(asked.len(), &action);
            asked.push(now);
            answers.push((now + delay, QueryResult { action: action.id, answer }));
        }
    }
}

/// Instants to the microsecond: "strictly later" is a nanosecond later.
fn seconds(instants: &[SimTime]) -> Vec<f64> {
    instants.iter().map(|t| (t.as_secs_f64() * 1e6).round() / 1e6).collect()
}

fn every_minute(count: u32) -> Limits {
    Limits { interval: Some(S(60)), count, ..Limits::default() }
}

fn events(run: &mut AnalysisRun) -> Vec<Event> {
    std::iter::from_fn(|| run.poll_event()).collect()
}

#[test]
fn a_good_version_is_measured_count_times_from_the_end_of_each_measurement() {
    let mut run = start(vec![metric("m", every_minute(3))], SimTime::ZERO + S(5));
    let asked = drive(&mut run, |_, _| (S(2), series(0.95)), S(1000));
    assert_eq!(seconds(&asked), [5.0, 67.0, 129.0], "60 s after each answer, which takes 2 s");
    assert_eq!((run.assessment().phase, run.poll_timeout()), (Phase::Successful, None));
    let measured = events(&mut run);
    assert!(measured.iter().all(|e| matches!(e, Event::Measured(m) if m.values == [0.95] && m.signal == SignalId(3))));
    assert_eq!(measured.len(), 3);
}

#[test]
fn more_failures_than_the_limit_roll_back_and_cite_the_rule() {
    let limits = Limits { failure_limit: 2, ..every_minute(0) };
    let mut run = start(vec![metric("m", limits)], SimTime::ZERO);
    let asked = drive(&mut run, |n, _| (Span::ZERO, series(if n % 2 == 0 { 0.95 } else { 0.2 })), S(10_000));
    assert_eq!(asked.len(), 6, "the third failure is the sixth measurement");
    assert_eq!(run.assessment().message, "Metric \"m\" assessed Failed due to failed (3) > failureLimit (2)");
    let events = events(&mut run);
    let [.., Event::RuleFired(fired), Event::Decided(decided)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((decided.verdict, &decided.rules[..]), (Verdict::Rollback, &[RuleId(5)][..]));
    assert_eq!((fired.rule, fired.window), (RuleId(5), S(60)));
    assert_eq!(
        seconds(&[fired.evidence_from, fired.evidence_to]),
        [0.0, 300.0],
        "from the window of the first failure"
    );
}

#[test]
fn five_errors_in_a_row_ten_seconds_apart_are_an_error_and_no_data_is_one_too() {
    for (answer, message) in [
        (error(), "connection refused"),
        (Answer::Empty, "no data returned"),
        (Answer::Series(vec![]), "no data returned"),
    ] {
        let mut run = start(vec![metric("m", every_minute(3))], SimTime::ZERO + S(7));
        let asked = drive(&mut run, |_, _| (Span::ZERO, answer.clone()), S(1000));
        assert_eq!(seconds(&asked), [7.0, 17.0, 27.0, 37.0, 47.0], "retried after 10 s, not after the interval");
        assert_eq!(run.assessment().phase, Phase::Error);
        let why = format!(
            "Metric \"m\" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4): \"Error Message: {message}\""
        );
        assert_eq!(run.assessment().message, why);
        let events = events(&mut run);
        assert!(matches!(&events[0], Event::Measured(m) if m.values[0].is_nan()), "no data is not zero");
        assert!(matches!(events.last(), Some(Event::Decided(d)) if d.verdict == Verdict::Rollback));
    }
}

#[test]
fn errors_interrupted_by_an_answer_never_add_up() {
    let mut run = start(vec![metric("m", every_minute(3))], SimTime::ZERO);
    let asked = drive(&mut run, |n, _| (Span::ZERO, if n % 5 == 4 { series(1.0) } else { error() }), S(1000));
    assert_eq!(run.assessment().phase, Phase::Successful, "four in a row are borne, again and again");
    assert_eq!(seconds(&asked)[3..6], [30.0, 40.0, 100.0], "errors after 10 s, an answer after the interval");
    assert_eq!(asked.len(), 15);
}

#[test]
fn a_value_between_the_conditions_and_nan_halt_the_rollout() {
    for value in [0.7, f64::NAN] {
        let mut run = start(vec![metric("m", every_minute(5))], SimTime::ZERO);
        assert_eq!(drive(&mut run, |_, _| (Span::ZERO, series(value)), S(1000)).len(), 1);
        assert_eq!(run.assessment().phase, Phase::Inconclusive);
        assert!(matches!(events(&mut run).last(), Some(Event::Decided(d)) if d.verdict == Verdict::Halt));
    }
}

#[test]
fn enough_successes_in_a_row_end_a_metric_early() {
    let limits = Limits { failure_limit: -1, consecutive_success_limit: 3, ..every_minute(0) };
    let mut run = start(vec![metric("m", limits)], SimTime::ZERO);
    let asked = drive(&mut run, |n, _| (Span::ZERO, series(if n == 2 { 0.1 } else { 1.0 })), S(1000));
    assert_eq!((asked.len(), run.assessment().phase), (6, Phase::Successful), "good, good, bad, good, good, good");
}

#[test]
fn one_bad_metric_ends_the_run_and_its_siblings_in_flight() {
    let slow = Metric { rule: RuleId(6), ..metric("slow", every_minute(0)) };
    let later = metric("later", Limits { initial_delay: Some(S(600)), ..every_minute(0) });
    let mut run = start(vec![slow, metric("bad", every_minute(0)), later], SimTime::ZERO);
    run.handle_timeout(SimTime::ZERO);
    let [slow, bad] = [run.poll_action().unwrap(), run.poll_action().unwrap()];
    assert_eq!((slow.id, bad.id, bad.controller, bad.epoch), (ActionId(10), ActionId(11), ControllerId(2), 1));
    assert_eq!(run.poll_timeout(), Some(SimTime::ZERO + S(600)), "the delayed metric");
    run.handle_input(SimTime::ZERO + S(1), &Input::QueryResult(QueryResult { action: bad.id, answer: series(0.1) }));
    assert_eq!(run.assessment().phase, Phase::Failed);
    let ended: Vec<(Phase, String)> = run.results().map(|(_, r)| (r.phase, r.message.clone())).collect();
    assert_eq!(ended[0], (Phase::Successful, "Metric Terminated".into()));
    assert_eq!((ended[1].0, ended[2].0), (Phase::Failed, Phase::Pending));
    let slow_counters = run.results().next().unwrap().1.counters;
    assert_eq!((slow_counters.successful, slow_counters.error), (1, 0), "ended by the run, not by a fault");
    let late = run.clone();
    run.handle_input(SimTime::ZERO + S(2), &Input::QueryResult(QueryResult { action: slow.id, answer: series(0.1) }));
    run.handle_timeout(SimTime::ZERO + S(700));
    assert_eq!(run, late, "a late answer and a late timeout change nothing");
    assert!(matches!(events(&mut run).last(), Some(Event::Decided(d)) if d.rules == [RuleId(5)]));
}

#[test]
fn a_dry_run_metric_is_measured_and_decides_nothing() {
    let watched = Metric { dry_run: true, query: Query::Served, ..metric("watched", every_minute(0)) };
    let mut run = start(vec![watched, metric("m", every_minute(3))], SimTime::ZERO);
    let provider = |_, action: &Action| {
        let watched = action.kind == ActionKind::Query(Query::Served);
        (Span::ZERO, series(if watched { 0.1 } else { 1.0 }))
    };
    assert_eq!(drive(&mut run, provider, S(1000)).len(), 4);
    let ended: Vec<(Phase, u32)> = run.results().map(|(_, r)| (r.phase, r.counters.count)).collect();
    assert_eq!(ended, [(Phase::Failed, 1), (Phase::Successful, 3)]);
    let assessment = run.assessment();
    assert_eq!((assessment.phase, assessment.dry_run.failed, assessment.summary.failed), (Phase::Successful, 1, 0));
    assert!(
        events(&mut run).iter().all(|event| matches!(event, Event::Measured(_))),
        "no rule fires, nothing is decided"
    );
}

#[test]
fn a_query_refused_or_lost_is_an_error_measurement() {
    for end in [ActionEnd::Err("no such query".into()), ActionEnd::Lost] {
        let mut run = start(vec![metric("m", Limits { consecutive_error_limit: 0, ..every_minute(1) })], SimTime::ZERO);
        run.handle_timeout(SimTime::ZERO);
        let action = run.poll_action().unwrap().id;
        run.handle_input(SimTime::ZERO, &Input::ActionResult(ActionResult { action, end: ActionEnd::Ok }));
        assert_eq!(run.assessment().phase, Phase::Running, "done is not yet an answer");
        run.handle_input(SimTime::ZERO + S(1), &Input::ActionResult(ActionResult { action, end }));
        assert_eq!(run.assessment().phase, Phase::Error);
    }
}

#[test]
fn spurious_timeouts_change_nothing_and_an_interval_must_be_exceeded() {
    let mut run = start(vec![metric("m", every_minute(2))], SimTime::ZERO);
    run.handle_timeout(SimTime::ZERO);
    let action = run.poll_action().unwrap().id;
    assert_eq!(run.poll_timeout(), None, "while a query is in flight only its answer moves the run");
    run.handle_input(SimTime::ZERO + S(1), &Input::QueryResult(QueryResult { action, answer: series(1.0) }));
    let before = run.clone();
    for t in [SimTime::ZERO + S(2), SimTime::ZERO + S(61)] {
        run.handle_timeout(t);
        assert_eq!(run, before);
    }
    assert_eq!(run.poll_timeout(), Some(SimTime::ZERO + S(61) + Span(1)));
    run.handle_timeout(SimTime::ZERO + S(61) + Span(1));
    assert!(run.poll_action().is_some());
}

#[test]
fn all_mistakes_in_a_spec_are_named() {
    let bad = |metrics: Vec<Metric>| mistakes(&metrics).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(bad(vec![]), ["no metrics specified"]);
    let limits = Limits { failure_limit: -1, count: 2, ..Limits::default() };
    assert_eq!(
        bad(vec![metric("m", every_minute(1)), metric("m", limits)]),
        [
            "metrics[1]: duplicate name 'm'",
            "metrics[1]: interval must be specified when count > 1",
            "metrics[1]: failureLimit and consecutiveSuccessLimit cannot both be disabled",
        ]
    );
}
