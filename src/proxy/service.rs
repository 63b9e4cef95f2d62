//! The tower services: around an application, and without one.
//!
//! Both decide synchronously whether a request is theirs. What is not falls through untouched and unboxed.

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower::{BoxError, Service};

use crate::{
    Body, Client,
    door::{InfallibleFuture, ResponseBody, ResponseFuture},
    proxy::{config::Config, serve::serve},
};

/// An application with the proxy around it. Made by [`ProxyLayer`](crate::ProxyLayer).
#[derive(Clone)]
pub struct Proxy<S, C = Client> {
    inner: S,
    config: Arc<Config>,
    client: C,
}

impl<S, C> Proxy<S, C> {
    pub(super) const fn new(inner: S, config: Arc<Config>, client: C) -> Self {
        Self {
            inner,
            config,
            client,
        }
    }
}

impl<S, C, ReqBody, ResBody, OutBody> Service<Request<ReqBody>> for Proxy<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    C: Service<Request<Body>, Response = Response<OutBody>> + Clone + Send + 'static,
    C::Future: Send,
    C::Error: Into<BoxError>,
    ReqBody: HttpBody<Data = Bytes> + Send + 'static,
    ReqBody::Error: Into<BoxError>,
    OutBody: HttpBody<Data = Bytes> + Send + 'static,
    OutBody::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> ResponseFuture<S::Future> {
        let Some(route) = self.config.route(&request) else {
            return ResponseFuture::inner(self.inner.call(request));
        };
        let (config, client) = (self.config.clone(), self.client.clone());
        let request = request.map(Body::new);
        ResponseFuture::ours(serve(config, client, request, Some(route)))
    }
}

/// The proxy without an application. Made by [`ProxyLayer::into_service`](crate::ProxyLayer::into_service).
#[derive(Clone)]
pub struct ProxyService<C = Client> {
    config: Arc<Config>,
    client: C,
}

impl<C> ProxyService<C> {
    pub(super) const fn new(config: Arc<Config>, client: C) -> Self {
        Self { config, client }
    }
}

impl<C, ReqBody, OutBody> Service<Request<ReqBody>> for ProxyService<C>
where
    C: Service<Request<Body>, Response = Response<OutBody>> + Clone + Send + 'static,
    C::Future: Send,
    C::Error: Into<BoxError>,
    ReqBody: HttpBody<Data = Bytes> + Send + 'static,
    ReqBody::Error: Into<BoxError>,
    OutBody: HttpBody<Data = Bytes> + Send + 'static,
    OutBody::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = InfallibleFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let route = self.config.route(&request);
        let (config, client) = (self.config.clone(), self.client.clone());
        let request = request.map(Body::new);
        serve(config, client, request, route)
    }
}

impl<S, C> fmt::Debug for Proxy<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for ProxyService<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyService").finish_non_exhaustive()
    }
}
