//! Owns the controller's typed configuration: policy and rollout, resolved.

use crate::detect::config::SignalConfig;
use crate::digest::Digest;
use crate::event::{Verdict, Weight};
use crate::id::{SignalId, VersionId};
use crate::time::{SimTime, Span};

/// A rollback policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyConfig {
    /// Its name.
    pub name: String,
    /// Signals, by [`SignalId`].
    pub signals: Vec<SignalConfig>,
    /// Rules, by `RuleId`.
    pub rules: Vec<Rule>,
    /// How a revert is carried out.
    pub revert: Revert,
    /// Who may do what.
    pub rights: Rights,
}

impl PolicyConfig {
    /// Whether some signal reads features: otherwise log rows need none.
    #[must_use]
    pub fn reads_features(&self) -> bool {
        self.signals.iter().any(|signal| signal.kind.reads_features())
    }

    /// The policy that only follows the rollout: no signals, no rules.
    #[must_use]
    pub fn hold() -> Self {
        Self {
            name: "hold".to_owned(),
            signals: Vec::new(),
            rules: Vec::new(),
            revert: Revert {
                steps: vec![Weight::NONE],
                every: Span::ZERO,
                gate: None,
                gate_patience: Span::ZERO,
                wait_ready: true,
                verify_window: Span::secs(60),
                verify_requests: 200,
                patience: Span::secs(10),
            },
            rights: Rights { rollbacks: Some(0), cooldown: Span::ZERO },
        }
    }
}

/// What the rollout does while nobody objects; *hold* follows it to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutConfig {
    /// The version that serves before.
    pub from: VersionId,
    /// The version that is rolled out.
    pub to: VersionId,
    /// When the new version gets which weight, in order of time.
    pub stages: Vec<(SimTime, Weight)>,
    /// Replicas that carry the full traffic; a stage needs its share of them, rounded up.
    pub replicas: u32,
    /// How long the old version's replicas stay after the last stage gave the new one all traffic.
    pub scale_down_delay: Span,
    /// How many of them stay for good.
    pub standby: u32,
    /// What the replicas of `from` answer when asked what they serve.
    pub digest: Digest,
}

/// One rule: a condition, how often in a row it must hold, and what then.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Text of the condition, for the evidence.
    pub text: String,
    /// The rule fails when this holds.
    pub when: Condition,
    /// Consecutive measurements on which it must hold.
    pub looks: u32,
    /// What to do then.
    pub then: Verdict,
    /// What a measurement without a value counts as.
    pub on_missing: OnMissing,
}

/// A comparison between two operands.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The left operand.
    pub left: Operand,
    /// How they are compared.
    pub op: Comparison,
    /// The right operand.
    pub right: Operand,
}

/// `factor × value + offset`, where the value is a constant 1 or a field of a signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Operand {
    /// Multiplies the value.
    pub factor: f64,
    /// The value read; `None`: the operand is `offset` alone.
    pub value: Option<Field>,
    /// Added.
    pub offset: f64,
}

/// A field of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Which signal.
    pub signal: SignalId,
    /// Which of its fields, by place in `SignalKind::fields`.
    pub field: usize,
    /// `true`: as measured for the baseline version; `false`: for the version under test.
    pub baseline: bool,
}

/// How two operands are compared. A comparison with NaN is a missing measurement, never true or false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
}

impl Comparison {
    /// The same with both sides exchanged.
    #[must_use]
    pub const fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
        }
    }
}

/// What a measurement without a value counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissing {
    /// It neither adds to a row of failed looks nor breaks it.
    Inconclusive,
    /// It passes.
    Pass,
    /// It fails.
    Fail,
}

/// How a revert is carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Revert {
    /// What is left to the bad version after each step, as a share of the weight it had; ends with none. One step is "at
    /// once".
    pub steps: Vec<Weight>,
    /// Between two steps.
    pub every: Span,
    /// A rule that must not fail on the target for the next step to follow; a step waits at most `gate_patience`.
    pub gate: Option<SignalId>,
    /// Steps go on without the gate after this.
    pub gate_patience: Span,
    /// Replicas of the target are started and waited for before traffic moves.
    pub wait_ready: bool,
    /// After the revert, telemetry of this long …
    pub verify_window: Span,
    /// … with at least so many requests decides whether users are well.
    pub verify_requests: u64,
    /// An order without an answer is repeated after this.
    pub patience: Span,
}

/// Who may do what, when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Rollbacks the controller may order by itself in one trial; `None`: no limit.
    pub rollbacks: Option<u32>,
    /// No second rollback within this of the last.
    pub cooldown: Span,
}
