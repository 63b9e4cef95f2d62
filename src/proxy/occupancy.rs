use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How many requests of each sandbox are under way, until their answers end.
#[derive(Default)]
pub(super) struct Occupancy {
    sandboxes: Mutex<HashMap<Box<str>, usize>>,
}

/// One request's place among those of its sandbox. Dropping it frees the place.
pub(super) struct SandboxPlace {
    occupancy: Arc<Occupancy>,
    sandbox: Box<str>,
}

/// One request's place among those of its service. Dropping it frees the place.
pub(crate) struct ServicePlace(Arc<AtomicUsize>);

impl Occupancy {
    /// `None` when the sandbox has as many as it may.
    pub(super) fn enter(
        self: &Arc<Self>,
        sandbox: &str,
        limit: NonZeroUsize,
    ) -> Option<SandboxPlace> {
        let mut sandboxes = self.sandboxes();
        match sandboxes.get_mut(sandbox) {
            Some(count) if *count >= limit.get() => return None,
            Some(count) => *count += 1,
            None => {
                sandboxes.insert(sandbox.into(), 1);
            }
        }
        Some(SandboxPlace {
            occupancy: self.clone(),
            sandbox: sandbox.into(),
        })
    }

    fn sandboxes(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        self.sandboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SandboxPlace {
    fn drop(&mut self) {
        let mut sandboxes = self.occupancy.sandboxes();
        match sandboxes.get_mut(&self.sandbox) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                sandboxes.remove(&self.sandbox);
            }
        }
    }
}

impl ServicePlace {
    /// `None` when there are `limit` already.
    pub(super) fn take(count: &Arc<AtomicUsize>, limit: NonZeroUsize) -> Option<Self> {
        let one_more = |count: usize| (count < limit.get()).then_some(count + 1);
        count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()
            .map(|_| Self(count.clone()))
    }
}

impl Drop for ServicePlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
