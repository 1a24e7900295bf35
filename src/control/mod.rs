//! Owns the sans-IO controller: judge, strategy, governance, executor.
//!
//! ```text
//! Input ─► judge (signals, rules) ─► strategy (what next) ─► governance (may it?) ─► executor ─► Action
//! ```
//!
//! # The interface, and why pull-type strategies fit it
//!
//! Every strategy has five calls: `handle_input(now, &Input)`, `handle_timeout(now)`, `poll_timeout()`, `poll_action()`,
//! `poll_event()`. The native strategy is pushed to: a scrape comes as inputs and it answers with orders. Argo's analysis
//! pulls: it asks a provider at times of its own and counts what comes back. On paper, with the rules of Argo's
//! `analysis.go` in the left column:
//!
//! | Argo's AnalysisRun | here |
//! |---|---|
//! | start after `initialDelay` | `poll_timeout()` is start + delay; `handle_timeout` begins |
//! | measure: ask the provider | `poll_action()` gives `Action { kind: Query }`; it is now in flight |
//! | a value, no value, an error | `Input::QueryResult` with `Series`, `Empty` or `Error`: three different things |
//! | the provider never answers | `Input::ActionResult` with `Err` or `Lost` counts as an error |
//! | next measurement `interval` after the last *finished*, 10 s after an error | `poll_timeout()` counts from the answer's time |
//! | `count`, failure, inconclusive, consecutive error and success limits | counters, changed by answers only |
//! | in-flight siblings are terminated | late answers belong to no measurement and change nothing |
//! | run phase: success, pause, abort | read by the strategy that embeds it, which orders weights as the native one does |
//!
//! Nothing of it needs a clock, a callback or a blocking call. [`strategy::analysis`] is that machine, and
//! `tests/pull_strategy.rs` drives it in virtual time and holds it to cases of Argo's own tests.

pub mod config;
pub mod executor;
pub mod governance;
pub mod judge;
pub mod strategy;
