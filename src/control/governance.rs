//! Owns permission: whether a decided rollback may be carried out.

use crate::control::config::Rights;
use crate::time::SimTime;

/// What has been allowed so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Governance {
    rights: Rights,
    rollbacks: u32,
    last: Option<SimTime>,
}

impl Governance {
    /// Nothing asked yet.
    #[must_use]
    pub const fn new(rights: Rights) -> Self {
        Self { rights, rollbacks: 0, last: None }
    }

    /// Asks for a rollback at `now`: granted and counted, or refused with the reason.
    ///
    /// # Errors
    /// The reason in words.
    pub fn rollback(&mut self, now: SimTime) -> Result<(), String> {
        if let Some(limit) = self.rights.rollbacks
            && self.rollbacks >= limit
        {
            return Err(format!("the policy may order {limit} rollbacks by itself"));
        }
        if let Some(last) = self.last
            && now.since(last) < self.rights.cooldown
        {
            return Err(format!("cooldown of {} since the last rollback", self.rights.cooldown));
        }
        self.rollbacks += 1;
        self.last = Some(now);
        Ok(())
    }
}
