//! What may be changed while the proxy runs.

use std::{
    convert::Infallible,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;

use crate::{
    ConfigError,
    exchange::Exchanges,
    proxy::{
        config::{self, Snapshot},
        mount::Mount,
    },
    service::{Limits, SandboxSetup, ServiceConfig, ServiceName, SetupScope},
    token::Verifier,
};

/// Changes a proxy while it runs: services and keys. From [`ProxyLayer::handle`](crate::ProxyLayer::handle).
///
/// A change applies to the next request; those under way finish with what they started with. (A key of an API is
/// changed with [`Credential::rotate`](crate::Credential::rotate).)
///
/// # Example
///
/// ```
/// use sallygate::{Credential, JwtVerifier, ProxyLayer, Api, Target};
///
/// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?;
/// let handle = proxy.handle();
///
/// let key = Credential::new("sk-live-0123456789")?;
/// handle.set_service("myapi", Api::bearer(Target::new("https://api.example.com")?, key))?;
/// handle.set_verifier(JwtVerifier::hs256([8; 32])?);
/// assert!(handle.remove_service("myapi"));
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) writing: Arc<Mutex<()>>,
    pub(super) mount: Mount,
    pub(super) public_origin: Option<String>,
    pub(super) exchanges: Arc<Exchanges>,
}

impl Handle {
    /// Changes several things at once: a request sees all of them, or none. When `change` fails, nothing has changed.
    ///
    /// # Errors
    ///
    /// Those of `change`.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{ConfigError, Credential, JwtVerifier, ProxyLayer, Api, Target};
    ///
    /// # fn main() -> Result<(), ConfigError> {
    /// let handle = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?.handle();
    /// handle.update(|change| {
    ///     let key = Credential::new("sk-live-0123456789")?;
    ///     change.set_service("myapi", Api::bearer(Target::new("https://api.example.com")?, key))?;
    ///     change.set_verifier(JwtVerifier::hs256([8; 32])?);
    ///     Ok::<(), ConfigError>(())
    /// })
    /// # }
    /// ```
    pub fn update<T, E>(&self, change: impl FnOnce(&mut Change) -> Result<T, E>) -> Result<T, E> {
        // One at a time, so that none undoes another.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Change(Snapshot::clone(&self.snapshot.load()));
        let said = change(&mut changed)?;
        self.snapshot.store(Arc::new(changed.0));
        Ok(said)
    }

    /// Adds a service, or replaces the one of that name.
    ///
    /// # Errors
    ///
    /// When the name breaks the grammar of [`ServiceName`], or the service's target is not among its targets.
    pub fn set_service(&self, name: &str, config: impl ServiceConfig) -> Result<(), ConfigError> {
        self.update(|change| change.set_service(name, config))
    }

    /// Sets limits for all services together. Those that `limits` does not set stay as they are.
    pub fn set_limits(&self, limits: Limits) {
        let set = self.update(|change| {
            change.set_limits(limits);
            Ok::<_, Infallible>(())
        });
        set.unwrap_or_else(|never| match never {})
    }

    pub(super) fn add(&self, name: &str, config: impl ServiceConfig) -> Result<(), ConfigError> {
        self.update(|change| change.insert(name, config, false))
    }

