use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::BuildHasher,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{Extensions, HeaderMap, Uri};

use crate::{
    credential::Material,
    service::ServiceName,
    token::{Claims, Verified},
};

/// What a service is told about the request it transforms.
///
/// It exists only for a verified token, and a credential can be used only with it.
pub struct Context {
    claims: Verified<Arc<Claims>>,
    service: ServiceName,
    request_id: RequestId,
    caller: Caller,
    used: Mutex<Used>,
}

/// What stays behind of the caller's request when it goes out.
pub(crate) struct Caller {
    /// The path below the service, with the query.
    pub(crate) uri: Uri,
    /// The headers that were taken out.
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: Extensions,
}

/// The versions of credentials that this request was given; rarely more than one.
#[derive(Default)]
pub(crate) struct Used {
    first: Option<Arc<Material>>,
    more: Vec<Arc<Material>>,
}

impl Context {
    pub(crate) fn new(
        claims: Verified<Arc<Claims>>,
        service: ServiceName,
        request_id: RequestId,
        caller: Caller,
    ) -> Self {
        Self {
            claims,
            service,
            request_id,
            caller,
            used: Mutex::default(),
        }
    }

    /// The verified content of the caller's token.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The name under which the service was called.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The id of this request, also found in error bodies and logs.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// The path below the service name, as the policy saw it: the same whatever the target's base path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.caller.uri.path()
    }

    /// The caller's headers that were taken out of the request, its token among them, marked sensitive. Never send
    /// them on.
    #[must_use]
    pub fn taken_headers(&self) -> &HeaderMap {
        &self.caller.headers
    }

    /// The request's extensions, as the layers outside left them. None of them travels on with the request.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.caller.extensions
    }

    pub(crate) fn remember(&self, material: Arc<Material>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.iter().any(|known| Arc::ptr_eq(known, &material)) {
            return;
        }
        match used.first {
            None => used.first = Some(material),
            Some(_) => used.more.push(material),
        }
    }

    pub(crate) fn into_used(self) -> Used {
        self.used
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn iter(&self) -> impl Iterator<Item = &Arc<Material>> {
        self.first.iter().chain(&self.more)
    }

    /// Whether `text` shows any of them, raw or encoded.
    pub(crate) fn shows_in(&self, text: &[u8]) -> bool {
        self.iter().any(|material| material.shows_in(text))
    }
}

/// Shows neither claims nor headers.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("service", &self.service)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// The id of one request: 32 hexadecimal digits, unique and without a meaning.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

impl RequestId {
    pub(crate) fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self(COUNT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Hashed under a secret seed: the ids do not tell how many requests there were.
        static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let (high, low) = (SEED.hash_one((self.0, 0_u8)), SEED.hash_one((self.0, 1_u8)));
        write!(f, "{high:016x}{low:016x}")
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
