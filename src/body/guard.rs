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
    Linger, Recording,
    patience::{Patience, Waited},
    watch::{BROKEN_OFF, FAILED, MOVED, STALLED, TOO_LARGE, Watch},
};

/// What to do with a trailer section: remove fields, in place.
pub(crate) type TrailerRule = Box<dyn Fn(&mut HeaderMap) + Send + Sync>;

/// What is watched while a body passes; a body that cannot go wrong has none.
pub(super) struct Guard {
    pub(super) left: u64,
    pub(super) watch: Option<Arc<Watch>>,
    pub(super) trailers: Option<TrailerRule>,
    pub(super) recording: Option<Recording>,
    pub(super) patience: Option<Patience>,
    /// What may end it early. Freed when the body ends, however it ends, as is what is held.
    pub(super) ending: Option<Box<dyn Ending>>,
    pub(super) held: Option<Held>,
    pub(super) linger: Linger,
    /// How long a reader may leave it unread; `None` once that is seen to.
    pub(super) unread: Option<Duration>,
    pub(super) failed: bool,
}

/// What may end a body before its time.
pub(crate) trait Ending: Send + Sync {
    /// Whether the end has come.
    fn has_come(&mut self) -> bool;

    /// When to ask at the latest.
    fn ask_again_in(&self) -> Duration;

    /// Nobody reads the body any more.
    fn left_unread(&mut self);

    /// Waits until it is announced.
    fn announced(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>>;
}

/// What is held for as long as a body passes: a place in a pool, for example.
pub(crate) type Held = Box<dyn Any + Send + Sync>;

/// The body was broken off.
#[derive(Debug, thiserror::Error)]
#[error("broken off")]
pub(super) struct BrokenOff;

/// The body did not move for too long.
#[derive(Debug, thiserror::Error)]
#[error("body did not move")]
pub(super) struct Stalled;

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
            patience: None,
            ending: None,
            held: None,
            linger: Linger::No,
            unread: None,
            failed: false,
        })
    }

    pub(super) fn report(&self, bit: u8) {
        if let Some(watch) = &self.watch {
            watch.set(bit);
        }
        if let (true, Some(recording)) = (bit != MOVED, &self.recording) {
            recording.give_up();
        }
    }

    /// While nothing comes.
    pub(super) fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Waited> {
        let Some(patience) = &mut self.patience else {
            return Poll::Pending;
        };
        let waited = ready!(patience.poll(self.unread.is_some(), cx));
        if waited == Waited::TooLong {
            self.report(STALLED);
        }
        Poll::Ready(waited)
    }

    pub(super) fn pass(
        &mut self,
        frame: Option<Result<Frame<Bytes>, BoxError>>,
    ) -> Option<Result<Frame<Bytes>, BoxError>> {
        if let Some(patience) = &mut self.patience {
            patience.moved();
        }
        match frame? {
            Err(error) => {
                self.report(FAILED);
                Some(Err(error))
            }
            Ok(_) if self.ending.as_mut().is_some_and(|ending| ending.has_come()) => {
                self.report(BROKEN_OFF);
                Some(Err(BrokenOff.into()))
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
