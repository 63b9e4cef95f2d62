//! Bodies of requests and responses, and what is looked after while they pass.
//!
//! [`Body`] is the only body type of the crate. Beside its bytes it may carry a [`Guard`], which bounds it, filters its
//! trailers, keeps what may have to be sent again, and ends it early. Frames pass one at a time and nothing is collected.

mod drain;
mod guard;
mod idle;
mod progress;
mod replay;
mod revocable;
mod streamed;

use std::{
    any::Any,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tower::BoxError;

use self::{
    drain::drain,
    guard::{Guard, Held, Stalled, TooLarge},
    idle::{Idle, IdleTimer},
    revocable::RevocableBody,
    streamed::{Chunks, Streamed},
};
use crate::service::TransformError;

pub(crate) use self::{
    drain::DrainOnDrop,
    guard::{Interrupt, TrailerRule},
    progress::{Event, UploadProgress},
    replay::ReplayBuffer,
};

/// A request or response body: nothing, bytes, or a stream.
///
/// It is `Send` and `Sync`, so a `&Request<Body>` may be held across an `.await`. Bodies from hyper are held
/// without a box.
///
/// # Example
///
/// ```
/// # block_on(async {
/// use sallygate::Body;
///
/// let body = Body::from("hello");
/// assert_eq!(body.read(1024).await?, "hello");
///
/// let endless = Body::from(vec![0; 2048]);
/// assert_eq!(endless.read(1024).await.unwrap_err().status(), 413);
/// # Ok::<(), sallygate::TransformError>(())
/// # }).unwrap();
/// # fn block_on<F: Future>(f: F) -> F::Output {
/// #     tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(f)
/// # }
/// ```
pub struct Body {
    kind: Kind,
    guard: Option<Box<Guard>>,
}

/// Where the bytes come from.
enum Kind {
    Empty,
    Full(Bytes),
    /// hyper's own, without a box: most bodies are these.
    Incoming(Incoming),
    Stream(Box<Streamed>),
    /// Any of the others, and its guard, behind a lock that its reader shares with a task.
    Revocable(RevocableBody),
}

impl Body {
    /// Creates an empty body.
    #[must_use]
    pub fn empty() -> Self {
        Kind::Empty.into()
    }

    /// Wraps any HTTP body.
    ///
    /// A body that is known to be at its end becomes an empty one.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self::empty();
        }
        let mut slot = Some(body);
        if let Some(own) = (&mut slot as &mut dyn Any).downcast_mut::<Option<Self>>() {
            return own.take().unwrap_or_else(Self::empty);
        }
        if let Some(incoming) = (&mut slot as &mut dyn Any).downcast_mut::<Option<Incoming>>() {
            return incoming
                .take()
                .map_or_else(Self::empty, |body| Kind::Incoming(body).into());
        }
        match slot {
            Some(body) => Streamed::new(body.map_err(Into::into)).into(),
            None => Self::empty(),
        }
    }

    /// Puts another body around this one, whose progress is still that of the caller's.
    #[cfg(feature = "sigv4")]
    pub(crate) fn wrap<B>(self, wrap: impl FnOnce(Self) -> B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let progress = self.progress();
        let mut body = Self::new(wrap(self));
        if progress.is_some() {
            body.guard.get_or_insert_with(Guard::empty).progress = progress;
        }
        body
    }

    /// Makes a body of a stream of chunks; an `Err` aborts the message. In a request, a
    /// [`TransformError`](crate::TransformError) also decides the status that the caller gets, if there is no response yet.
    pub fn from_stream<S, B, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<B, E>> + Send + 'static,
        B: Into<Bytes>,
        E: Into<BoxError>,
    {
        Streamed::new(Chunks { stream }).into()
    }

    /// Reads the whole body into memory, `limit` bytes at most. Trailers are dropped.
    ///
    /// # Errors
    ///
    /// A [`TransformError`] with status 413 when the body is longer than `limit`, with 400 when it breaks off.
    pub async fn read(self, limit: usize) -> Result<Bytes, TransformError> {
        if self.size_hint().lower() > limit as u64 {
            return Err(TransformError::body_too_large());
        }
        match http_body_util::Limited::new(self, limit).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error)
                if error.is::<http_body_util::LengthLimitError>() || error.is::<TooLarge>() =>
            {
                Err(TransformError::body_too_large())
            }
            Err(error) => {
                Err(TransformError::in_body(&error).unwrap_or_else(TransformError::bad_request))
            }
        }
    }

    /// Clones the body if it is empty or in memory; `None` for a stream.
    ///
    /// This is what makes a request repeatable, for `tower::retry` on the outbound side.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        let clone = match &self.kind {
            Kind::Empty => Kind::Empty,
            Kind::Full(bytes) => Kind::Full(bytes.clone()),
            Kind::Incoming(_) | Kind::Stream(_) | Kind::Revocable(_) => return None,
        };
        Some(clone.into())
    }

    /// A body that nobody looks after yet: one that somebody does, another proxy for example, becomes the inside of it, and
    /// goes on being looked after. What is merely held for it stays.
    pub(crate) fn unguarded(self) -> Self {
        match &self.guard {
            Some(guard) if guard.is_in_use() => Streamed::new(self).into(),
            _ => self,
        }
    }

    /// Makes it the upload of a request: it fails once more than `limit` bytes have passed, and tells how it goes. Empty
    /// ones have nothing to tell.
    pub(crate) fn upload(mut self, limit: u64) -> (Self, Option<Arc<UploadProgress>>) {
        if self.is_end_stream() {
            return (self, None);
        }
        let progress = Arc::new(UploadProgress::default());
        let guard = self.guard.get_or_insert_with(Guard::empty);
        guard.left = limit;
        guard.progress = Some(progress.clone());
        (self, Some(progress))
    }

    /// Breaks the body off once more than `limit` bytes have passed, so that its reader sees that it is not complete.
    pub(crate) fn bounded(mut self, limit: u64) -> Self {
        if limit < u64::MAX && !self.is_end_stream() {
            self.guard.get_or_insert_with(Guard::empty).left = limit;
        }
        self
    }

    /// Gives the body up once nothing has come for this long. One that is in memory is never waited for.
    pub(crate) fn idle_timeout(mut self, timeout: Duration) -> Self {
        if !self.is_buffered() {
            let guard = self.guard.get_or_insert_with(Guard::empty);
            guard.idle = Some(IdleTimer::new(timeout));
        }
        self
    }

    /// Breaks the body off when `interrupt` says so, or its reader leaves it `unread` for so long. Keeps the interrupt until
    /// the body ends; one that takes no time does without.
    pub(crate) fn interrupted_by(
        mut self,
        interrupt: impl FnOnce() -> Box<dyn Interrupt>,
        unread: Duration,
    ) -> Self {
        if !self.is_buffered() {
            let guard = self.guard.get_or_insert_with(Guard::empty);
            guard.interrupt = Some(interrupt());
            guard.unread = Some(unread);
        }
        self
    }

    /// Reads on for a while when it is dropped before its end, so that a caller that is still sending sees the response.
    pub(crate) fn drain_on_drop(mut self, drain: DrainOnDrop) -> Self {
        if drain != DrainOnDrop::Never && !self.is_buffered() {
            self.guard.get_or_insert_with(Guard::empty).drain = drain;
        }
        self
    }

    /// Keeps `held` until the body ends, however it does; a body that has ended frees it now. Several may be held.
    pub(crate) fn hold(mut self, held: Held) -> Self {
        if !self.is_end_stream() {
            let guard = self.guard.get_or_insert_with(Guard::empty);
            guard.held = Some(match guard.held.take() {
                None => held,
                Some(other) => Box::new((other, held)),
            });
        }
        self
    }

    /// Whether it takes no time to pass: nothing can end it early, and nothing is held for it.
    fn is_buffered(&self) -> bool {
        matches!(self.kind, Kind::Empty | Kind::Full(_)) || self.is_end_stream()
    }

    /// Keeps a copy of what passes, `limit` bytes at most. A longer body passes all the same, and cannot be repeated.
    pub(crate) fn replayable(mut self, limit: usize) -> (Self, ReplayBuffer) {
        let replay = ReplayBuffer::new(limit, self.is_end_stream());
        if !self.is_end_stream() {
            let guard = self.guard.get_or_insert_with(Guard::empty);
            guard.replay = Some(replay.clone());
        }
        (self, replay)
    }

    /// Passes the trailer section, if one comes, through a rule. A body that can have none does not ask for it.
    pub(crate) fn filter_trailers(mut self, rule: impl FnOnce() -> TrailerRule) -> Self {
        if !self.is_buffered() {
            self.guard.get_or_insert_with(Guard::empty).trailers = Some(rule());
        }
        self
    }

    /// From its second frame on, or its first long wait, a body that may be interrupted is only lent to its reader.
    ///
    /// Most bodies are one frame, and need no task beside them. Outside a runtime there can be none, and the body stays its
    /// reader's.
    fn make_revocable(&mut self) {
        if let Some(guard) = &mut self.guard
            && let Some(unread) = guard.unread
            && let Ok(runtime) = Handle::try_current()
        {
            guard.unread = None;
            let revocable = RevocableBody::new(std::mem::take(self), unread, &runtime);
            self.kind = Kind::Revocable(revocable);
        }
    }

    /// Nothing comes of it any more: the error was the last that its reader gets, and whatever is behind it is let go.
    fn fail(&mut self) {
        if let Some(guard) = &mut self.guard {
            guard.failed = true;
            // What is drained on drop is still read to its end.
            if guard.drain == DrainOnDrop::Never {
                self.kind = Kind::Empty;
            }
        }
        self.end();
    }

    /// It is over: what was held for it is free now, and not only when the body is dropped.
    fn end(&mut self) {
        if let Some(guard) = &mut self.guard {
            guard.held = None;
            guard.interrupt = None;
            if let Some(replay) = &guard.replay {
                replay.complete();
            }
        }
    }

    /// How it goes, if it is the upload of a request.
    pub(crate) fn progress(&self) -> Option<Arc<UploadProgress>> {
        self.guard.as_ref()?.progress.clone()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(guard) = &mut self.guard {
            if guard.failed {
                return Poll::Ready(None);
            }
            if guard.drain == DrainOnDrop::OnceRead {
                guard.drain = DrainOnDrop::Always;
            }
        }
        let frame = match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Incoming(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            Kind::Stream(body) => body.poll_frame(cx),
            Kind::Revocable(body) => body.poll_frame(cx),
        };
        let Some(guard) = &mut self.guard else {
            return frame;
        };
        let frame = match frame {
            Poll::Ready(frame) => guard.pass(frame),
            Poll::Pending => match ready!(guard.poll_idle(cx)) {
                Idle::TimedOut => Some(Err(Stalled.into())),
                Idle::Long => {
                    self.make_revocable();
                    return self.poll_frame(cx);
                }
            },
        };
        match &frame {
            Some(Err(_)) => self.fail(),
            Some(Ok(_)) if !self.is_end_stream() => self.make_revocable(),
            _ => self.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Stream(body) => body.ended,
            Kind::Revocable(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(body) => body.size_hint(),
            Kind::Stream(body) => body.hint,
            Kind::Revocable(body) => body.size_hint(),
        }
    }
}

/// What is drained on drop goes on in a task; everything else is simply let go, and the connection behind it with it.
impl Drop for Body {
    fn drop(&mut self) {
        let drains = |guard: &Guard| guard.drain == DrainOnDrop::Always;
        if self.guard.as_deref().is_some_and(drains) && !self.is_end_stream() {
            drain(std::mem::replace(&mut self.kind, Kind::Empty).into());
        }
    }
}

impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Self { kind, guard: None }
    }
}

impl From<Streamed> for Body {
    fn from(body: Streamed) -> Self {
        // Bodies are moved often, and those of hyper are smaller.
        Kind::Stream(Box::new(body)).into()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Kind::Empty.into()
        } else {
            Kind::Full(bytes).into()
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}
