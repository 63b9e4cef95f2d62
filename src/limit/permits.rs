//! The requests that may be under way at a time.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::service::Bounds;

/// How many requests are under way somewhere: in all, and of each subject. What is not limited is not counted.
#[derive(Default)]
pub(crate) struct Permits {
    all: AtomicUsize,
    /// Holds a subject for as long as it has a request under way.
    subjects: Mutex<HashMap<Box<str>, usize>>,
}

/// Of whom there are as many as there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NoPermit {
    OfAll,
    OfSubject,
}

/// One request's place among them. Dropping it frees the place.
#[must_use = "a permit that is dropped is free again"]
pub(crate) struct Permit {
    permits: Arc<Permits>,
    counted: bool,
    subject: Option<Box<str>>,
}

impl Permits {
    /// Gives no permit where `bounds` limit nothing.
    ///
    /// # Errors
    ///
    /// When there are as many as there may be. What the subject can help comes first.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        subject: &str,
        bounds: &Bounds,
    ) -> Result<Option<Permit>, NoPermit> {
        if bounds.concurrent.is_none() && bounds.concurrent_per_sandbox.is_none() {
            return Ok(None);
        }
        let mut permit = Permit {
            permits: self.clone(),
            counted: false,
            subject: None,
        };
        if let Some(limit) = bounds.concurrent_per_sandbox {
            self.count_subject(subject, limit)
                .ok_or(NoPermit::OfSubject)?;
            permit.subject = Some(subject.into());
        }
        if let Some(limit) = bounds.concurrent {
            let one_more = |count: usize| (count < limit.get()).then_some(count + 1);
            let counted = self
                .all
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
            counted.map_err(|_| NoPermit::OfAll)?;
            permit.counted = true;
        }
        Ok(Some(permit))
    }

    /// Counts one more of a subject, if there may be one more. The map has only those with a request under way, so it is as
    /// large as the number of requests at most.
    fn count_subject(&self, subject: &str, limit: NonZeroUsize) -> Option<()> {
        let mut subjects = self.subjects();
        match subjects.get_mut(subject) {
            Some(count) if *count >= limit.get() => return None,
            Some(count) => *count += 1,
            None => {
                subjects.insert(subject.into(), 1);
            }
        }
        Some(())
    }

    /// Counting cannot panic, so what is behind a poisoned lock is in order.
    fn subjects(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.counted {
            self.permits.all.fetch_sub(1, Ordering::AcqRel);
        }
        if let Some(subject) = &self.subject {
            let mut subjects = self.permits.subjects();
            match subjects.get_mut(subject) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    subjects.remove(subject);
                }
            }
        }
    }
}
