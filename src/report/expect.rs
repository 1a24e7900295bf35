//! Owns expectations: what a scenario demands of its policies, as typed data.

use crate::report::trial::Outcome;

/// One demand on the trials of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// The policy it is about, by name; `None`: every policy that meets the scenario.
    pub policy: Option<String>,
    /// What is demanded.
    pub check: Check,
    /// The demand as its author wrote it, for every rendering.
    pub text: String,
}

/// What is demanded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Check {
    /// How trials end.
    Outcome {
        /// The outcome.
        outcome: Outcome,
        /// The share of trials that must end so, in [0, 1]; `None`: every trial that was run.
        share: Option<(Op, f64)>,
    },
    /// A figure is within bounds.
    Measure {
        /// Which figure.
        measure: Measure,
        /// Which statistic of it over the trials.
        stat: Stat,
        /// How it is compared with `value`.
        op: Op,
        /// In the measure's unit, see [`Measure::unit`].
        value: f64,
    },
}

/// A comparison of what was measured (left) with what is demanded (right).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
}

/// A figure of a trial that an expectation can be about; each is defined at the field of `TrialReport` or `Incident` it
/// is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Detected − injected of every incident that counts, seconds; a fault never detected is censored at the end of the run.
    Mttd,
    /// Recovered − injected of every incident that counts, seconds; censored likewise.
    Mttr,
    /// Bad requests that the faults caused.
    HarmSuffered,
    /// Bad requests that the policy saved.
    HarmAvoided,
    /// Bad requests that the policy caused without any fault.
    PolicyHarm,
    /// Requests lost with the replica that held them.
    LostRequests,
    /// Bad requests, whatever the cause.
    BadRequests,
    /// All requests.
    Requests,
    /// Rollbacks ordered.
    Rollbacks,
    /// Share of the error budget of the whole period that was used.
    BudgetSpent,
}

/// A statistic over trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stat {
    /// Each single value: the demand holds if every one meets it.
    Value,
    /// The median.
    P50,
    /// The 90 % quantile.
    P90,
    /// The mean; of a delay the restricted mean to the common horizon.
    Mean,
    /// The greatest of the trials that were run.
    Max,
    /// The least of the trials that were run.
    Min,
}

impl Op {
    /// All comparisons.
    pub const ALL: [Self; 4] = [Self::Less, Self::LessEqual, Self::Greater, Self::GreaterEqual];

    /// Its sign in files and in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
        }
    }

    /// Whether `measured op demanded`; never with NaN.
    #[must_use]
    pub fn holds(self, measured: f64, demanded: f64) -> bool {
        match self {
            Self::Less => measured < demanded,
            Self::LessEqual => measured <= demanded,
            Self::Greater => measured > demanded,
            Self::GreaterEqual => measured >= demanded,
        }
    }

    /// Whether smaller is better (`<`, `<=`).
    #[must_use]
    pub const fn is_upper_bound(self) -> bool {
        matches!(self, Self::Less | Self::LessEqual)
    }
}

impl Measure {
    /// All measures, in the order they are documented.
    pub const ALL: [Self; 10] = [
        Self::Mttd,
        Self::Mttr,
        Self::HarmSuffered,
        Self::HarmAvoided,
        Self::PolicyHarm,
        Self::LostRequests,
        Self::BadRequests,
        Self::Requests,
        Self::Rollbacks,
        Self::BudgetSpent,
    ];

    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mttd => "mttd",
            Self::Mttr => "mttr",
            Self::HarmSuffered => "harm_suffered",
            Self::HarmAvoided => "harm_avoided",
            Self::PolicyHarm => "policy_harm",
            Self::LostRequests => "lost_requests",
            Self::BadRequests => "bad_requests",
            Self::Requests => "requests",
            Self::Rollbacks => "rollbacks",
            Self::BudgetSpent => "budget_spent",
        }
    }

    /// Its unit: `s` for delays, nothing for counts and shares.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        if self.is_delay() { "s" } else { "" }
    }

    /// Whether it is a delay that can be censored, in seconds.
    #[must_use]
    pub const fn is_delay(self) -> bool {
        matches!(self, Self::Mttd | Self::Mttr)
    }
}

impl Stat {
    /// All statistics.
    pub const ALL: [Self; 6] = [Self::Value, Self::P50, Self::P90, Self::Mean, Self::Max, Self::Min];

    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Min => "min",
        }
    }
}
