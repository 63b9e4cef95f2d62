//! Everything of a proxy but its outbound service.
//!
//! What an embedder sets while the application starts is in [`Config`], which is copied on change. What may change at run time
//! is in a [`Snapshot`], which is replaced as a whole: a request loads it once, and works on it to its end.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use http::{Request, Uri};

use crate::{
    ConfigError,
    door::Cors,
    exchange::Exchanges,
    limit::Permits,
    proxy::{
        hosts::Hosts,
        mount::{Mount, Route},
    },
    service::{Registry, ServiceName},
    token::{Revocations, Verifier},
    upstream::headers::Via,
};

/// Everything of a proxy but its outbound service: shared by all its clones.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) mount: Mount,
    /// Whether a router in front strips the mount.
    nested: bool,
    pub(super) public_origin: Option<String>,
    pub(super) hosts: Hosts,
    pub(super) cors: Option<Cors>,
    pub(super) via: Via,
    pub(super) revocations: Option<Revocations>,
    pub(super) exchanges: Arc<Exchanges>,
    /// Of all services together.
    pub(super) permits: Arc<Permits>,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    /// Held while a snapshot is being replaced.
    pub(super) writing: Arc<Mutex<()>>,
}

/// What may change at run time. A request works on one of these from beginning to end.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) registry: Registry,
    pub(super) verifier: Arc<dyn Verifier>,
}

impl Config {
    pub(super) fn new(mount: &str, verifier: impl Verifier) -> Result<Self, ConfigError> {
        Ok(Self {
            mount: Mount::new(mount)?,
            nested: false,
            public_origin: None,
            hosts: Hosts::default(),
            cors: None,
            via: Via::new()?,
            revocations: None,
            exchanges: Arc::default(),
            permits: Arc::default(),
            snapshot: Arc::new(ArcSwap::from_pointee(Snapshot {
                registry: Registry::default(),
                verifier: Arc::new(verifier),
            })),
            writing: Arc::default(),
        })
    }

    pub(super) fn nest(&mut self) {
        self.nested = true;
    }

    /// Where a request leads; `None` if it is not ours to look at. A host name comes before the mount.
    pub(super) fn route<B>(&self, request: &Request<B>) -> Option<Route> {
        let (uri, headers) = (request.uri(), request.headers());
        if let Some(service) = self.hosts.service(uri, headers) {
            return Some(Route::ByHost(service.into()));
        }
        let path = uri.path();
        let below = if self.nested {
            path
        } else {
            self.mount.below(path)?
        };
        Some(Route::by_path(path, below))
    }

    /// What callers put before a service's paths.
    pub(super) fn public_prefix(&self, service: &ServiceName, by_host: bool) -> String {
        if by_host {
            return String::new();
        }
        let origin = self.public_origin.as_deref().unwrap_or_default();
        format!("{origin}{}/{service}", self.mount.as_str())
    }
}

/// Scheme, host and port, without a slash behind them.
pub(super) fn origin(origin: &str) -> Result<&str, ConfigError> {
    let wrong = |problem| Err(ConfigError::PublicOrigin(problem));
    let Ok(uri) = origin.parse::<Uri>() else {
        return wrong("not a URL");
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return wrong("not http:// or https:// and a host");
    }
    if uri.path() != "/" || origin.contains(['?', '#', '@']) {
        return wrong("has more than scheme, host and port");
    }
    Ok(origin.trim_end_matches('/'))
}
