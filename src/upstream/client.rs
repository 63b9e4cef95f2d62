use std::{
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response, Version, header::UPGRADE, uri::Scheme};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use pin_project_lite::pin_project;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::time::{Instant, Sleep};
use tower::{BoxError, Service};

use crate::{
    Body, ConfigError,
    body::UploadProgress,
    service::Bounds,
    upstream::{
        connector::{self, Connector, Versions, YEAR},
        error::TimedOut,
        pools::{Place, Pool, Pools},
    },
};

/// The default outbound service: HTTP/1.1 and HTTP/2 over a pool of connections, TLS by rustls.
///
/// It trusts the Mozilla roots built into it, and nothing can make it accept a certificate that does not verify. It
/// follows no redirects. Clones share the pool.
///
/// A pool belongs to the runtime that its requests run on: a server of several single-threaded runtimes gives each its
/// own client.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use sallygate::Client;
///
/// let client = Client::new()
///     .connect_timeout(Duration::from_secs(3))
///     .response_timeout(Duration::from_secs(60));
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    any: OnceLock<Pools>,
    /// For WebSockets, which begin in HTTP/1.1.
    http1: OnceLock<Pools>,
    /// For servers that speak HTTP/2 without being asked.
    http2: OnceLock<Pools>,
}

/// In the extensions of a request: its service's own time-outs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connect: Option<Duration>,
    pub(crate) response: Option<Duration>,
}

#[derive(Clone)]
struct Settings {
    tls: ClientConfig,
    /// What `tls` trusts, unless it asks the platform.
    roots: Option<Arc<RootCertStore>>,
    connect_timeout: Duration,
    response_timeout: Duration,
    idle_timeout: Duration,
    max_idle: usize,
}

impl Timeouts {
    /// `None` where the client's own hold.
    pub(crate) const fn of(bounds: &Bounds) -> Option<Self> {
        match (bounds.connect_timeout, bounds.response_timeout) {
            (None, None) => None,
            (connect, response) => Some(Self { connect, response }),
        }
    }
}

impl Client {
    /// Creates a client with the default settings.
    #[must_use]
    pub fn new() -> Self {
        let roots = Arc::new(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        });
        let settings = Settings {
            tls: connector::tls(roots.clone()),
            roots: Some(roots),
            connect_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(600),
            idle_timeout: Duration::from_secs(60),
            max_idle: 1024,
        };
        Self::of(settings)
    }

    /// Gives up on a connection, TLS included, after this long. Defaults to 10 seconds.
    #[must_use]
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.connect_timeout = timeout)
    }

    /// Gives up on a response when neither its head has come nor any of the request's body has been sent for this long.
    /// Defaults to 10 minutes, which is how long clients of language models wait for a response that is not streamed.
    ///
    /// The body of the response may take as long as it likes. (A layer around the client that replaces the body of a
    /// request hides how it moves: the time-out then counts from the beginning.)
    #[must_use]
    pub fn response_timeout(self, timeout: Duration) -> Self {
        // What is meant by the longest duration there is: no time-out at all.
        self.with(|settings| settings.response_timeout = timeout.min(YEAR))
    }

    /// Closes connections that were not used for this long. Defaults to 60 seconds.
    #[must_use]
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.idle_timeout = timeout)
    }

    /// Keeps at most this many unused connections to each origin, for each hundred requests that were under way at a time.
    /// Defaults to 1,024.
    #[must_use]
    pub fn max_idle_per_host(self, connections: usize) -> Self {
        self.with(|settings| settings.max_idle = connections)
    }

    /// Also trusts the certificates in this PEM text: a company's own authority, for example.
    ///
    /// # Errors
    ///
    /// When there is no certificate in it, or one that cannot be read, or the platform's roots are in use.
    pub fn add_root_certificates(self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let Some(roots) = &self.inner.settings.roots else {
            return Err(ConfigError::Certificate(
                "the platform's roots cannot be added to",
            ));
        };
        let mut roots = RootCertStore::clone(roots);
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem.as_ref()) {
            let certificate = certificate.map_err(|_| ConfigError::Certificate("not PEM"))?;
            roots
                .add(certificate)
                .map_err(|_| ConfigError::Certificate("not usable as a root"))?;
        }
        if roots.len() == before {
            return Err(ConfigError::Certificate("no certificate in the PEM text"));
        }
        let roots = Arc::new(roots);
        Ok(self.with(|settings| {
            settings.tls = connector::tls(roots.clone());
            settings.roots = Some(roots);
        }))
    }

    /// Trusts what the operating system trusts, instead of the built-in roots and of those added before.
    ///
    /// # Errors
    ///
    /// When the system's verifier cannot be set up.
    #[cfg(feature = "platform-verifier")]
    #[cfg_attr(docsrs, doc(cfg(feature = "platform-verifier")))]
    pub fn platform_roots(self) -> Result<Self, ConfigError> {
        use hyper_rustls::ConfigBuilderExt;

        let tls = connector::tls_builder()
            .try_with_platform_verifier()
            .map_err(|_| ConfigError::Certificate("the platform's verifier cannot be set up"))?
            .with_no_client_auth();
        Ok(self.with(|settings| {
            settings.tls = tls;
            settings.roots = None;
        }))
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.inner.settings.clone();
        change(&mut settings);
        Self::of(settings)
    }

    fn of(settings: Settings) -> Self {
        Self {
            inner: Arc::new(Inner {
                settings,
                any: OnceLock::new(),
                http1: OnceLock::new(),
                http2: OnceLock::new(),
            }),
        }
    }
}

