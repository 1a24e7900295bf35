//! A fault-injection and rollback lab for ML model serving.
//!
//! A rollback policy is code that runs on the worst day of the year and on no other. This crate runs it on demand: replicas
//! of a model server answer with **real ONNX inference** in **virtual time**, traffic flows, something breaks, and the path
//! *detect → decide → revert → verify* plays out against known ground truth. Out comes how long it took until the fault was
//! noticed (MTTD), how long until users were well again (MTTR), whether the policy turns back for nothing, and what all of it
//! cost in bad answers.
//!
//! This page is the architecture. The way in: [`plan::load()`] makes a [`plan::Plan`] of files, [`campaign::lab::Lab::trial`]
//! makes a [`report::trial::TrialReport`] of it, [`report::render`] shows that.
//!
//! # Ten nouns
//!
//! | noun | what it is | where |
//! |---|---|---|
//! | Scenario | what a person writes: fleet, traffic, models, rollout, faults, expectations | [`plan::scenario`] |
//! | Policy | what a person wants to test: signals, rules, revert, rights; a file of its own | [`plan::policy`] |
//! | Plan | both, validated and resolved; after it nothing can fail because of configuration | [`plan::Plan`] |
//! | Fault | one injected cause with its ground truth; it acts on the plant's state, never on a signal | [`world::config::Fault`] |
//! | World | the plant: traffic, router, replicas, inference, data layer, telemetry | [`world::plant::World`] |
//! | Input, Action | all that reaches a controller, all it can order; nothing else passes | [`event::Input`], [`event::Action`] |
//! | Event | one recorded fact | [`event::Event`], [`event::RequestEnd`] |
//! | Trace | the facts of one run, hashed; the only thing a report reads | [`trace::Trace`] |
//! | Incident | one fault's story with its milestones, told from traces | [`report::trial::Incident`] |
//! | Report | what incidents amount to, over one trial or many | [`report::trial::TrialReport`], [`report::aggregate`] |
//!
//! A *trial* is one (scenario, policy, seed).
//!
//! # Flow of data
//!
//! ```text
//! scenario.toml ─┐                        ┌────────────────── sim ──────────────────┐
//!                ├─► plan ─► Plan + seed ─►  queue ─► World ──Input──► Controller   │
//! policy.toml ───┘                        │    ▲        │ ▲                │        │
//!                                         │    └Effects─┤ └─────Action─────┤        │
//!                                         │             └────► Recorder ◄──┘        │
//!                                         └───────────────────────┬─────────────────┘
//!         (P, F)  (hold, F)  (hold, ∅)  (P, ∅)  (P, F∖i)  …       │ one run each, same streams
//!                                                                 ▼
//!                              files ◄─ render ◄─ TrialReport ◄─ incidents ◄─ RunRecords with their Traces
//! ```
//!
//! [`live`] stands where `sim` does, with real processes in the place of World: the same Plan goes in, the same Controller sees
//! Inputs and gives Actions, the same Recorder makes the same RunRecord of it. It has no reference runs, so its milestones are
//! twin-free ([`campaign::alone`]). [`campaign::validate`] holds the two against each other. What both drivers share of the plant
//! stands below them: which faults act ([`world::faults`]), traffic ([`world::traffic`]), the router ([`world::router`]),
//! telemetry ([`world::telemetry`]), orders ([`world::orders`]). `tests/contract.rs` is one contract for both.
//!
//! # Layers
//!
//! A module imports from rows below its own only; modules in one row do not know each other. `tests/architecture.rs` reads
//! every path in the source, holds it to this table and to the bans, and has planted violations that prove it can fail.
//!
//! | | modules | own | never mention |
//! |--:|---|---|---|
//! | 0 | [`time`], [`id`], [`digest`] | virtual time; indices and their words; content addresses and rolling hashes | clock, entropy, std's transcendental functions (nobody may) |
//! | 1 | [`rng`], [`stats`] | named random streams; statistics: numbers in, numbers out | any word of the domain, files; each other |
//! | 2 | [`event`] | the vocabulary | behaviour |
//! | 3 | [`artifact`], [`trace`] | model bytes, manifests, real damage; what a run leaves behind | the runtime |
//! | 4 | [`detect`], [`report`] | signals over telemetry; measures and renderings | clock, files (but where reports are written); each other, and whatever makes a run |
//! | 5 | [`control`], [`world`] | the sans-IO controller; the plant, with `world::inference` the only user of `ort` | files, threads, surroundings (inference may); draws (the controller); detectors (the plant); reports; each other |
//! | 6 | [`plan`] | from files to a Plan, made of each module's own configuration | reading files but in `plan::files` |
//! | 7 | [`sim`], [`live`] | queue, clock, pump of virtual time; real replicas, real faults and the only tokio, in real time | wall clock, threads, tokio (`sim`); each other |
//! | 8 | [`campaign`] | trials with their reference runs, many side by side; the host's clock for the host section | |
//! | 9 | [`cli`] | arguments, exit codes, progress | |
//! | 10 | `main` | hands the exit code to the system | |
//!
//! # Time and order
//!
//! Time is [`time::SimTime`], integer nanoseconds since the start of the trial. The queue ([`sim::queue`]) has one total
//! order, [`world::schedule::Key`]: time, class, entity, the entity's own sequence. One more replica or fault reorders
//! nobody else's ties. Classes at one instant: fault, completion, arrival, sample, action, result, timeout. Each source has
//! one pending arrival, so the queue stays small. Orders and their results take [`world::config::WorldConfig::control_delay`]; telemetry is
//! read at every scrape and arrives a lag later, or not at all, which is an [`event::Gap`] and not zero. Beyond the horizon
//! nobody arrives, reads, decides or acts; what is under way ends, and every request ends in exactly one way.
//!
//! # Randomness
//!
//! A stream ([`rng::Stream`]) is addressed by (seed, who, what for), never by the order of creation; what belongs to the n-th
//! request of a source is drawn at n. So another policy, replica or detector perturbs nobody, and all runs of one seed meet
//! the same luck: *common random numbers*. One uniform makes one variate by inversion ([`world::distribution`]). Damage to a
//! model is fixed by the scenario's own seed, not by the trial's.
//!
//! What users do after a request (an *outcome*, [`world::config::OutcomeConfig`]) has a stream named after source and outcome and
//! belongs to the request, too: one uniform, held against the chance after a right answer, a wrong one, or none. It is drawn where
//! ends are counted, so that both drivers have it, and needs no digest: what is drawn is a function of the seed, what becomes of
//! it one of how the request ended.
//!
//! # Determinism
//!
//! Three digests identify a run ([`trace::Digests`]; made in [`trace::recorder`]):
//!
//! | digest | covers | equal |
//! |---|---|---|
//! | exogenous | arrivals, payloads, users, service draws, labels of every source; instants of the faults that happen | on any machine, under any policy |
//! | inference | the bits of every score that was answered | on one CPU type and one build of the runtime |
//! | decisions | how and when every request ended; alarms, decisions, orders and their ends, weights, stages, reverts, verifications | wherever the scores are equal |
//!
//! Not in the decisions digest: measurements (a signal that no rule reads decides nothing), the life of replicas and loads
//! (one without traffic decides nothing; what the others do shows in how requests end), gaps, and faults (exogenous). They
//! are kept in the trace and written to `events.jsonl`. Of a fault that waits for a version to get traffic
//! only its name is exogenous: it begins when the policy lets it.
//!
//! `tests/golden.rs` pins an exogenous digest. `rollcage verify` runs a trial in two processes with different time zone,
//! language, folder and thread count and compares summary, files and exit code to the byte, all but the host section; it names
//! the first divergent event. Plant and controller are plain data: a run cloned half way ([`sim::Sim`] is `Clone`) goes
//! on as the original does.
//!
//! # Inference
//!
//! [`world::inference`] runs the **actual bytes** a replica was given on a pinned ONNX Runtime, one thread, one optimisation
//! level. Damaged bytes may refuse to load, fail, answer the same, answer wrongly, crash, or never come back, and native code
//! cannot be cancelled. So only *vetted* bytes run in this process: those that match their manifest and came through
//! [`world::inference::vet()`] in a worker. All others run in a worker process that limits itself; "does not return" is a
//! verdict, remembered under (bytes, runtime, limits, rows), never raced against a run's clock.
//!
//! Rows run in blocks of [`world::inference::BLOCK`] = 2048 by arrival ordinal, padded, because a row's last bit can depend on
//! the size of its batch, and because one big call is cheaper than many small ones. A model whose rows turn out to depend on
//! their neighbours runs at batch 1. A vetted model's answers never change timing, so they are computed when telemetry or the
//! report asks; unvetted bytes are asked before a request is dispatched. Inference takes no virtual time: service time is a
//! distribution of the scenario.
//!
//! # Measures
//!
//! All are defined once, in [`report`], and read facts only:
//!
//! - a *bad request* (failed, late, or wrong against the truth): [`report::objective`]; who was hurt, one bit each:
//!   [`report::bits`]
//! - *milestones* from injected to recovered, against the reference runs: [`report::incident`], [`report::milestones`];
//!   recovery and relapse: [`report::recovery`]; the verification window: [`report::verify`]
//! - *outcomes*, kinds of rollback, harm, error budget: [`report::assess`]
//! - over many trials, with intervals, delays censored and not dropped: [`report::estimate`], [`report::aggregate`]
//! - *expectations*, the one verdict behind console, files and exit code: [`report::judge`]
//! - live runs held against simulated trials, both measured without reference runs: [`report::validation`]
//!
//! Reference runs, on the same streams: (hold, F), (hold, ∅), (P, ∅), and with several faults (P, F∖i) and (hold, F∖i).
//! *Hold* follows the rollout and never turns back. [`campaign::trial`] runs them one after another. A run without them
//! ([`campaign::alone()`]) is measured *twin-free*, against the time before its fault, and claims no harm;
//! [`campaign::validate`] compares such runs.
//!
//! [`campaign::power`] predicts detection before any run: the traffic of [`world::traffic`] and the pipeline of
//! [`world::telemetry`] without plant and inference, read by the policy's own [`control::judge`]; beside it what no rule can
//! undercut ([`stats::oracle`]).
//!
//! # Decisions
//!
//! - **`stats` stands below `event`.** Metrics carry latency histograms, so the vocabulary needs [`stats::histogram`];
//!   statistics need no vocabulary.
//! - **The plant returns effects as data** ([`world::schedule::Effects`]): events to come back, facts, ended requests, inputs.
//!   It knows neither queue nor recorder nor controller; a driver empties them.
//! - **A surge is a source of its own** beside the one it swells, so that requests that would have come anyway keep their
//!   names and times, and runs with and without it are compared request by request ([`world::traffic`]).
//! - **Arrivals are not kept for the report**: a source is a pure function of the seed, so the few that are needed are
//!   generated again ([`world::plant::World::arrival`]).
//! - **Predictions are cached by (artifact, transform, payload)** ([`world::predictions`]). A fault that moves features moves
//!   the payload's digest, and with it the key: nobody has to know which fault touches what. Reference runs reuse scores up to
//!   a memory limit. The cache stays outside the plant's state.
//! - **Which faults act is decided without a plant** ([`world::faults::Faults`]): simulated and real replicas are broken by
//!   one state machine, at the same instants and under the same weights.
//! - **A replica that is stopped or cut off keeps its users at the door**: nobody sheds or serves there, they wait until it
//!   goes on or their patience ends, and until then the router counts them as its load. In a stall the work under way stands
//!   still; behind a cut it goes on, and its answers wait.
//! - **Labels and outcomes ride the scrapes**, so they need no class of their own in the total order. Those of a lost scrape come
//!   with the next.
//! - **A log tells when requests failed, too**, beside its rows: detectors that go request by request need the order of both.
//! - **A scrape says what a replica may use** ([`event::Capacity`]): whoever makes shares of gauges needs no configuration.
//! - **Simulated processor time is slot time**: what a stopped process does not do is not counted, what nobody waits for any more
//!   is. A live replica's is that of its process, in which a slot that only holds on uses none.
//! - **Signals compare with one of three references** ([`detect::config::Reference`]): the *baseline* version at the same time,
//!   the *first* minutes of traffic, or the version's *own* beginning. What happens to both versions shows in the second, what
//!   happened to one since it went out in the third.
//! - **A look ends in a measurement or in a reason for none** ([`detect::verdict::NoVerdict`]), which is recorded where it changes:
//!   no data is not zero, and not health. A rule's `on_missing` says what follows.
//! - **One configuration per detector**, which is also its wire form: the policy file's schema, its defaults, what `explain`
//!   prints and what the detector is built from are one struct ([`detect::sequential`], [`detect::two_sample`]).
//! - **What looks cost is the policy's to say** ([`detect::looks`]): levels of one look or of all looks together, p-values over
//!   columns by Holm or Benjamini-Hochberg; sequential detectors and confidence sequences see every observation once.
//! - **A detector that draws** (permutations, KSWIN's positions) draws from a stream named after its signal, at a place that
//!   belongs to the look, so that one more signal changes nobody's luck.
//! - **A bad release is a fault** whose twin ships the declared clean artifact; it begins with its version's traffic.
//! - **A trial's own run is timed apart** from its reference runs, and host figures stand in a section of their own
//!   ([`report::trial::Host`]) that no comparison reads.
//! - **Report files are written in full before the first gets its name**, one by one, into a folder that is never cleared:
//!   nothing of a user's is removed ([`report::render::write_files`]). `--format json` writes nothing unless told where.
//! - **A live run has one mailbox** ([`live`]): ends of requests, phases of replicas, scrapes and answers reach one loop, one
//!   after another, so that a trace has one order and the driver no lock. Arrivals come from a thread that sleeps from one to the
//!   next, since timers of the runtime are a millisecond wide.
//! - **Metrics are the router's, gauges are the replicas'.** Both drivers count what users saw, as a mesh or an ingress does: a
//!   replica that was killed cannot tell whom it lost, and one behind a slow network thinks it is fast.
//! - **A server that tells no digest is known by its answers** to rows whose scores are known ([`live::Probes`]).
//! - **A plan is its own journal** ([`control::executor`]): what is done is gone from the list, so nothing is repeated.
//!
//! # Invariants, as absences
//!
//! - No clock, no thread, no IO, no draw in [`control`]; it is driven by five calls
//!   ([`control::strategy::native::Controller`]).
//! - No truth in an [`event::Input`]: labels arrive late and some never; what is in [`event::RequestEnd`] never reaches a
//!   controller. Outcomes tell of it what users did, and exist only where a scenario declares them.
//! - No configuration error after a [`plan::Plan`] exists; whatever can be wrong is said with its place in the file, all at
//!   once.
//! - No signal is ever set by a fault.
//! - No host time in virtual time, and no place but [`live`] and `campaign::lab` that reads a host clock (a worker reads the CPU
//!   time it has used).
//! - No map with an order of its own, no entropy, no transcendental function of std.
//! - No request without an end, and none with two; no order without an end: what is under way when a run ends is lost.
//! - No wait in [`live`] without a limit, and no process or port of a live run that outlives it.
//! - No request kept, unless `--requests` asks: they are hashed and folded as they end.
//! - No `unsafe`.
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

pub mod artifact;
pub mod campaign;
pub mod cli;
pub mod control;
pub mod detect;
pub mod digest;
pub mod event;
pub mod id;
pub mod live;
pub mod plan;
pub mod report;
pub mod rng;
pub mod sim;
pub mod stats;
pub mod time;
pub mod trace;
pub mod world;
