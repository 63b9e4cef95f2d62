//! The futures and the body of a door's services.
//!
//! A layer keeps the future and the body of the application inside as they are, unboxed; only what a door handles itself is
//! allocated. All of them are opaque, so that what is inside may change.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::BoxError;

use crate::Body;

/// The future of a service that has a response to every request, such as [`ProxyService`](crate::proxy::ProxyService).
#[must_use = "futures do nothing unless they are polled"]
pub struct InfallibleFuture(Pin<Box<dyn Future<Output = Response<Body>> + Send>>);

impl InfallibleFuture {
    /// Allocates the future: a door's is many times as large as the application's, which would carry it along.
    pub(crate) fn new(future: impl Future<Output = Response<Body>> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl Future for InfallibleFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for InfallibleFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InfallibleFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of an application with a door around it, such as [`Proxy`](crate::proxy::Proxy).
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    // Whose request it is. The application's future stays where it is; ours is behind a pointer.
    enum State<F> {
        Inner { #[pin] future: F },
        Ours { future: InfallibleFuture },
    }
}

impl<F> ResponseFuture<F> {
    /// Falls through to the application.
    pub(crate) fn inner(future: F) -> Self {
        Self {
            state: State::Inner { future },
        }
    }

    /// The door handles it.
    pub(crate) const fn ours(future: InfallibleFuture) -> Self {
        Self {
            state: State::Ours { future },
        }
    }
}

/// The application's error is the only one: a door has a response to whatever goes wrong with it.
impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(match self.project().state.project() {
            StateProjection::Inner { future } => ready!(future.poll(cx))?.map(ResponseBody::inner),
            StateProjection::Ours { future } => {
                let Ok(response) = ready!(Pin::new(future).poll(cx));
                response.map(ResponseBody::ours)
            }
        }))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of a response: the application's, passed through, or ours.
    pub struct ResponseBody<B> {
        #[pin]
        body: Either<B>,
    }
}

pin_project! {
    #[project = EitherProjection]
    enum Either<B> {
        Inner { #[pin] body: B },
        Ours { #[pin] body: Body },
    }
}

impl<B> ResponseBody<B> {
    /// The application's.
    fn inner(body: B) -> Self {
        Self {
            body: Either::Inner { body },
        }
    }

    /// The door's.
    fn ours(body: Body) -> Self {
        Self {
            body: Either::Ours { body },
        }
    }
}

/// Passes every frame on as it is. The two bodies have one error type, the boxed one, since the application's is not known.
impl<B> HttpBody for ResponseBody<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().body.project() {
            EitherProjection::Inner { body } => {
                Poll::Ready(ready!(body.poll_frame(cx)).map(|frame| frame.map_err(Into::into)))
            }
            EitherProjection::Ours { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Either::Inner { body } => body.is_end_stream(),
            Either::Ours { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Either::Inner { body } => body.size_hint(),
            Either::Ours { body } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
