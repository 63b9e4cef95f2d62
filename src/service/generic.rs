use std::{borrow::Cow, fmt};

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Request, header::AUTHORIZATION, request::Parts};

use crate::{
    Body, ConfigError, Credential, Policy,
    rejection::Rejection,
    service::{
        Context, ErrorBody, Limits, Outcome, PathPattern, Place, SandboxSetup, ServiceConfig,
        SetupScope, Target, TransformError, place::Kind,
    },
};

/// A service that swaps the caller's token for a key.
///
/// The token is looked for where the key goes, and in `Authorization: Bearer`. Some APIs are known by name:
/// [`anthropic`](Self::anthropic), for example.
///
/// # Example
///
/// ```
/// use http::{HeaderName, Method};
/// use sallygate::{Credential, Place, Policy, Api, Target};
///
/// let key = Credential::new("sk-live-0123456789")?;
/// let target = Target::new("https://api.example.com/v1")?;
///
/// let bearer = Api::bearer(target.clone(), key.clone());
/// let header = Api::header(target.clone(), HeaderName::from_static("x-api-key"), key.clone())?;
/// let bot = Api::at(target.clone(), Place::path("/bot{key}")?, key.clone());
/// let read_only = bearer.with_policy(Policy::new().methods([Method::GET]));
///
/// // a closure, where a swap is not enough
/// let signed = Api::from_fn(target, move |mut request, ctx| {
///     request.headers_mut().insert("x-tenant", ctx.claims().sandbox_id().try_into()?);
///     request.headers_mut().insert("x-api-key", key.header(ctx)?);
///     Ok(request.into())
/// });
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
pub struct Api {
    target: Target,
    /// The target and those of the routes.
    targets: Vec<Target>,
    accepts: Vec<Place>,
    policy: Policy,
    closure: Option<Closure>,
    places: Vec<(Place, Credential)>,
    /// Those of the places and routes, and those that the closure uses.
    keys: Vec<Credential>,
    headers: Vec<(HeaderName, HeaderValue)>,
    routes: Vec<Route>,
    error: Option<fn(&Rejection) -> ErrorBody>,
    setup: Option<Setup>,
}

type Setup = Box<dyn Fn(&SetupScope<'_>) -> SandboxSetup + Send + Sync>;

type Closure =
    Box<dyn Fn(Request<Body>, &Context) -> Result<Outcome, TransformError> + Send + Sync>;

/// Paths that lead to another target, with the key in another place.
struct Route {
    paths: Vec<PathPattern>,
    target: Target,
    place: Place,
    key: Credential,
}

impl Api {
    /// Puts the key into `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(target: Target, key: Credential) -> Self {
        Self::at(target, Place::bearer(), key)
    }

    /// Puts the key into a header.
    ///
    /// # Errors
    ///
    /// When the header frames the message or names the host.
    pub fn header(target: Target, name: HeaderName, key: Credential) -> Result<Self, ConfigError> {
        Ok(Self::at(target, Place::header(name)?, key))
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
        Ok(Self::at(target, Place::basic(user)?, key))
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
        Ok(Self::at(target, Place::query(name)?, key))
    }

    /// Puts the key into any place.
    #[must_use]
    pub fn at(target: Target, place: Place, key: Credential) -> Self {
        let accepts = match place.kind() {
            Kind::Bearer => vec![place.clone()],
            // A parameter left over from another client's URL must not hide the token.
            Kind::Query(_) => vec![Place::bearer(), place.clone()],
            // A key with a scheme of its own: the token comes with its scheme, too.
            Kind::Header(name) | Kind::Prefixed(name, _) if *name == AUTHORIZATION => {
                vec![Place::bearer(), place.clone()]
            }
            _ => vec![place.clone(), Place::bearer()],
        };
        Self::new(target, accepts).also(place, key)
    }

    /// Lets a closure do what [`ServiceConfig::transform`] does. The closure cannot wait: to read a body or ask a store,
    /// implement [`ServiceConfig`].
    ///
    /// The token is looked for in `Authorization: Bearer`, and where [`accept`](Self::accept) adds. Say with
    /// [`Policy::injects`] where the closure puts a key, and with [`uses`](Self::uses) which one, unless it is
    /// [fixed](Credential::new).
    #[must_use]
    pub fn from_fn<F>(target: Target, transform: F) -> Self
    where
        F: Fn(Request<Body>, &Context) -> Result<Outcome, TransformError> + Send + Sync + 'static,
    {
        let mut service = Self::new(target, vec![Place::bearer()]);
        service.closure = Some(Box::new(transform));
        service
    }

    /// An API that is known by name.
    pub(super) fn known(
        target: Target,
        place: Place,
        key: Credential,
        error: fn(&Rejection) -> ErrorBody,
        setup: impl Fn(&SetupScope<'_>) -> SandboxSetup + Send + Sync + 'static,
    ) -> Self {
        let mut service = Self::at(target, place, key);
        service.error = Some(error);
        service.setup = Some(Box::new(setup));
        service
    }

    fn new(target: Target, accepts: Vec<Place>) -> Self {
        Self {
            targets: vec![target.clone()],
            target,
            accepts,
            policy: Policy::new(),
            closure: None,
            places: Vec::new(),
            keys: Vec::new(),
            headers: Vec::new(),
            routes: Vec::new(),
            error: None,
            setup: None,
        }
    }

    /// Puts another key into another place, or the same one once more; behind a closure, into what it forwards.
    #[must_use]
    pub fn also(mut self, place: Place, key: Credential) -> Self {
        self.policy.places.push(place.clone());
        self.places.push((place, key.clone()));
        self.uses(key)
    }

    /// Names a credential that the closure uses: see [`ServiceConfig::credentials`].
    #[must_use]
    pub fn uses(mut self, key: Credential) -> Self {
        self.keys.push(key);
        self
    }

    /// Sends requests to these paths to another target, with `key` in `place` and nothing else done to them.
    #[must_use]
    pub fn route(
        mut self,
        paths: impl IntoIterator<Item = PathPattern>,
        target: Target,
        place: Place,
        key: Credential,
    ) -> Self {
        self.targets.push(target.clone());
        self.policy.places.push(place.clone());
        self.routes.push(Route {
            paths: paths.into_iter().collect(),
            target,
            place,
            key: key.clone(),
        });
        self.uses(key)
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

    /// Sets which methods, paths and headers pass. Defaults to [`Policy::new`]; an API that is known by name has one of
    /// its own, which this replaces.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        let own = std::mem::replace(&mut self.policy, policy).places;
        self.policy.places.extend(own);
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
            route.key.put(ctx, &mut request, &route.place)?;
            return Ok(request.into());
        }
        if let Some(transform) = &self.closure {
            request = match transform(request, ctx)? {
                Outcome::Forward(request) => request,
                answered => return Ok(answered),
            };
        }
        for (place, key) in &self.places {
            key.put(ctx, &mut request, place)?;
        }
        Ok(request.into())
    }

    fn credentials(&self) -> &[Credential] {
        &self.keys
    }

    fn error(&self, rejection: &Rejection) -> Option<ErrorBody> {
        self.error.map(|error| error(rejection))
    }

    fn setup(&self, scope: &SetupScope<'_>) -> SandboxSetup {
        match &self.setup {
            Some(setup) => setup(scope),
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
