use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, Request, Uri, header::VIA};

use crate::{
    ConfigError,
    proxy::{
        Cors, Reason,
        hosts::Hosts,
        occupancy::Occupancy,
        route::{Mount, Route},
        shutdown::Shutdown,
    },
    service::{Registry, ServiceName},
    token::{Clock, Revocations, Verifier},
};

/// Everything of a proxy but its outbound service: shared by all its clones.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) mount: Mount,
    nested: bool,
    pub(super) public_origin: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: Arc<ArcSwap<State>>,
    /// Held while the state is being changed.
    pub(super) writing: Arc<Mutex<()>>,
    /// Our names in `Via`, for HTTP/1 and HTTP/2. Unlike any other proxy's: a request that bears it was here before.
    pub(super) via: [HeaderValue; 2],
    pseudonym: Box<str>,
    pub(super) hosts: Hosts,
    pub(super) cors: Option<Cors>,
    pub(super) occupancy: Arc<Occupancy>,
    pub(super) revocations: Option<Revocations>,
    pub(super) shutdown: Shutdown,
}

/// What may change at run time. A request works on one of these from beginning to end.
#[derive(Clone)]
pub(super) struct State {
    pub(super) registry: Registry,
    pub(super) verifier: Arc<dyn Verifier>,
}

impl Gate {
    pub(super) fn new(mount: &str, verifier: impl Verifier) -> Result<Self, ConfigError> {
        let pseudonym = format!("sallygate-{:08x}", RandomState::new().hash_one(0) as u32);
        let via = |version| {
            HeaderValue::try_from(format!("{version} {pseudonym}"))
                .map_err(|_| ConfigError::Header("via"))
        };
        Ok(Self {
            mount: Mount::new(mount)?,
            nested: false,
            public_origin: String::new(),
            clock: Arc::new(SystemTime::now),
            state: Arc::new(ArcSwap::from_pointee(State {
                registry: Registry::default(),
                verifier: Arc::new(verifier),
            })),
            writing: Arc::default(),
            via: [via("1.1")?, via("2.0")?],
            pseudonym: pseudonym.into(),
            hosts: Hosts::default(),
            cors: None,
            occupancy: Arc::default(),
            revocations: None,
            shutdown: Shutdown::default(),
        })
    }

    pub(super) fn nest(&mut self) {
        self.nested = true;
    }

    pub(super) fn set_public_origin(&mut self, given: &str) -> Result<(), ConfigError> {
        self.public_origin = origin(given)?.to_owned();
        Ok(())
    }

    /// Whether a request is ours to look at, or the host application's own.
    pub(super) fn concerns<B>(&self, request: &Request<B>) -> bool {
        self.below(request.uri().path()).is_some()
            || self
                .hosts
                .service(request.uri(), request.headers())
                .is_some()
    }

    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        if self.nested {
            Some(path)
        } else {
            self.mount.below(path)
        }
    }

    /// Tells service name and rest apart. A host name comes before the mount.
    pub(super) fn route<'r>(
        &'r self,
        uri: &'r Uri,
        headers: &'r HeaderMap,
    ) -> Result<Route<'r>, Reason> {
        match self.hosts.service(uri, headers) {
            Some(service) => Route::by_host(service, uri.path()),
            None => Route::of(self.below(uri.path()).unwrap_or_default()),
        }
    }

    /// What callers put before a service's paths.
    pub(super) fn public_prefix(&self, service: &ServiceName, by_host: bool) -> String {
        if by_host {
            return String::new();
        }
        format!("{}{}/{service}", self.public_origin, self.mount.as_str())
    }

    /// How long to wait before looking at the clock again; `None` once the time has come.
    pub(super) fn until(&self, time: SystemTime) -> Option<Duration> {
        let left = time.duration_since(self.clock.now()).ok()?;
        Some(left.min(LOOK)).filter(|left| !left.is_zero())
    }

    pub(super) fn was_here(&self, headers: &HeaderMap) -> bool {
        let bears_it = |value: &HeaderValue| {
            memchr::memmem::find(value.as_bytes(), self.pseudonym.as_bytes()).is_some()
        };
        headers.get_all(VIA).iter().any(bears_it)
    }
}

/// A timer does not know of a machine that slept, or of a clock that was set.
const LOOK: Duration = Duration::from_secs(60);

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
