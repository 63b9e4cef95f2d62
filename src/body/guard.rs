use std::{
    any::Any,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, Sleep},
};
use tower::BoxError;

use super::{
    Linger, Recording,
    watch::{FAILED, MOVED, STALLED, TOO_LARGE, Watch},
};

/// What to do with a trailer section: remove fields, in place.
pub(crate) type TrailerRule = Box<dyn Fn(&mut HeaderMap) + Send + Sync>;

/// What is watched while a body passes; a body that cannot go wrong has none.
pub(super) struct Guard {
    pub(super) left: u64,
    pub(super) watch: Option<Arc<Watch>>,
    pub(super) trailers: Option<TrailerRule>,
    pub(super) recording: Option<Recording>,
    pub(super) idle: Option<Idle>,
    pub(super) cut: Option<Cut>,
    /// Freed when the body ends, however it ends.
    pub(super) held: Option<Held>,
    pub(super) linger: Linger,
}

/// What is held for as long as a body passes: a place among the concurrent requests, for example.
pub(crate) type Held = Box<dyn Any + Send + Sync>;

/// Gives a body up that does not move.
pub(super) struct Idle {
    pub(super) timeout: Duration,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
    pub(super) waiting: bool,
}

/// Breaks a body off when it is told to, waiting or not.
pub(super) struct Cut {
    pub(super) order: watch::Receiver<bool>,
    pub(super) waiting: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

/// The body was broken off.
#[derive(Debug, thiserror::Error)]
#[error("broken off")]
struct BrokenOff;

/// The body did not move for too long.
#[derive(Debug, thiserror::Error)]
#[error("body did not move")]
struct Stalled;

/// The body went over its limit.
#[derive(Debug, thiserror::Error)]
#[error("body over the limit")]
pub(super) struct TooLarge;

impl Guard {
    pub(super) fn unbounded() -> Box<Self> {
        Box::new(Self {
            left: u64::MAX,
            watch: None,
            trailers: None,
            recording: None,
            idle: None,
            cut: None,
            held: None,
            linger: Linger::No,
        })
    }

    fn report(&self, bit: u8) {
        if let Some(watch) = &self.watch {
            watch.set(bit);
        }
        if let (true, Some(recording)) = (bit != MOVED, &self.recording) {
            recording.give_up();
        }
    }

    /// While nothing comes.
    pub(super) fn stall(&mut self, cx: &mut Context<'_>) -> Poll<BoxError> {
        if self.cut.as_mut().is_some_and(|cut| cut.poll(cx).is_ready()) {
            self.report(FAILED);
            return Poll::Ready(BrokenOff.into());
        }
        let Some(idle) = &mut self.idle else {
            return Poll::Pending;
        };
        ready!(idle.poll(cx));
        self.report(STALLED);
        Poll::Ready(Stalled.into())
    }

    pub(super) fn pass(
        &mut self,
        frame: Option<Result<Frame<Bytes>, BoxError>>,
    ) -> Option<Result<Frame<Bytes>, BoxError>> {
        if let Some(idle) = &mut self.idle {
            idle.waiting = false;
        }
        if self.linger == Linger::OnceAsked {
            self.linger = Linger::Yes;
        }
        if let (Some(cut), Some(_)) = (&self.cut, &frame)
            && cut.is_ordered()
        {
            self.report(FAILED);
            return Some(Err(BrokenOff.into()));
        }
        match frame? {
            Err(error) => {
                self.report(FAILED);
                Some(Err(error))
            }
            Ok(mut frame) => {
                self.report(MOVED);
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                let Some(left) = self.left.checked_sub(length) else {
                    self.report(TOO_LARGE);
                    return Some(Err(TooLarge.into()));
                };
                self.left = left;
                if let Some(recording) = &self.recording {
                    recording.keep(&frame);
                }
                if let (Some(trailers), Some(rule)) = (frame.trailers_mut(), &self.trailers) {
                    rule(trailers);
                }
                Some(Ok(frame))
            }
        }
    }
}

impl Cut {
    /// The order changes once, and there is nothing but yes to change to.
    fn is_ordered(&self) -> bool {
        self.order.has_changed().unwrap_or(false)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = self.waiting.get_or_insert_with(|| {
            let mut order = self.order.clone();
            Box::pin(async move {
                if order.wait_for(|cut| *cut).await.is_err() {
                    std::future::pending().await
                }
            })
        });
        waiting.as_mut().poll(cx)
    }
}

impl Idle {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waiting {
            let Ok(_runtime) = Handle::try_current() else {
                // Nothing keeps the time here.
                return Poll::Pending;
            };
            self.waiting = true;
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(Instant::now() + self.timeout),
                None => self.timer = Some(Box::pin(tokio::time::sleep(self.timeout))),
            }
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
