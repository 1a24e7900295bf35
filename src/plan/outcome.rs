//! Owns the wire form of outcomes: what users do after their requests that the business counts.
//!
//! Doc comments here are what editors and `rollcage schema` show.

use crate::plan::scenario::{Distribution, half, none};
use crate::plan::units::Share;
use schemars::JsonSchema;
use serde::Deserialize;

/// What users do after a request that the business counts: it happens or does not. The draw belongs to the request, so that
/// whoever is answered alike does alike, whatever version answers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BusinessOutcome {
    /// Chance that it happens after an answer of the right class; an answer whose truth is unknown counts as right.
    pub right: Share,
    /// Chance that it happens after an answer of the wrong class.
    pub wrong: Share,
    /// Chance that it happens without an answer.
    #[serde(default = "none")]
    pub failed: Share,
    /// A score at or above this is class 1.
    #[serde(default = "half")]
    pub threshold: Share,
    /// How much it is where it happens, in any unit; without it, 1.
    pub amount: Option<Amount>,
    /// How long after the end of the request it is known whether it happened.
    pub delay: Distribution,
}

/// A distribution of amounts: plain numbers.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Amount {
    /// Lognormal: the usual shape of what people spend.
    Lognormal {
        /// Half are below this.
        #[schemars(extend("exclusiveMinimum" = 0))]
        median: f64,
        /// 99 % are below this.
        #[schemars(extend("exclusiveMinimum" = 0))]
        p99: f64,
    },
    /// Normal: what can be negative, too.
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        #[schemars(extend("exclusiveMinimum" = 0))]
        sd: f64,
    },
    /// Always the same.
    Constant {
        /// The amount, not 0.
        value: f64,
    },
}
