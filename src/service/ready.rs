use std::{borrow::Cow, fmt};

use async_trait::async_trait;
use http::{HeaderName, Request, header::AUTHORIZATION, request::Parts};

use crate::{
    Body, ConfigError, Credential, Policy,
    service::{Context, Outcome, Place, ServiceConfig, Target, TransformError, place::Kind},
};

/// A service that swaps the caller's token for a key, in one place.
///
/// The token is looked for where the key goes, and in `Authorization: Bearer`.
///
/// # Example
///
/// ```
/// use http::{HeaderName, Method};
/// use sallygate::{Credential, Policy, Service, Target};
///
/// let key = Credential::new("sk-live-0123456789")?;
/// let target = Target::new("https://api.example.com/v1")?;
///
/// let bearer = Service::bearer(target.clone(), key.clone());
/// let header = Service::header(target.clone(), HeaderName::from_static("x-api-key"), key.clone())?;
/// let read_only = bearer.policy(Policy::new().methods([Method::GET]));
///
/// // a closure, where a swap is not enough
/// let signed = Service::from_fn(target, move |mut request, ctx| {
///     request.headers_mut().insert("x-tenant", ctx.claims().sandbox_id().try_into()?);
///     request.headers_mut().insert("x-api-key", key.header(ctx)?);
///     Ok(request.into())
/// });
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
pub struct Service {
    target: Target,
    accepts: Vec<Place>,
    policy: Policy,
    inject: Inject,
}

enum Inject {
    Place(Place, Credential),
    Closure(Closure),
}

type Closure =
    Box<dyn Fn(Request<Body>, &Context) -> Result<Outcome, TransformError> + Send + Sync>;

impl Service {
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
            Kind::Header(name) if *name == AUTHORIZATION => vec![Place::bearer(), place.clone()],
            Kind::Basic(_) | Kind::Header(_) => vec![place.clone(), Place::bearer()],
        };
        Self {
            target,
            accepts,
            policy: Policy::new().injects(place.clone()),
            inject: Inject::Place(place, key),
        }
    }

    /// Lets a closure do what [`ServiceConfig::transform`] does. The closure cannot wait: to read a body or ask a store,
    /// implement [`ServiceConfig`].
    ///
    /// The token is looked for in `Authorization: Bearer`, and where [`accept`](Self::accept) adds. Say with
    /// [`Policy::injects`] where the closure puts a key.
    #[must_use]
    pub fn from_fn<F>(target: Target, transform: F) -> Self
    where
        F: Fn(Request<Body>, &Context) -> Result<Outcome, TransformError> + Send + Sync + 'static,
    {
        Self {
            target,
            accepts: vec![Place::bearer()],
            policy: Policy::new(),
            inject: Inject::Closure(Box::new(transform)),
        }
    }

    /// Sets which methods, paths and headers pass. Defaults to [`Policy::new`].
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        let own = std::mem::replace(&mut self.policy, policy).places;
        self.policy.places.extend(own);
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
impl ServiceConfig for Service {
    fn target(&self) -> &Target {
        &self.target
    }

    fn validate<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
        self.accepts.iter().find_map(|place| place.find(request))
    }

    async fn transform(
        &self,
        mut request: Request<Body>,
        ctx: &Context,
    ) -> Result<Outcome, TransformError> {
        let (place, key) = match &self.inject {
            Inject::Closure(transform) => return transform(request, ctx),
            Inject::Place(place, key) => (place, key),
        };
        let (name, value) = match place.kind() {
            Kind::Bearer => (AUTHORIZATION, key.bearer(ctx)?),
            Kind::Basic(user) => (AUTHORIZATION, key.basic(ctx, user)?),
            Kind::Header(name) => (name.clone(), key.header(ctx)?),
            Kind::Query(name) => {
                key.set_query(ctx, request.uri_mut(), name)?;
                return Ok(request.into());
            }
        };
        request.headers_mut().insert(name, value);
        Ok(request.into())
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
