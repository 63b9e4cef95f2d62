use std::sync::atomic::{AtomicU8, Ordering};

/// How far a request body came, seen by the stage that waits for the answer.
#[derive(Debug, Default)]
pub(crate) struct Watch(AtomicU8);

pub(super) const MOVED: u8 = 1;
pub(super) const FAILED: u8 = 2;
pub(super) const TOO_LARGE: u8 = 4;
pub(super) const STALLED: u8 = 8;
pub(super) const BROKEN_OFF: u8 = 16;

impl Watch {
    /// Whether anything passed since the last call.
    pub(crate) fn take_moved(&self) -> bool {
        self.0.fetch_and(!MOVED, Ordering::Relaxed) & MOVED != 0
    }

    /// Whether the caller's body broke off or was malformed.
    pub(crate) fn failed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & FAILED != 0
    }

    /// Whether the body went over its limit.
    pub(crate) fn too_large(&self) -> bool {
        self.0.load(Ordering::Relaxed) & TOO_LARGE != 0
    }

    /// Whether the body was given up because it did not move.
    pub(crate) fn stalled(&self) -> bool {
        self.0.load(Ordering::Relaxed) & STALLED != 0
    }

    /// Whether its request was ended: by its token, or by the proxy's own end.
    pub(crate) fn broken_off(&self) -> bool {
        self.0.load(Ordering::Relaxed) & BROKEN_OFF != 0
    }

    pub(super) fn set(&self, bit: u8) {
        self.0.fetch_or(bit, Ordering::Relaxed);
    }
}
