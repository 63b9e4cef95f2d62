//! A ready-made service for any API whose clients send a key: it takes the token where the key stands, and puts the key
//! there. The APIs that are known by name are made of it.

use std::{borrow::Cow, fmt};

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Request, request::Parts};

use crate::{
    Body, ConfigError, Credential, Policy,
    rejection::Rejection,
    service::{
        Context, ErrorBody, Injection, Limits, Outcome, PathPattern, Place, SandboxSetup,
        ServiceConfig, SetupScope, Target, TransformError, known::Known,
    },
};

/// A service that swaps the caller's token for a key.
///
/// The token is looked for where the key goes, and in `Authorization: Bearer`. Some APIs are
/// [known by name](Self::known_names): [`anthropic`](Self::anthropic), for example.
///
/// # Example
///
/// ```
/// use http::{HeaderName, Method};
/// use sallygate::{Api, Credential, Injection, Place, Target};
///
/// let key = Credential::new("sk-live-0123456789")?;
/// let target = Target::new("https://api.example.com/v1")?;
///
/// let bearer = Api::bearer(target.clone(), key.clone());
/// let header = Api::header(target.clone(), HeaderName::from_static("x-api-key"), key.clone());
/// let bot = Api::new(target.clone(), Injection::new(Place::path("/bot{key}")?, key.clone()));
/// let read_only = bearer.policy(|policy| policy.methods([Method::GET]));
///
/// // a closure, where a swap is not enough
/// let named = Api::from_fn(target, |mut request, ctx| {
///     request.headers_mut().insert("x-tenant", ctx.claims().sandbox_id().try_into()?);
///     Ok(request.into())
/// });
/// let named = named.inject(Injection::header(HeaderName::from_static("x-api-key"), key));
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
pub struct Api {
    target: Target,
    /// The target and those of the routes.
    targets: Vec<Target>,
    pub(super) accepts: Vec<Place>,
    policy: Policy,
    closure: Option<Closure>,
    /// What is put into every request that takes no route.
    own: Vec<Injection>,
    /// Those, and the ones of the routes.
    injections: Vec<Injection>,
    headers: Vec<(HeaderName, HeaderValue)>,
    routes: Vec<Route>,
    /// What is known of it by name.
    pub(super) known: Option<&'static Known>,
}

type Closure =
    Box<dyn Fn(Request<Body>, &Context) -> Result<Outcome, TransformError> + Send + Sync>;

/// Paths that lead to another target, with a key of their own.
struct Route {
    paths: Vec<PathPattern>,
    target: Target,
    injection: Injection,
}

