//! What a service is told about the request that it transforms. It exists only for a verified token, it knows which keys
//! the service may put in, and it remembers which it did, for redaction and renewal.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::BuildHasher,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Request, Uri};

use crate::{
    Body, Credential, Injection, TransformError,
    credential::{Material, SourceError},
    service::{Entry, ServiceName, Target, target::concat},
    token::{Claims, Verified},
};

/// What a service is told about the request it transforms.
///
/// It exists only for a verified token, and a credential can be used only with it.
pub struct Context {
    claims: Verified<Arc<Claims>>,
    entry: Arc<Entry>,
    request_id: RequestId,
    now: SystemTime,
    taken: TakenOut,
    injected: Mutex<Injected>,
}

/// What stays behind of the caller's request when it goes out.
pub(crate) struct TakenOut {
    /// The path below the service, with the query.
    pub(crate) uri: Uri,
    /// The headers that were taken out.
    pub(crate) headers: HeaderMap,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) extensions: Extensions,
}

/// The versions of credentials that this request was given; rarely more than one.
#[derive(Default)]
pub(crate) struct Injected {
    first: Option<Version>,
    more: Vec<Version>,
    /// What was chosen, by which chooser.
    chosen: Vec<(Credential, Result<Credential, SourceError>)>,
}

struct Version {
    material: Arc<Material>,
    /// Where another one may be had, should the upstream refuse this.
    renewable: Option<Credential>,
}

impl Context {
    pub(crate) fn new(
        claims: Verified<Arc<Claims>>,
        entry: Arc<Entry>,
        request_id: RequestId,
        now: SystemTime,
        taken: TakenOut,
    ) -> Self {
        Self {
            claims,
            entry,
            request_id,
            now,
            taken,
            injected: Mutex::default(),
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
        &self.entry.name
    }

    /// The id of this request, also found in error bodies and logs.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// When the request came, by the proxy's clock.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.now
    }

    /// Host and port that the caller used, as it gave them.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.taken.host.as_ref()?.to_str().ok()
    }

    /// The path below the service name, as the policy saw it: the same whatever the target's base path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.taken.uri.path()
    }

    /// The caller's headers that were taken out of the request, its token among them, marked sensitive. Never send
    /// them on.
    #[must_use]
    pub fn taken_headers(&self) -> &HeaderMap {
        &self.taken.headers
    }

    /// The request's extensions, as the layers outside left them. None of them travels on with the request.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.taken.extensions
    }

    /// Sends the request to another of the service's targets: its origin, its base path, and below that the path that
    /// the caller asked for, with the query that the request has now.
    ///
    /// # Errors
    ///
    /// When the URI is too long.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{Body, Context, Outcome, Target, TransformError};
    ///
    /// fn route(
    ///     mut request: http::Request<Body>,
    ///     ctx: &Context,
    ///     uploads: &Target,
    /// ) -> Result<Outcome, TransformError> {
    ///     if ctx.path().starts_with("/upload/") {
    ///         ctx.retarget(&mut request, uploads)?;
    ///     }
    ///     Ok(request.into())
    /// }
    /// ```
    pub fn retarget(
        &self,
        request: &mut Request<Body>,
        target: &Target,
    ) -> Result<(), TransformError> {
        let below = concat("", self.path(), request.uri().query())?;
        *request.uri_mut() = target.join(&below)?;
        Ok(())
    }

    /// What stands before the caller's path in the URI that goes out.
    pub(crate) fn base_of<'u>(&self, uri: &'u Uri) -> &'u str {
        uri.path().strip_suffix(self.path()).unwrap_or_default()
    }

    /// What the service says that it puts in.
    pub(super) fn injections(&self) -> &[Injection] {
        &self.entry.injections
    }

    pub(crate) fn remember(&self, renewable: Option<Credential>, material: Arc<Material>) {
        let mut used = self.injected();
        if used.iter().any(|known| Arc::ptr_eq(known, &material)) {
            return;
        }
        let new = Version {
            material,
            renewable,
        };
        match used.first {
            None => used.first = Some(new),
            Some(_) => used.more.push(new),
        }
    }

    /// What `chooser` chose for this request; asks it the first time.
    pub(crate) fn chosen(
        &self,
        chooser: &Credential,
        choose: impl FnOnce() -> Result<Credential, SourceError>,
    ) -> Result<Credential, SourceError> {
        let known = |used: &Injected| {
            let mut chosen = used.chosen.iter();
            chosen
                .find(|(by, _)| by.is(chooser))
                .map(|(_, chosen)| chosen.clone())
        };
        if let Some(chosen) = known(&self.injected()) {
            return chosen;
        }
        // Not under the lock: it is the embedder's code.
        let chosen = choose();
        self.injected()
            .chosen
            .push((chooser.clone(), chosen.clone()));
        chosen
    }

    /// The text without the credentials that this request was given.
    pub(crate) fn redact(&self, text: Bytes) -> Bytes {
        self.injected().redact(text)
    }

    /// After the upstream refused what it was sent: whether there is another key to try.
    pub(crate) async fn renew(&self) -> bool {
        let renewable: Vec<_> = self
            .injected()
            .versions()
            .filter_map(|used| Some((used.renewable.clone()?, used.material.clone())))
            .collect();
        let mut renewed = false;
        for (credential, material) in renewable {
            renewed |= credential.renew(&material, self.now).await;
        }
        renewed
    }

    fn injected(&self) -> MutexGuard<'_, Injected> {
        self.injected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what this request was given so far.
    pub(crate) fn with_injected<T>(&self, see: impl FnOnce(&Injected) -> T) -> T {
        see(&self.injected())
    }

    /// Gives what this request was given, once nothing more is injected.
    pub(crate) fn take_injected(&self) -> Injected {
        std::mem::take(&mut *self.injected())
    }
}

impl Injected {
    fn versions(&self) -> impl Iterator<Item = &Version> {
        self.first.iter().chain(&self.more)
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<Material>> {
        self.versions().map(|used| &used.material)
    }

    /// The text without any of them; nothing, where it still contains one in another form.
    fn redact(&self, text: Bytes) -> Bytes {
        if !self.is_contained_in(&text) {
            return text;
        }
        let redacted = self
            .iter()
            .fold(text.into(), |text: Vec<u8>, material| material.redact(text));
        if self.is_contained_in(&redacted) {
            Bytes::new()
        } else {
            redacted.into()
        }
    }

    /// Whether `text` contains any of them, raw or encoded.
    pub(crate) fn is_contained_in(&self, text: &[u8]) -> bool {
        self.iter().any(|material| material.is_contained_in(text))
    }
}

/// Shows neither claims nor headers.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("service", &self.entry.name)
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
