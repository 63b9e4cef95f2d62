use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    ConfigError,
    proxy::{
        gate::{self, State},
        route::Mount,
        shutdown::Shutdown,
    },
    service::{SandboxSetup, ServiceConfig, ServiceName, SetupScope},
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
/// use sallygate::{Credential, JwtVerifier, ProxyLayer, Service, Target};
///
/// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?;
/// let handle = proxy.handle();
///
/// let key = Credential::new("sk-live-0123456789")?;
/// handle.set_service("myapi", Service::bearer(Target::new("https://api.example.com")?, key))?;
/// handle.set_verifier(JwtVerifier::hs256([8; 32])?);
/// assert!(handle.remove_service("myapi"));
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    pub(super) state: Arc<ArcSwap<State>>,
    pub(super) mount: Mount,
    pub(super) shutdown: Shutdown,
}

impl Handle {
    /// Adds a service, or replaces the one of that name.
    ///
    /// # Errors
    ///
    /// When the name breaks the grammar of [`ServiceName`], or the service's target is not among its targets.
    pub fn set_service(&self, name: &str, config: impl ServiceConfig) -> Result<(), ConfigError> {
        self.add(name, config, true)
    }

    pub(super) fn add(
        &self,
        name: &str,
        config: impl ServiceConfig,
        replace: bool,
    ) -> Result<(), ConfigError> {
        let name = ServiceName::from_str(name)?;
        let config: Arc<dyn ServiceConfig> = Arc::new(config);
        let mut added = Ok(());
        self.state.rcu(|state| {
            let mut state = State::clone(state);
            added = state.registry.insert(name.clone(), config.clone(), replace);
            state
        });
        added
    }

    /// Takes a service away; `false` if there was none of that name.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn remove_service(&self, name: &str) -> bool {
        let mut removed = false;
        self.state.rcu(|state| {
            let mut state = State::clone(state);
            removed = state.registry.remove(name);
            state
        });
        removed
    }

    /// What a sandbox needs so that its tools call all these services through the proxy, with `token`.
    ///
    /// `origin` is where the sandbox reaches the proxy: `https://gate.example.com`.
    ///
    /// # Errors
    ///
    /// When the origin is anything but scheme, host and port.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{Credential, JwtVerifier, ProxyLayer, Service, Target};
    ///
    /// let key = Credential::new("sk-live-0123456789")?;
    /// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?
    ///     .service("myapi", Service::bearer(Target::new("https://api.example.com")?, key))?;
    ///
    /// let setup = proxy.handle().sandbox_setup("https://gate.example.com", "the.token.itself")?;
    /// assert_eq!(
    ///     setup.to_dotenv(),
    ///     "MYAPI_API_KEY=the.token.itself\nMYAPI_BASE_URL=https://gate.example.com/proxy/myapi\n",
    /// );
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    pub fn sandbox_setup(&self, origin: &str, token: &str) -> Result<SandboxSetup, ConfigError> {
        let origin = gate::origin(origin)?;
        let state = self.state.load();
        let setups = state.registry.services().map(|entry| {
            entry.config.setup(&SetupScope {
                service: &entry.name,
                base: format!("{origin}{}/{}", self.mount.as_str(), entry.name),
                token,
            })
        });
        Ok(setups.fold(SandboxSetup::new(), SandboxSetup::merge))
    }

    /// Ends the proxy in order: new requests are answered with 503, requests under way finish, WebSockets are closed,
    /// and what is still streaming after `grace` is broken off. Gives the number of those.
    ///
    /// Stop accepting connections first; then wait for this, and for the server's own graceful shutdown beside it.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        self.shutdown.run(grace).await
    }

    /// Verifies tokens with another verifier from now on. What the old one had remembered goes with it.
    pub fn set_verifier(&self, verifier: impl Verifier) {
        let verifier: Arc<dyn Verifier> = Arc::new(verifier);
        self.state.rcu(|state| State {
            registry: state.registry.clone(),
            verifier: verifier.clone(),
        });
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