impl Api {
    /// Puts the key into `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(target: Target, key: Credential) -> Self {
        Self::new(target, Injection::bearer(key))
    }

    /// Puts the key into a header.
    ///
    /// One that frames the message or names the host is refused when the service is added to a proxy.
    #[must_use]
    pub fn header(target: Target, name: HeaderName, key: Credential) -> Self {
        Self::new(target, Injection::header(name, key))
    }

    /// Puts the key into `Authorization: Basic`, as the password of `user`.
    ///
    /// # Errors
    ///
    /// When the user name holds a colon or a control character.
    pub fn basic(
        target: Target,
        user: impl Into<String>,
        key: Credential,
    ) -> Result<Self, ConfigError> {
        let place = Place::basic(user)?;
        Ok(Self::new(target, Injection::new(place, key)))
    }

    /// Puts the key into a query parameter.
    ///
    /// # Errors
    ///
    /// When the parameter has no name.
    pub fn query(
        target: Target,
        name: impl Into<String>,
        key: Credential,
    ) -> Result<Self, ConfigError> {
        let place = Place::query(name)?;
        Ok(Self::new(target, Injection::new(place, key)))
    }

    /// Puts a key into any place.
    #[must_use]
    pub fn new(target: Target, injection: Injection) -> Self {
        Self::accepting(target, injection.accepts()).inject(injection)
    }

    /// Lets a closure do what [`ServiceConfig::transform`] does, but for the keys, which [`inject`](Self::inject) adds: they
    /// are put into what the closure forwards. The closure cannot wait: to read a body or ask a store, implement
    /// [`ServiceConfig`].
    ///
    /// The token is looked for in `Authorization: Bearer`, and where [`accept`](Self::accept) adds.
    #[must_use]
    pub fn from_fn<F>(target: Target, transform: F) -> Self
    where
        F: Fn(Request<Body>, &Context) -> Result<Outcome, TransformError> + Send + Sync + 'static,
    {
        let mut service = Self::accepting(target, vec![Place::bearer()]);
        service.closure = Some(Box::new(transform));
        service
    }

    /// An API that is known by name.
    pub(super) fn of(known: &'static Known, target: Target, place: Place, key: Credential) -> Self {
        let mut service = Self::new(target, Injection::new(place, key));
        service.known = Some(known);
        service
    }

    fn accepting(target: Target, accepts: Vec<Place>) -> Self {
        Self {
            targets: vec![target.clone()],
            target,
            accepts,
            policy: Policy::new(),
            closure: None,
            own: Vec::new(),
            injections: Vec::new(),
            headers: Vec::new(),
            routes: Vec::new(),
            known: None,
        }
    }

    /// Puts in another key, or the same one in another place.
    #[must_use]
    pub fn inject(mut self, injection: Injection) -> Self {
        self.own.push(injection.clone());
        self.injections.push(injection);
        self
    }

    /// Sends requests to these paths to another target, with this key alone and nothing else done to them.
    #[must_use]
    pub fn route(
        mut self,
        paths: impl IntoIterator<Item = PathPattern>,
        target: Target,
        injection: Injection,
    ) -> Self {
        self.targets.push(target.clone());
        self.injections.push(injection.clone());
        self.routes.push(Route {
            paths: paths.into_iter().collect(),
            target,
            injection,
        });
        self
    }

    /// Sets a header of every request, in place of the caller's: `OpenAI-Organization`, for example.
    #[must_use]
    pub fn set_header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        // What is sensitive stands alone, whatever spelling of its name the caller used.
        value.set_sensitive(true);
        self.headers.push((name, value));
        self
    }

    /// Replaces the target: a compatible API elsewhere, for one that is known by name.
    #[must_use]
    pub fn with_target(mut self, target: Target) -> Self {
        if let Some(first) = self.targets.first_mut() {
            *first = target.clone();
        }
        self.target = target;
        self
    }

    /// Adjusts which methods, paths and headers pass, and within which limits. Defaults to [`Policy::new`]; an API that is
    /// known by name has a policy of its own, whose refusals stay whatever is set here.
    ///
    /// # Example
    ///
    /// ```
    /// use http::Method;
    /// use sallygate::{Api, Credential};
    ///
    /// // still without what hands out keys
    /// let openai = Api::openai(Credential::new("sk-0123456789")?).policy(|policy| policy.methods([Method::GET]));
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn policy(mut self, adjust: impl FnOnce(Policy) -> Policy) -> Self {
        let before = self.policy.clone();
        self.policy = adjust(self.policy).within(before);
        self
    }

    /// Replaces the policy as a whole, with all that it refuses: an API that is known by name then hands out its keys.
    #[must_use]
    pub fn replace_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets limits of the service's own. Those that `limits` does not set stay as they are.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.policy = self.policy.limits(limits);
        self
    }

    /// Also looks for the token in this place, last.
    #[must_use]
    pub fn accept(mut self, place: Place) -> Self {
        self.accepts.push(place);
        self
    }
}

#[async_trait]
impl ServiceConfig for Api {
    fn target(&self) -> &Target {
        &self.target
    }

    fn targets(&self) -> &[Target] {
        &self.targets
    }

    fn validate<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
        self.accepts.iter().find_map(|place| place.find(request))
    }

    async fn transform(
        &self,
        mut request: Request<Body>,
        ctx: &Context,
    ) -> Result<Outcome, TransformError> {
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let leads = |route: &&Route| route.paths.iter().any(|path| path.matches(ctx.path()));
        if let Some(route) = self.routes.iter().find(leads) {
            ctx.retarget(&mut request, &route.target)?;
            route.injection.put(&mut request, ctx)?;
            return Ok(request.into());
        }
        if let Some(transform) = &self.closure {
            request = match transform(request, ctx)? {
                Outcome::Forward(request) => request,
                response => return Ok(response),
            };
        }
        for injection in &self.own {
            injection.put(&mut request, ctx)?;
        }
        Ok(request.into())
    }

    fn injections(&self) -> &[Injection] {
        &self.injections
    }

    fn error(&self, rejection: &Rejection) -> Option<ErrorBody> {
        self.known.map(|known| (known.error)(rejection))
    }

    fn setup(&self, scope: &SetupScope<'_>) -> SandboxSetup {
        match self.known {
            Some(known) => (known.setup)(scope, &self.targets),
            None => generic_setup(scope),
        }
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// What a sandbox needs for an API that is not known by name: for a service `my-api`, `MY_API_BASE_URL` and
/// `MY_API_KEY`.
pub(super) fn generic_setup(scope: &SetupScope<'_>) -> SandboxSetup {
    let prefix = scope.variable_prefix();
    let stem = prefix.strip_suffix("_API").unwrap_or(&prefix);
    SandboxSetup::new()
        .env(format!("{prefix}_BASE_URL"), scope.base())
        .env(format!("{stem}_API_KEY"), scope.token())
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
