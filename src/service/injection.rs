//! A key at its place. A service says it once, and everything that follows from it is the proxy's to do: what callers
//! put at that place is taken out, the key is fetched before it is needed and anew after it was refused.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, header::AUTHORIZATION};

use crate::{
    Body, Context, Credential, Place, TransformError, credential::Material, service::place::Kind,
};

/// A key, and where it goes: a [`Credential`] at a [`Place`].
///
/// A service keeps one for each key, names them all in [`ServiceConfig::injections`](crate::ServiceConfig::injections),
/// and puts them in with [`put`](Self::put). Clones are handles to the same key.
///
/// # Example
///
/// ```
/// use http::HeaderName;
/// use sallygate::{Credential, Injection, Place};
///
/// let key = Credential::new("sk-live-0123456789")?;
/// let bearer = Injection::bearer(key.clone()); // Authorization: Bearer sk-live-…
/// let header = Injection::header(HeaderName::from_static("x-api-key"), key.clone());
/// let bot = Injection::new(Place::path("/bot{key}")?, key);
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Injection {
    place: Place,
    key: Credential,
}

impl Injection {
    /// Puts the key into any place.
    #[must_use]
    pub const fn new(place: Place, key: Credential) -> Self {
        Self { place, key }
    }

    /// Puts the key into `Authorization: Bearer`.
    #[must_use]
    pub const fn bearer(key: Credential) -> Self {
        Self::new(Place::bearer(), key)
    }

    /// Puts the key into a header, as its whole value.
    ///
    /// A header that frames the message or names the host is refused when the service is added to a proxy.
    #[must_use]
    pub const fn header(name: HeaderName, key: Credential) -> Self {
        Self::new(Place::header(name), key)
    }

    /// Where the key goes. [`Place::find`] looks for the caller's token there.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Puts the key into the request, alone: a header or parameter of that name goes.
    ///
    /// # Errors
    ///
    /// With status 502 when the service does not name this injection among its
    /// [`injections`](crate::ServiceConfig::injections), and when the key cannot stand in its place: the request has no
    /// such path segment, or is too long with it. With status 503 when there is no key.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{Body, Context, Injection, TransformError};
    ///
    /// fn sign_in(key: &Injection, request: &mut http::Request<Body>, ctx: &Context) -> Result<(), TransformError> {
    ///     key.put(request, ctx)
    /// }
    /// ```
    pub fn put(&self, request: &mut Request<Body>, ctx: &Context) -> Result<(), TransformError> {
        let key = self.material(ctx)?;
        self.place.put(request, ctx, &key)
    }

    /// The header value that [`put`](Self::put) would set, for what does more with it than that: signs with it, or hands
    /// it to a retry on the outbound side. It is marked sensitive.
    ///
    /// # Errors
    ///
    /// As for [`put`](Self::put), and with status 502 when the place is not a header that holds nothing else.
    pub fn value(&self, ctx: &Context) -> Result<HeaderValue, TransformError> {
        let key = self.material(ctx)?;
        let value = self.place.value(&key)?;
        let value = value.map(|(_, value)| value);
        value.ok_or_else(|| TransformError::new("the place of the key is not a whole header"))
    }

    /// The key as it is now, if the service said that it is put here.
    pub(crate) fn material(&self, ctx: &Context) -> Result<Arc<Material>, TransformError> {
        // Of any other, nobody would have taken out what the caller put in its place.
        if !ctx.injections().iter().any(|own| own.is(self)) {
            return Err(TransformError::new(
                "the injection is not among those that the service names",
            ));
        }
        self.key.material(ctx)
    }

    pub(crate) const fn key(&self) -> &Credential {
        &self.key
    }

    fn is(&self, other: &Self) -> bool {
        self.key.is(&other.key) && self.place == other.place
    }

    /// Where the token of a caller is looked for when the key goes here: the same place, and Bearer.
    pub(super) fn accepts(&self) -> Vec<Place> {
        let place = &self.place;
        match place.kind() {
            Kind::Bearer => vec![place.clone()],
            // A parameter left over from another client's URL must not hide the token.
            Kind::Query(_) => vec![Place::bearer(), place.clone()],
            // A key with a scheme of its own: the token comes with its scheme, too.
            Kind::Header(name) | Kind::Prefixed(name, _) if *name == AUTHORIZATION => {
                vec![Place::bearer(), place.clone()]
            }
            _ => vec![place.clone(), Place::bearer()],
        }
    }
}
