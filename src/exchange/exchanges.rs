//! What the requests of a door have in common while they are under way: a clock, the channels of interrupts, and the
//! shutdown.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    clock::Clock,
    exchange::{Interrupts, shutdown::Shutdown},
};

/// All requests of a door that are under way, and what they have in common. Clones are handles to the same.
#[derive(Clone)]
pub(crate) struct Exchanges {
    clock: Arc<dyn Clock>,
    pub(super) interrupts: Arc<Interrupts>,
    pub(super) shutdown: Shutdown,
}

/// A timer does not know of a machine that slept, or of a clock that was set: the time is looked at again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Exchanges {
    pub(crate) fn set_clock(&mut self, clock: impl Clock) {
        self.clock = Arc::new(clock);
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Where whoever ends something tells the requests under way to look.
    pub(crate) const fn interrupts(&self) -> &Arc<Interrupts> {
        &self.interrupts
    }

    /// Ends the door in order; gives the number of requests that were broken off.
    pub(crate) async fn shut_down(&self, grace: Duration) -> usize {
        self.shutdown.run(&self.interrupts, grace).await
    }

    /// How long to wait before looking at the clock again; `None` once the time has come.
    pub(super) fn until(&self, time: SystemTime) -> Option<Duration> {
        let left = time.duration_since(self.now()).ok()?;
        Some(left.min(LOOK_AGAIN)).filter(|left| !left.is_zero())
    }
}

impl Default for Exchanges {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemTime::now),
            interrupts: Arc::default(),
            shutdown: Shutdown::default(),
        }
    }
}
