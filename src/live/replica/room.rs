//! Owns the memory that the bodies of all requests may take together: no number of clients makes it more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::HttpError;

/// How much there is, and how much of it is taken, in bytes.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    taken: AtomicUsize,
}

impl Budget {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, taken: AtomicUsize::new(0) }
    }
}

/// A part of the [`Budget`], given back when this goes.
#[derive(Debug)]
pub(super) struct Room {
    budget: Arc<Budget>,
    held: usize,
}

impl Room {
    pub(super) fn none(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), held: 0 }
    }

    /// Takes more. It does not wait: of requests that wait for one another's memory, none would ever get on.
    ///
    /// # Errors
    /// 503 if there is not so much.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), HttpError> {
        let limit = self.budget.limit;
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= limit);
        self.budget
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_err(|_| HttpError::shed("the requests at hand take all memory there is for them".to_owned()))?;
        self.held += bytes;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let budget = Arc::new(Budget::new(10));
        let (mut one, mut other) = (Room::none(&budget), Room::none(&budget));
        one.grow(6).unwrap();
        one.grow(2).unwrap();
        assert_eq!(other.grow(3).unwrap_err().status, axum::http::StatusCode::SERVICE_UNAVAILABLE);
        assert!(other.grow(usize::MAX).is_err());
        other.grow(2).unwrap();
        drop(one);
        other.grow(8).unwrap();
        assert!(other.grow(1).is_err());
    }
}
