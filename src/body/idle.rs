//! The idle timer of a body: how long to wait for more of it.
//!
//! It is armed only once a body has to be waited for, and reset without touching the runtime while frames come. A short
//! wait is told apart from a long one, so that a body is made revocable only when somebody waits for it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep},
};

/// How long to wait for a body of which nothing comes.
pub(super) struct IdleTimer {
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting_since: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// Longer than most waits are.
    Long,
    /// For the whole time-out.
    TimedOut,
}

/// Most waits are over sooner.
const SHORT: Duration = Duration::from_secs(1);

impl IdleTimer {
    pub(super) const fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            timer: None,
            waiting_since: None,
        }
    }

    /// Something came. The timer itself is left alone: it is looked at when it fires.
    pub(super) const fn moved(&mut self) {
        self.waiting_since = None;
    }

    /// Polled while nothing comes. Says so when it is no short wait any more, if it is to `tell_long`.
    ///
    /// The timer is made by the first wait, and kept: to reset one is cheap, to make one is not.
    pub(super) fn poll(&mut self, tell_long: bool, cx: &mut Context<'_>) -> Poll<Idle> {
        if Handle::try_current().is_err() {
            // Nothing keeps the time here.
            return Poll::Pending;
        }
        let first = if tell_long {
            self.timeout.min(SHORT)
        } else {
            self.timeout
        };
        let (since, timer) = match (self.waiting_since, &mut self.timer) {
            (Some(since), Some(timer)) => (since, timer),
            (_, timer) => {
                let now = Instant::now();
                self.waiting_since = Some(now);
                let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(first)));
                timer.as_mut().reset(now + first);
                (now, timer)
            }
        };
        loop {
            ready!(timer.as_mut().poll(cx));
            if since.elapsed() >= self.timeout {
                return Poll::Ready(Idle::TimedOut);
            }
            if tell_long {
                return Poll::Ready(Idle::Long);
            }
            timer.as_mut().reset(since + self.timeout);
        }
    }
}
