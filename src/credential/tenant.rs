//! Keys that are looked up for each request: a tenant's own, from the host's database. Each tenant's key is fetched,
//! kept and renewed as that of any source is; this file only keeps the tenants apart, and their number within a bound.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;

use crate::{
    Context, Credential,
    credential::{Secret, Source, SourceError},
};

/// Where the keys of tenants come from: a database, asked by what a token says.
///
/// Used through [`Credential::per_tenant`]. See the [module docs](crate::credential) for when it is asked.
///
/// # Example
///
/// ```
/// use std::{io, time::{Duration, SystemTime}};
/// use sallygate::{Context, Credential, async_trait, credential::{Secret, SourceError, TenantSource}};
///
/// # struct Database;
/// # impl Database { async fn key_of(&self, sandbox: &str) -> io::Result<Option<String>> { Ok(None) } }
/// struct Keys(Database);
///
/// #[async_trait]
/// impl TenantSource for Keys {
///     type Tenant = String;
///
///     fn tenant(&self, ctx: &Context) -> Result<String, SourceError> {
///         Ok(ctx.claims().sandbox_id().to_owned())
///     }
///
///     async fn fetch(&self, sandbox: &String, now: SystemTime) -> Result<Secret, SourceError> {
///         let key = self.0.key_of(sandbox).await.map_err(|_| SourceError::Unreachable)?; // 503
///         let key = key.ok_or(SourceError::Forbidden)?; // 403: no such tenant
///         Ok(Secret::new(key).expires_at(now + Duration::from_secs(600)))
///     }
/// }
///
/// let key = Credential::per_tenant(Keys(Database));
/// ```
///
/// By a claim of the embedder's own, and with a refresh token of each tenant's:
///
/// ```
/// use std::time::SystemTime;
/// use sallygate::{
///     Context, Target, async_trait,
///     credential::{OAuth2, Secret, Source, SourceError, TenantSource},
/// };
///
/// # struct Database;
/// # impl Database { async fn refresh_token(&self, tenant: u32) -> Option<String> { None } }
/// #[derive(Clone, serde::Deserialize)]
/// struct Tenant {
///     tenant: u32,
/// }
///
/// struct Grants {
///     database: Database,
///     endpoint: Target,
/// }
///
/// #[async_trait]
/// impl TenantSource for Grants {
///     type Tenant = u32;
///
///     fn tenant(&self, ctx: &Context) -> Result<u32, SourceError> {
///         let claims = ctx.claims().get::<Tenant>();
///         Ok(claims.ok_or(SourceError::Forbidden)?.tenant)
///     }
///
///     async fn fetch(&self, tenant: &u32, now: SystemTime) -> Result<Secret, SourceError> {
///         let token = self.database.refresh_token(*tenant).await.ok_or(SourceError::Forbidden)?;
///         OAuth2::refresh_token(self.endpoint.clone(), "client", token).fetch(now).await
///     }
/// }
/// ```
#[async_trait]
pub trait TenantSource: Send + Sync + 'static {
    /// What a key is looked up by. The key of one is never used for another that differs from it.
    type Tenant: Clone + Eq + Hash + Send + Sync + 'static;

    /// Whose key the request is to have, by what was verified: [`Context::claims`].
    ///
    /// It is asked once for each request, and does not wait.
    ///
    /// # Errors
    ///
    /// [`SourceError::Forbidden`] when there is no such tenant: 403. Any other is responded to with 503.
    fn tenant(&self, ctx: &Context) -> Result<Self::Tenant, SourceError>;

    /// Gets the tenant's key as of `now`, the proxy's clock.
    ///
    /// It is asked as [`Source::fetch`] is: once for all requests of the tenant that wait, in a task of its own. A key
    /// without an [expiry](Secret::expires_at) is kept until the upstream refuses it.
    ///
    /// # Errors
    ///
    /// [`SourceError::Forbidden`] when there is no such tenant: 403, and it is not asked about again for ten seconds. Any
    /// other is responded to with 503, and it is asked again after a second.
    async fn fetch(&self, tenant: &Self::Tenant, now: SystemTime) -> Result<Secret, SourceError>;

    /// How many tenants are remembered, those without a key among them. For one more, that whose last request is longest
    /// ago is forgotten, and looked up again when it comes back. Defaults to 10,000.
    fn max_tenants(&self) -> usize {
        10_000
    }
}

/// The tenants of one source.
pub(super) struct Tenants<S: TenantSource> {
    source: Arc<S>,
    kept: Mutex<Kept<S::Tenant>>,
}

struct Kept<T> {
    credentials: HashMap<T, (Credential, u64)>,
    /// By the number of the last request.
    last_used: BTreeMap<u64, T>,
    requests: u64,
}

impl<S: TenantSource> Tenants<S> {
    pub(super) fn new(source: S) -> Self {
        Self {
            source: Arc::new(source),
            kept: Mutex::new(Kept {
                credentials: HashMap::new(),
                last_used: BTreeMap::new(),
                requests: 0,
            }),
        }
    }

    /// The credential of the tenant whose request this is.
    pub(super) fn choose(&self, ctx: &Context) -> Result<Credential, SourceError> {
        let tenant = self.source.tenant(ctx)?;
        // Callers come from the embedder's own issuer, but how many sandboxes it names is not for them to decide here.
        let max = self.source.max_tenants().max(1);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.requests += 1;
        let request = kept.requests;
        if let Some((credential, last)) = kept.credentials.get_mut(&tenant) {
            let (credential, last) = (credential.clone(), mem::replace(last, request));
            kept.last_used.remove(&last);
            kept.last_used.insert(request, tenant);
            return Ok(credential);
        }
        while kept.credentials.len() >= max
            && let Some((_, oldest)) = kept.last_used.pop_first()
        {
            kept.credentials.remove(&oldest);
        }
        let credential = Credential::from_source(OfTenant {
            source: self.source.clone(),
            tenant: tenant.clone(),
        });
        let entry = (credential.clone(), request);
        kept.credentials.insert(tenant.clone(), entry);
        kept.last_used.insert(request, tenant);
        Ok(credential)
    }
}

/// The key of one tenant, as any other source gives one.
struct OfTenant<S: TenantSource> {
    source: Arc<S>,
    tenant: S::Tenant,
}

#[async_trait]
impl<S: TenantSource> Source for OfTenant<S> {
    async fn fetch(&self, now: SystemTime) -> Result<Secret, SourceError> {
        self.source.fetch(&self.tenant, now).await
    }
}
