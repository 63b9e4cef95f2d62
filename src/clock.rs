//! Where the time comes from, so that tests and embedders can set it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the time comes from.
///
/// Any `Fn() -> SystemTime` is one; the default everywhere is [`SystemTime::now`].
pub trait Clock: Send + Sync + 'static {
    /// The present time.
    fn now(&self) -> SystemTime;
}

impl<F> Clock for F
where
    F: Fn() -> SystemTime + Send + Sync + 'static,
{
    fn now(&self) -> SystemTime {
        self()
    }
}

/// Whole seconds since 1970; zero before it.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}
