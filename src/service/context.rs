use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::BuildHasher,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{Extensions, HeaderMap};

use crate::{
    credential::Material,
    service::ServiceName,
    token::{Claims, Verified},
};

/// What a service is told about the request it transforms.
///
/// There is none without a verified token, and no credential without one of these.
pub struct Context {
    claims: Verified<Arc<Claims>>,
    service: ServiceName,
    request_id: RequestId,
    taken: HeaderMap,
    extensions: Extensions,
    used: Mutex<Used>,
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
        taken: HeaderMap,
        extensions: Extensions,
    ) -> Self {
        Self {
            claims,
            service,
            request_id,
            taken,
            extensions,
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

    /// The caller's headers that were taken out of the request, its token among them. Never send them on.
    #[must_use]
    pub fn taken_headers(&self) -> &HeaderMap {
        &self.taken
    }

    /// The request's extensions, as the layers outside left them. None of them travels on with the request.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    pub(crate) fn remember(&self, material: Arc<Material>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.iter().any(|known| Arc::ptr_eq(known, &material)) {
        } else if used.first.is_none() {
            used.first = Some(material);
        } else {
            used.more.push(material);
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

/// The id of one request: 32 hexadecimal digits, unique, without meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u64, u64);

impl RequestId {
    pub(crate) fn next() -> Self {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // A multiplication by an odd number mixes without ever giving the same id twice.
        let count = COUNT
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(*PROCESS, count)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0, self.1)
    }
}
