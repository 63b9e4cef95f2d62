//! How the upload of a request goes, seen from the stage that waits for the response.
//!
//! When sending fails, the client knows only that it failed. Whether the caller broke its body off, sent too much of it or
//! nothing for too long is known to the body, which leaves a note here.

use std::sync::atomic::{AtomicU8, Ordering};

/// What has happened to an upload so far.
#[derive(Debug, Default)]
pub(crate) struct UploadProgress(AtomicU8);

/// What can happen to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Event {
    /// Something passed.
    Moved = 1,
    /// The caller's body broke off or was malformed.
    Failed = 2,
    /// It went over its limit.
    TooLarge = 4,
    /// It was given up because nothing came.
    Stalled = 8,
    /// Its request was ended: by its token, or by the shutdown.
    Interrupted = 16,
}

impl UploadProgress {
    /// Whether anything passed since the last call.
    pub(crate) fn take_moved(&self) -> bool {
        let moved = Event::Moved as u8;
        self.0.fetch_and(!moved, Ordering::Relaxed) & moved != 0
    }

    /// Whether this has happened at all.
    pub(crate) fn had(&self, event: Event) -> bool {
        self.0.load(Ordering::Relaxed) & event as u8 != 0
    }

    pub(super) fn note(&self, event: Event) {
        self.0.fetch_or(event as u8, Ordering::Relaxed);
    }
}
