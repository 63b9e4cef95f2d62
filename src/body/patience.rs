use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep},
};

/// What may end a body before its time.
pub(crate) trait Ending: Send + Sync {
    /// Whether the end has come.
    fn has_come(&mut self) -> bool;

    /// How long to wait at most before asking again.
    fn left(&self) -> Duration;

    /// Waits until somebody calls the end.
    fn called(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>>;
}

/// How long to wait for a body that does not move.
pub(super) struct Patience {
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting_since: Option<Instant>,
    called: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

/// Most waits are over sooner: to listen for a call is put off for so long.
const UNHEARD: Duration = Duration::from_secs(1);

impl Patience {
    pub(super) const fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            timer: None,
            waiting_since: None,
            called: None,
        }
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) const fn moved(&mut self) {
        self.waiting_since = None;
    }

    /// Ready when it is at an end: with `true` when that was called for, or due.
    pub(super) fn poll(
        &mut self,
        mut ending: Option<&mut (dyn Ending + 'static)>,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        let timed = Handle::try_current().is_ok();
        let since = *self.waiting_since.get_or_insert_with(|| {
            let now = Instant::now();
            if timed {
                let first = ending
                    .as_ref()
                    .map_or(self.timeout, |ending| ending.left().min(UNHEARD));
                set(&mut self.timer, now + first.min(self.timeout));
            } else {
                self.called = self
                    .called
                    .take()
                    .or_else(|| ending.as_ref().map(|ending| ending.called()));
            }
            now
        });
        loop {
            if self
                .called
                .as_mut()
                .is_some_and(|called| called.as_mut().poll(cx).is_ready())
            {
                return Poll::Ready(true);
            }
            let Some(timer) = self.timer.as_mut().filter(|_| timed) else {
                return Poll::Pending;
            };
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            let due = since + self.timeout;
            let mut next = due;
            if let Some(ending) = &mut ending {
                if ending.has_come() {
                    return Poll::Ready(true);
                }
                self.called.get_or_insert_with(|| ending.called());
                next = due.min(now + ending.left());
            }
            if now >= due {
                return Poll::Ready(false);
            }
            timer.as_mut().reset(next);
        }
    }
}

fn set(timer: &mut Option<Pin<Box<Sleep>>>, at: Instant) {
    match timer {
        Some(timer) => timer.as_mut().reset(at),
        None => *timer = Some(Box::pin(tokio::time::sleep_until(at))),
    }
}
