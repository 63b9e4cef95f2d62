//! What is looked after while a body passes: its length, its trailers, its idle time, and what ends it early.
//!
//! A body that cannot go wrong has no guard. What a guard holds (a share of an exchange, a connection) is dropped at the
//! body's end, however it ends, and not only when the body itself is dropped.

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
use tower::BoxError;

use super::{
    DrainOnDrop, ReplayBuffer,
    idle::{Idle, IdleTimer},
    progress::{Event, UploadProgress},
};

/// What to do with a trailer section: remove fields, in place.
pub(crate) type TrailerRule = Box<dyn Fn(&mut HeaderMap) + Send + Sync>;

pub(super) struct Guard {
    /// How many more bytes may pass.
    pub(super) left: u64,
    pub(super) progress: Option<Arc<UploadProgress>>,
    pub(super) trailers: Option<TrailerRule>,
    pub(super) replay: Option<ReplayBuffer>,
    pub(super) idle: Option<IdleTimer>,
    pub(super) interrupt: Option<Box<dyn Interrupt>>,
    pub(super) held: Option<Held>,
    pub(super) drain: DrainOnDrop,
    /// How long a reader may leave it unread; `None` where nobody cares, and once the body is revocable.
    pub(super) unread: Option<Duration>,
    pub(super) failed: bool,
}

/// What may end a body before its time.
///
/// A body asks with every frame. One that nobody reads asks nothing, so a task beside it does, when it is told and when the
/// time has come.
pub(crate) trait Interrupt: Send + Sync {
    /// Whether the end has come.
    fn has_come(&mut self) -> bool;

    /// When to ask at the latest, since a clock tells nobody.
    fn check_again_in(&self) -> Duration;

    /// Waits for an end that somebody tells of.
    fn notified(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

    /// Nobody reads the body any more.
    fn on_unread(&mut self);
}

/// What is held for as long as a body passes: a place in a pool, for example. It knows nothing of the body, and the body
/// nothing of it.
pub(crate) type Held = Box<dyn Any + Send + Sync>;

/// The body was broken off by what may end it early.
#[derive(Debug, thiserror::Error)]
#[error("broken off")]
pub(super) struct Interrupted;

/// Nothing of the body came for too long.
#[derive(Debug, thiserror::Error)]
#[error("body did not move")]
pub(super) struct Stalled;

/// The body went over its limit.
#[derive(Debug, thiserror::Error)]
#[error("body over the limit")]
pub(super) struct TooLarge;

impl Guard {
    /// A guard that looks after nothing yet.
    pub(super) fn empty() -> Box<Self> {
        Box::new(Self {
            left: u64::MAX,
            progress: None,
            trailers: None,
            replay: None,
            idle: None,
            interrupt: None,
            held: None,
            drain: DrainOnDrop::Never,
            unread: None,
            failed: false,
        })
    }

    /// Whether it looks after anything.
    pub(super) fn is_in_use(&self) -> bool {
        self.left < u64::MAX
            || self.progress.is_some()
            || self.trailers.is_some()
            || self.replay.is_some()
            || self.idle.is_some()
            || self.interrupt.is_some()
    }

    /// Leaves a note for the stage that waits for the response. What did not pass whole cannot be repeated either.
    pub(super) fn report(&self, event: Event) {
        if let Some(progress) = &self.progress {
            progress.note(event);
        }
        if let (true, Some(replay)) = (event != Event::Moved, &self.replay) {
            replay.discard();
        }
    }

    /// While nothing comes: whether it has been too long, or long enough for the body to be made revocable.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Idle> {
        let Some(timer) = &mut self.idle else {
            return Poll::Pending;
        };
        let idle = ready!(timer.poll(self.unread.is_some(), cx));
        if idle == Idle::TimedOut {
            self.report(Event::Stalled);
        }
        Poll::Ready(idle)
    }

    /// What becomes of a frame, or of the end.
    ///
    /// The interrupt is asked before the length is counted: what was revoked passes no further byte, whatever its size. A
    /// copy for a replay is taken before the trailers are filtered, and gives up on any that come.
    pub(super) fn pass(
        &mut self,
        frame: Option<Result<Frame<Bytes>, BoxError>>,
    ) -> Option<Result<Frame<Bytes>, BoxError>> {
        if let Some(timer) = &mut self.idle {
            timer.moved();
        }
        match frame? {
            Err(error) => {
                self.report(Event::Failed);
                Some(Err(error))
            }
            Ok(_) if self.interrupt.as_mut().is_some_and(|end| end.has_come()) => {
                self.report(Event::Interrupted);
                Some(Err(Interrupted.into()))
            }
            Ok(mut frame) => {
                self.report(Event::Moved);
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                let Some(left) = self.left.checked_sub(length) else {
                    self.report(Event::TooLarge);
                    return Some(Err(TooLarge.into()));
                };
                self.left = left;
                if let Some(replay) = &self.replay {
                    replay.push(&frame);
                }
                if let (Some(trailers), Some(rule)) = (frame.trailers_mut(), &self.trailers) {
                    rule(trailers);
                }
                Some(Ok(frame))
            }
        }
    }
}
