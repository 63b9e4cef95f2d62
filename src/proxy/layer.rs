//! What an embedder writes: the layer is the builder.

use std::{fmt, sync::Arc};

use tower::Layer;

use crate::{
    Client, ConfigError,
    clock::Clock,
    door::Cors,
    exchange::Exchanges,
    proxy::{
        Handle, Proxy, ProxyService,
        config::{self, Config},
    },
    service::{Limits, ServiceConfig},
    token::{Revocations, Verifier},
};

/// Puts the proxy around an application. `C` is the outbound service.
///
/// Cheap to clone; clones share services and keys. See the [module docs](crate::proxy).
#[derive(Clone)]
#[must_use]
pub struct ProxyLayer<C = Client> {
    config: Arc<Config>,
    client: C,
}

impl ProxyLayer {
    /// Creates a proxy without services at `mount`, a path such as `/proxy` (`/` for everything), for callers whose
    /// tokens `verifier` accepts.
    ///
    /// # Errors
    ///
    /// When the mount is not a plain path: a query, a dot segment or a percent-escape in it.
    pub fn new(mount: &str, verifier: impl Verifier) -> Result<Self, ConfigError> {
        Ok(Self {
            config: Arc::new(Config::new(mount, verifier)?),
            client: Client::new(),
        })
    }
}

impl<C> ProxyLayer<C> {
    /// Adds a service.
    ///
    /// # Errors
    ///
    /// When the name breaks the grammar of [`ServiceName`](crate::service::ServiceName), there is already a service of
    /// that name, or its target is not among its targets.
    pub fn service(self, name: &str, config: impl ServiceConfig) -> Result<Self, ConfigError> {
        self.handle().add(name, config)?;
        Ok(self)
    }

    /// Sends requests through another outbound service: a [`Client`] with other settings, tower layers around one, or
    /// anything else. Defaults to [`Client::new`].
    ///
    /// It gets requests with an absolute URI and without `Host`, which HTTP clients write from the URI. Each request
    /// waits for `poll_ready` of a clone of the service before its `call`; a time-out layer does not count that wait.
    /// Behind a concurrency limit, `load_shed` as the outermost layer responds with 503 at once instead of waiting. Tower's
    /// concurrency limit counts a request until the head of its response, not while its body streams.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use sallygate::{Client, JwtVerifier, ProxyLayer};
    /// use tower::{ServiceBuilder, timeout::TimeoutLayer};
    ///
    /// let outbound = ServiceBuilder::new()
    ///     .layer(TimeoutLayer::new(Duration::from_secs(30)))
    ///     .service(Client::new());
    /// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?.client(outbound);
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    pub fn client<D>(self, client: D) -> ProxyLayer<D> {
        ProxyLayer {
            config: self.config,
            client,
        }
    }

    /// Sets limits for all services together. Those that `limits` does not set stay as they are.
    pub fn limits(self, limits: Limits) -> Self {
        self.handle().set_limits(limits);
        self
    }

    /// Refuses what is revoked there, and ends what is under way. Defaults to nothing that could be revoked.
    ///
    /// Tokens that live longer than [`Revocations::max_lifetime`] are refused from then on, those of a verifier of your
    /// own among them.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{JwtVerifier, ProxyLayer, Revocations};
    ///
    /// let revocations = Revocations::new();
    /// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?.revocations(&revocations);
    /// revocations.revoke_sandbox("box-1")?;
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    pub fn revocations(mut self, revocations: &Revocations) -> Self {
        revocations.tell(self.config.exchanges.interrupts());
        Arc::make_mut(&mut self.config).revocations = Some(revocations.clone());
        self
    }

    /// Takes the time from `clock`. Defaults to the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        let config = Arc::make_mut(&mut self.config);
        Exchanges::set_clock(Arc::make_mut(&mut config.exchanges), clock);
        self
    }

    /// Sets the origin under which callers see the proxy, `https://gate.example.com`, for references in responses
    /// (`Location`, `Link`) and for [what a sandbox needs](Handle::sandbox_setup), of handles that are taken after this.
    /// Defaults to none: references then begin with the mount.
    ///
    /// # Errors
    ///
    /// When it is anything but scheme, host and port.
    pub fn public_origin(mut self, origin: &str) -> Result<Self, ConfigError> {
        let origin = config::origin(origin)?.to_owned();
        Arc::make_mut(&mut self.config).public_origin = Some(origin);
        Ok(self)
    }

    /// Also serves everything at this host name as the service `service`, whatever the path: for clients that cannot take
    /// a base path, gRPC among them.
    ///
    /// The name has no port and counts in any case. Requests to it never reach the application inside.
    ///
    /// # Errors
    ///
    /// When it is no host name, or the service's name breaks its grammar.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{JwtVerifier, ProxyLayer};
    ///
    /// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?
    ///     .host("grpc.gate.example.com", "greeter")? // https://grpc.gate.example.com/helloworld.Greeter/SayHello
    ///     .host_suffix("proxy.example.com")?; // https://{service}.proxy.example.com/…
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    pub fn host(mut self, host: &str, service: &str) -> Result<Self, ConfigError> {
        let service = service.parse()?;
        Arc::make_mut(&mut self.config).hosts.add(host, service)?;
        Ok(self)
    }

    /// Also serves everything at the host names below this one as the services they name: `{service}.proxy.example.com`.
    /// Host names are read in lower case, so the service's name must be in lower case.
    ///
    /// # Errors
    ///
    /// When it is no host name.
    pub fn host_suffix(mut self, suffix: &str) -> Result<Self, ConfigError> {
        Arc::make_mut(&mut self.config).hosts.add_suffix(suffix)?;
        Ok(self)
    }

    /// Lets pages in browsers call the proxy. Defaults to none.
    pub fn cors(mut self, cors: Cors) -> Self {
        Arc::make_mut(&mut self.config).cors = Some(cors);
        self
    }

    /// A handle to change services and keys at run time.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            snapshot: self.config.snapshot.clone(),
            writing: self.config.writing.clone(),
            mount: self.config.mount.clone(),
            public_origin: self.config.public_origin.clone(),
            exchanges: self.config.exchanges.clone(),
        }
    }

    /// Makes a service of its own, without an application behind it, for a bare server. Everything outside the mount is
    /// answered with 404.
    pub fn into_service(self) -> ProxyService<C> {
        ProxyService::new(self.config, self.client)
    }

    /// Makes a service of its own for a router that strips the mount, as axum's `nest_service` does. Nest it at the
    /// mount: that is where references in responses are made to lead.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{JwtVerifier, ProxyLayer};
    ///
    /// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?;
    /// let app: axum::Router = axum::Router::new().nest_service("/proxy", proxy.into_nested_service());
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    pub fn into_nested_service(mut self) -> ProxyService<C> {
        Arc::make_mut(&mut self.config).nest();
        self.into_service()
    }
}

impl<S, C: Clone> Layer<S> for ProxyLayer<C> {
    type Service = Proxy<S, C>;

    fn layer(&self, inner: S) -> Proxy<S, C> {
        Proxy::new(inner, self.config.clone(), self.client.clone())
    }
}

impl<C> fmt::Debug for ProxyLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyLayer").finish_non_exhaustive()
    }
}