/// How much of a response may come over HTTP/2 before the caller takes it.
const WINDOW: u32 = 1 << 20;

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Inner {
    fn pools(&self, versions: Versions) -> &Pools {
        let pools = match versions {
            Versions::Any => &self.any,
            Versions::Http1 => &self.http1,
            Versions::Http2 => &self.http2,
        };
        pools.get_or_init(|| self.settings.pools(versions))
    }
}

impl Settings {
    fn pools(&self, versions: Versions) -> Pools {
        let settings = self.clone();
        Pools::new(move || settings.pool(versions))
    }

    fn pool(&self, versions: Versions) -> Pool {
        let connector = Connector::new(&self.tls, versions, self.connect_timeout);
        legacy::Client::builder(TokioExecutor::new())
            .http2_initial_stream_window_size(WINDOW)
            // A caller that does not read fills its own stream's window. One for all would soon be full of what such
            // callers leave, and nothing would come for anybody else.
            .http2_initial_connection_window_size(i32::MAX.unsigned_abs())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.idle_timeout)
            .pool_max_idle_per_host(self.max_idle)
            .build(connector)
    }
}

impl Service<Request<Body>> for Client {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        let versions = if request.headers().contains_key(UPGRADE) {
            Versions::Http1
        } else if request.version() == Version::HTTP_2
            && request.uri().scheme() == Some(&Scheme::HTTP)
        {
            Versions::Http2
        } else {
            Versions::Any
        };
        // The connection's version is settled by ALPN; a request that insists on HTTP/2 would be refused over HTTP/1.
        *request.version_mut() = Version::HTTP_11;
        let own = request.extensions_mut().remove::<Timeouts>();
        let timeout = own
            .and_then(|own| own.response)
            .map_or(self.inner.settings.response_timeout, |timeout| {
                timeout.min(YEAR)
            });
        let place = self.inner.pools(versions).enter();
        ResponseFuture {
            upload: request.body().progress(),
            response: place.pool().request(request),
            place: Some(place),
            timer: tokio::time::sleep(timeout),
            timeout,
            connect_timeout: own.and_then(|own| own.connect),
        }
    }
}

pin_project! {
    /// The future of a [`Client`].
    pub struct ResponseFuture {
        #[pin]
        response: legacy::ResponseFuture,
        #[pin]
        timer: Sleep,
        timeout: Duration,
        connect_timeout: Option<Duration>,
        upload: Option<Arc<UploadProgress>>,
        place: Option<Place>,
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let response = match *this.connect_timeout {
            None => this.response.poll(cx),
            Some(timeout) => connector::within(timeout, || this.response.poll(cx)),
        };
        if let Poll::Ready(response) = response {
            return Poll::Ready(match response {
                Ok(response) => {
                    let place = this.place.take();
                    Ok(response.map(|body| Body::new(body).hold(Box::new(place))))
                }
                Err(error) => Err(error.into()),
            });
        }
        loop {
            ready!(this.timer.as_mut().poll(cx));
            if !this
                .upload
                .as_ref()
                .is_some_and(|upload| upload.take_moved())
            {
                return Poll::Ready(Err(TimedOut.into()));
            }
            this.timer.as_mut().reset(Instant::now() + *this.timeout);
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