    /// Takes a service away; `false` if there was none of that name.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn remove_service(&self, name: &str) -> bool {
        let removed = self.update(|change| Ok::<_, Infallible>(change.remove_service(name)));
        removed.unwrap_or_else(|never| match never {})
    }

    /// What a sandbox needs so that its tools call all these services through the proxy, with `token`. It reaches the proxy
    /// at its [public origin](crate::ProxyLayer::public_origin).
    ///
    /// # Errors
    ///
    /// When the proxy had no public origin as this handle was taken: [`sandbox_setup_at`](Self::sandbox_setup_at) wants
    /// none.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{Credential, JwtVerifier, ProxyLayer, Api, Target};
    ///
    /// let key = Credential::new("sk-live-0123456789")?;
    /// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?
    ///     .public_origin("https://gate.example.com")?
    ///     .service("myapi", Api::bearer(Target::new("https://api.example.com")?, key))?;
    ///
    /// let setup = proxy.handle().sandbox_setup("the.token.itself")?;
    /// assert_eq!(
    ///     setup.to_dotenv(),
    ///     "MYAPI_API_KEY=the.token.itself\nMYAPI_BASE_URL=https://gate.example.com/proxy/myapi\n",
    /// );
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    pub fn sandbox_setup(&self, token: &str) -> Result<SandboxSetup, ConfigError> {
        let origin = self.public_origin.as_deref();
        let origin = origin.ok_or(ConfigError::PublicOrigin("there is none"))?;
        self.sandbox_setup_at(origin, token)
    }

    /// As [`sandbox_setup`](Self::sandbox_setup), for a sandbox that reaches the proxy at another origin.
    ///
    /// # Errors
    ///
    /// When the origin is anything but scheme, host and port.
    pub fn sandbox_setup_at(&self, origin: &str, token: &str) -> Result<SandboxSetup, ConfigError> {
        let origin = config::origin(origin)?;
        let snapshot = self.snapshot.load();
        let setups = snapshot.registry.services().map(|entry| {
            let base = format!("{origin}{}/{}", self.mount.as_str(), entry.name);
            let scope = SetupScope::new(&entry.name, base, token);
            entry.config.setup(&scope)
        });
        Ok(setups.fold(SandboxSetup::new(), SandboxSetup::merge))
    }

    /// Ends the proxy in order: new requests are answered with 503, requests under way finish, WebSockets are closed,
    /// and what is still under way after `grace` is broken off. Gives the number of those.
    ///
    /// Stop accepting connections first; then wait for this, and for the server's own graceful shutdown beside it.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use sallygate::proxy::Handle;
    /// use tokio::{net::TcpListener, signal, sync::oneshot};
    ///
    /// async fn run(app: axum::Router, listener: TcpListener, handle: Handle) -> std::io::Result<()> {
    ///     let (stop, stopped) = oneshot::channel::<()>();
    ///     let server = axum::serve(listener, app).with_graceful_shutdown(async { drop(stopped.await) });
    ///     let server = tokio::spawn(async { server.await });
    ///     signal::ctrl_c().await?;
    ///     drop(stop);
    ///     let broken_off = handle.shutdown(Duration::from_secs(30)).await;
    ///     eprintln!("{broken_off} requests were broken off");
    ///     server.await?
    /// }
    /// ```
    pub async fn shutdown(&self, grace: Duration) -> usize {
        self.exchanges.shut_down(grace).await
    }

    /// Verifies tokens with another verifier from now on. What the old one had remembered goes with it.
    pub fn set_verifier(&self, verifier: impl Verifier) {
        let set = self.update(|change| {
            change.set_verifier(verifier);
            Ok::<_, Infallible>(())
        });
        set.unwrap_or_else(|never| match never {})
    }
}

/// What is to change: see [`Handle::update`].
pub struct Change(Snapshot);

impl Change {
    /// As [`Handle::set_service`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_service(
        &mut self,
        name: &str,
        config: impl ServiceConfig,
    ) -> Result<(), ConfigError> {
        self.insert(name, config, true)
    }

    fn insert(
        &mut self,
        name: &str,
        config: impl ServiceConfig,
        replace: bool,
    ) -> Result<(), ConfigError> {
        let name = ServiceName::from_str(name)?;
        self.0.registry.insert(name, Arc::new(config), replace)
    }

    /// As [`Handle::remove_service`].
    pub fn remove_service(&mut self, name: &str) -> bool {
        self.0.registry.remove(name)
    }

    /// As [`Handle::set_limits`].
    pub fn set_limits(&mut self, limits: Limits) {
        self.0.registry.set_limits(limits);
    }

    /// The names of the services there are now.
    pub fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.0.registry.services().map(|entry| &entry.name)
    }

    /// As [`Handle::set_verifier`].
    pub fn set_verifier(&mut self, verifier: impl Verifier) {
        self.0.verifier = Arc::new(verifier);
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").finish_non_exhaustive()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
