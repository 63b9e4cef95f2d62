use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, crypto::aws_lc_rs};
use tower::{BoxError, Service};

use crate::upstream::{error::TimedOut, stream::Stream};

/// TCP and TLS under one time-out: hyper-util's own covers TCP alone.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector>,
    timeout: Duration,
    http2: bool,
}

/// What is spoken over a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    Any,
    Http1,
    Http2,
}

/// Longer than anything that is waited for, and no sum with it overflows.
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

tokio::task_local! {
    /// That of the request which is polled: a pool tells a connector no more than where to connect to.
    static TIMEOUT: Duration;
}

/// Polls a request that has its own time-out for connections.
pub(super) fn within<T>(timeout: Duration, poll: impl FnOnce() -> T) -> T {
    TIMEOUT.sync_scope(timeout, poll)
}

impl Connector {
    pub(super) fn new(tls: &ClientConfig, versions: Versions, timeout: Duration) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(Duration::from_secs(60)));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            // What may go in the clear is decided by `Target`.
            .https_or_http();
        let https = match versions {
            Versions::Http1 => https.enable_http1().wrap_connector(http),
            Versions::Any | Versions::Http2 => https.enable_all_versions().wrap_connector(http),
        };
        Self {
            https,
            timeout,
            // Rather than by telling the pool: requests would share a connection before it is there, and one that is given
            // up meanwhile would fail the others.
            http2: versions == Versions::Http2,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let timeout = TIMEOUT.try_with(|own| *own).unwrap_or(self.timeout);
        let connect = tokio::time::timeout(timeout.min(YEAR), self.https.call(uri));
        let http2 = self.http2;
        Box::pin(async move { Ok(Stream::new(connect.await.map_err(|_| TimedOut)??, http2)) })
    }
}

pub(super) fn tls(roots: Arc<RootCertStore>) -> ClientConfig {
    tls_builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Names the provider rather than taking the process-wide one, which may be missing or another.
pub(super) fn tls_builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    #[expect(
        clippy::expect_used,
        reason = "at set-up; this provider has suites for both versions"
    )]
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
}
