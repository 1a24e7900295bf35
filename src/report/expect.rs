//! Owns what a scenario expects of its trials: which outcome how often, which measure within which limit.

use crate::report::trial::Outcome;

/// One declared expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// The policy it is about; `None`: whatever policy is under test.
    pub policy: Option<String>,
    /// What must hold.
    pub check: Check,
    /// The expectation in words ("mttd p90 <= 4m").
    pub text: String,
}

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Check {
    /// The share of trials that end with this outcome.
    Outcome {
        /// Which outcome.
        outcome: Outcome,
        /// How the share is compared.
        op: Op,
        /// The limit, in [0, 1].
        share: f64,
    },
    /// A statistic of a measure over trials.
    Measure {
        /// What is measured.
        measure: Measure,
        /// Which statistic of it.
        stat: Stat,
        /// How it is compared.
        op: Op,
        /// The limit: seconds for times, a share for [`Measure::BudgetSpent`], else a count.
        value: f64,
    },
}

/// What is measured in each trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Detected − injected.
    Mttd,
    /// Recovered − injected.
    Mttr,
    /// Bad requests because of the faults.
    HarmSuffered,
    /// Bad requests that the policy saved.
    HarmAvoided,
    /// Bad requests that the policy caused without any fault.
    PolicyHarm,
    /// Requests lost with the replica that had accepted them.
    LostRequests,
    /// Requests bad for any reason.
    BadRequests,
    /// All requests.
    Requests,
    /// Rollbacks ordered.
    Rollbacks,
    /// Share of the period's error budget.
    BudgetSpent,
}

/// The unit of a measure's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasureUnit {
    /// A duration, in seconds.
    Time,
    /// A whole number.
    Count,
    /// A share; more than 1 is possible where a budget is overspent.
    Share,
}

impl Measure {
    /// All measures.
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

    /// What its limit is counted in.
    #[must_use]
    pub const fn unit(self) -> MeasureUnit {
        match self {
            Self::Mttd | Self::Mttr => MeasureUnit::Time,
            Self::BudgetSpent => MeasureUnit::Share,
            _ => MeasureUnit::Count,
        }
    }
}

/// A statistic over trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stat {
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The mean.
    Mean,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

impl Stat {
    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Min => "min",
        }
    }
}

/// How a value is compared with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `==`
    Equal,
}

impl Op {
    /// How it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Equal => "==",
        }
    }

    /// Whether `value OP limit` holds; never with NaN.
    #[must_use]
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessEqual => value <= limit,
            Self::Greater => value > limit,
            Self::GreaterEqual => value >= limit,
            Self::Equal => value == limit,
        }
    }
}
