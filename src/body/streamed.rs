//! Bodies of any type, and streams of chunks as bodies.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use sync_wrapper::SyncWrapper;
use tower::BoxError;

/// A body of any type: the application's own, a decoder's, a test's.
///
/// It need not be `Sync`, and [`Body`](super::Body) is. A `SyncWrapper` gives no shared access, so what `&self` is asked for is kept beside it.
pub(super) struct Streamed {
    body: SyncWrapper<Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>>,
    pub(super) ended: bool,
    pub(super) hint: SizeHint,
}

impl Streamed {
    /// Boxes it, with what it says of itself before the first frame.
    pub(super) fn new(
        body: impl HttpBody<Data = Bytes, Error = BoxError> + Send + 'static,
    ) -> Self {
        let (ended, hint) = (body.is_end_stream(), body.size_hint());
        Self {
            body: SyncWrapper::new(Box::pin(body)),
            ended,
            hint,
        }
    }

    /// The next frame, with a note of what `is_end_stream` and `size_hint` will say after it.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let body = self.body.get_mut();
        let frame = ready!(body.as_mut().poll_frame(cx));
        self.ended = frame.is_none() || body.is_end_stream();
        self.hint = body.size_hint();
        Poll::Ready(frame)
    }
}

pin_project_lite::pin_project! {
    /// A stream of chunks, as a body.
    pub(super) struct Chunks<S> {
        #[pin]
        pub(super) stream: S,
    }
}

impl<S, B, E> HttpBody for Chunks<S>
where
    S: Stream<Item = Result<B, E>>,
    B: Into<Bytes>,
    E: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let chunk = ready!(self.project().stream.poll_next(cx));
        Poll::Ready(chunk.map(|chunk| match chunk {
            Ok(data) => Ok(Frame::data(data.into())),
            Err(error) => Err(error.into()),
        }))
    }
}
