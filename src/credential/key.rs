//! A key, wherever it comes from: fixed, from a source, or another key for each request. What uses it goes through a
//! request's context, which remembers it, so that it can be redacted in the response and renewed after a refusal.

use std::{borrow::Cow, env, fmt, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use crate::{
    ConfigError, Context, TransformError,
    credential::{
        Material, Source, SourceError, TenantSource, refresh::Refresher, tenant::Tenants,
    },
};

/// The real key of an API. Clones are handles to the same key.
///
/// See the [module docs](crate::credential).
#[derive(Clone)]
pub struct Credential {
    origin: Arc<Origin>,
}

enum Origin {
    Fixed(ArcSwap<Material>),
    Source(Arc<Refresher>),
    Choice(Choose),
}

type Choose = Box<dyn Fn(&Context) -> Result<Credential, SourceError> + Send + Sync>;

impl Credential {
    /// Takes a key: printable ASCII, no space at either end.
    ///
    /// # Errors
    ///
    /// When the key is empty or holds anything else, a line break from a file for example.
    pub fn new(key: impl Into<String>) -> Result<Self, ConfigError> {
        let material = Material::new(Zeroizing::new(key.into()))?;
        Ok(Origin::Fixed(ArcSwap::from_pointee(material)).into())
    }

    /// Takes the key that stands in an environment variable now.
    ///
    /// # Errors
    ///
    /// When it is not set, and as for [`new`](Self::new).
    pub fn env(variable: &str) -> Result<Self, ConfigError> {
        // A key itself, put where its name should be, is not to be shown.
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let named = || variable.bytes().all(plain).then(|| variable.into());
        let key = env::var(variable).map_err(|_| ConfigError::Environment(named()))?;
        Self::new(key)
    }

    /// Gets the key from `source`, when a request first needs it.
    #[must_use]
    pub fn from_source(source: impl Source) -> Self {
        Origin::Source(Arc::new(Refresher::new(source))).into()
    }

    /// Uses for each request the credential that `choose` gives for it, which is asked once and cannot wait:
    /// [`per_tenant`](Self::per_tenant) can. With [`SourceError::Forbidden`] the response is 403, with any other error 503.
    /// Keep the credentials it gives: what a source fetched is kept in them.
    ///
    /// What it goes by must have been verified: [`Context::claims`].
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{Credential, credential::SourceError};
    ///
    /// let (free, paid) = (Credential::new("sk-free-0123456789")?, Credential::new("sk-paid-0123456789")?);
    /// let key = Credential::choose(move |ctx| match ctx.claims().sandbox_id().split_once('-') {
    ///     Some(("free", _)) => Ok(free.clone()),
    ///     Some(("paid", _)) => Ok(paid.clone()),
    ///     _ => Err(SourceError::Forbidden),
    /// });
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn choose<F>(choose: F) -> Self
    where
        F: Fn(&Context) -> Result<Self, SourceError> + Send + Sync + 'static,
    {
        Origin::Choice(Box::new(choose)).into()
    }

    /// Uses for each request the key of its tenant, which `source` looks up when it is first needed. What was fetched is
    /// kept for each tenant on its own, until it expires.
    #[must_use]
    pub fn per_tenant(source: impl TenantSource) -> Self {
        let tenants = Tenants::new(source);
        Self::choose(move |ctx| tenants.choose(ctx))
    }

    /// Replaces the key: the next request uses the new one.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), and when the key comes from a source or is chosen. The old key then stays.
    pub fn rotate(&self, key: impl Into<String>) -> Result<(), ConfigError> {
        let material = Material::new(Zeroizing::new(key.into()))?;
        match &*self.origin {
            Origin::Fixed(current) => current.store(Arc::new(material)),
            _ => {
                return Err(ConfigError::Credential(
                    "one that is fetched or chosen is not rotated by hand",
                ));
            }
        }
        Ok(())
    }

    /// The key as it is now, remembered as used by this request.
    pub(crate) fn material(&self, ctx: &Context) -> Result<Arc<Material>, TransformError> {
        let unavailable = |error| match error {
            SourceError::Forbidden => TransformError::forbidden().because(error),
            _ => TransformError::unavailable().because(error),
        };
        let owner = self.owner(ctx).map_err(unavailable)?;
        let (material, renewable) = match &*owner.origin {
            Origin::Fixed(current) => (current.load_full(), None),
            Origin::Source(refresher) => {
                let material = refresher.current(ctx.now()).map_err(unavailable)?;
                (material, Some(owner.clone().into_owned()))
            }
            // A choice that leads to another one.
            Origin::Choice(_) => return Err(unavailable(SourceError::Other)),
        };
        ctx.remember(renewable, material.clone());
        Ok(material)
    }

    /// Itself, or what it chooses for this request.
    fn owner(&self, ctx: &Context) -> Result<Cow<'_, Self>, SourceError> {
        match &*self.origin {
            Origin::Choice(choose) => ctx.chosen(self, || choose(ctx)).map(Cow::Owned),
            _ => Ok(Cow::Borrowed(self)),
        }
    }

    /// Whether there is a key for this request, without waiting or fetching.
    pub(crate) fn is_ready(&self, now: SystemTime) -> bool {
        match &*self.origin {
            Origin::Fixed(_) => true,
            Origin::Source(refresher) => refresher.is_fresh(now),
            Origin::Choice(_) => false,
        }
    }

    /// Sees to it that there is a key for this request.
    pub(crate) async fn ready(&self, ctx: &Context) -> Result<(), SourceError> {
        match &*self.owner(ctx)?.origin {
            Origin::Fixed(_) => Ok(()),
            Origin::Source(refresher) => refresher.ready(ctx.now()).await,
            Origin::Choice(_) => Err(SourceError::Other),
        }
    }

    /// Whether a key that the upstream refuses can be fetched anew.
    pub(crate) fn may_renew(&self) -> bool {
        !matches!(*self.origin, Origin::Fixed(_))
    }

    /// After the upstream refused `used`: whether there is another key.
    pub(crate) async fn renew(&self, used: &Material, now: SystemTime) -> bool {
        match &*self.origin {
            Origin::Source(refresher) => refresher.renew(used, now).await,
            _ => false,
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.origin, &other.origin)
    }
}

impl From<Origin> for Credential {
    fn from(origin: Origin) -> Self {
        Self {
            origin: Arc::new(origin),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(***)")
    }
}
