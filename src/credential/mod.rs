//! What the caller must never see: the real key, and how it is come by.
//!
//! A [`Credential`] is put into a request only through a [`Context`](crate::Context), which exists only for a caller
//! whose token was verified. The values it gives are marked sensitive, so `Debug` hides them and HTTP/2 keeps them out
//! of its tables. What a service was given is remembered for the length of the request, and a header of the response that
//! shows it is redacted. Its memory is wiped when the last copy goes.
//!
//! # Where a key comes from
//!
//! | | |
//! | --- | --- |
//! | [`Credential::new`] | a text that you have; [`rotate`](Credential::rotate) replaces it |
//! | [`Credential::env`] | an environment variable, read once |
//! | [`Credential::from_source`] | a [`Source`]: one of those below, or your own |
//! | [`Credential::per_tenant`] | a [`TenantSource`]: your database, asked for the key of each tenant |
//! | [`Credential::choose`] | another credential, chosen for each request without waiting |
//!
//! | source | |
//! | --- | --- |
//! | [`File`] | a file that may change |
//! | [`OAuth2`] | a token endpoint: client credentials, refresh token, JWT bearer |
//! | [`GitHubApp`] | an installation token |
//! | [`GoogleServiceAccount`] | an access token or an id token |
//!
//! A key from a source is kept until it expires, and fetched anew before that: in the background, once for all requests
//! that want it, while they go on with the one there is. A request that finds none waits for it. Without a key nothing is
//! sent: the response is 503 `PROXY_CREDENTIAL_UNAVAILABLE`, or 403 `PROXY_FORBIDDEN` where the source says that this caller
//! may have none. So are the keys of tenants, each on its own.
//!
//! When the upstream refuses such a key (with 401, or as
//! [`ServiceConfig::refuses_key`](crate::ServiceConfig::refuses_key) has it), it is fetched anew, every ten seconds at most,
//! and the request is sent once more if another key came and its body was short enough to be kept (64 KiB).
//!
//! # Example
//!
//! Rotation: sandboxes notice nothing, requests under way finish with the key they started with.
//!
//! ```
//! use sallygate::{Credential, Api, Target};
//!
//! let key = Credential::new("sk-old-0123456789")?;
//! let service = Api::bearer(Target::new("https://api.example.com")?, key.clone());
//! key.rotate("sk-new-0123456789")?;
//! # Ok::<(), sallygate::ConfigError>(())
//! ```
//!
//! A source of your own, and a key for each tenant:
//!
//! ```
//! use std::{collections::HashMap, time::{Duration, SystemTime}};
//! use sallygate::{Credential, JwtVerifier, async_trait, credential::{Secret, Source, SourceError}};
//!
//! # async fn ask_the_vault() -> std::io::Result<&'static str> { Ok("sk-live-0123456789") }
//! struct Vault;
//!
//! #[async_trait]
//! impl Source for Vault {
//!     async fn fetch(&self, now: SystemTime) -> Result<Secret, SourceError> {
//!         let key = ask_the_vault().await.map_err(|_| SourceError::Unreachable)?; // the old key stays meanwhile
//!         Ok(Secret::new(key).expires_at(now + Duration::from_secs(600)))
//!     }
//! }
//!
//! // What the tokens say besides: `issuer.issue("box-1").claims(&Tenant { tenant: "acme".into() })`
//! #[derive(Clone, serde::Serialize, serde::Deserialize)]
//! struct Tenant {
//!     tenant: String,
//! }
//! let verifier = JwtVerifier::hs256([7; 32])?.claims::<Tenant>();
//!
//! let keys = HashMap::from([("acme".to_owned(), Credential::from_source(Vault))]);
//! let key = Credential::choose(move |ctx| {
//!     let tenant = ctx.claims().get::<Tenant>().ok_or(SourceError::Forbidden)?;
//!     keys.get(&tenant.tenant).cloned().ok_or(SourceError::Forbidden)
//! });
//! # Ok::<(), sallygate::ConfigError>(())
//! ```

mod key;
mod material;
mod redaction;
mod refresh;
mod source;
mod tenant;

pub use self::{
    key::Credential,
    source::{
        Assertion, File, GitHubApp, GoogleServiceAccount, GoogleToken, OAuth2, Secret, SigningKey,
        Source, SourceError,
    },
    tenant::TenantSource,
};

pub(crate) use self::material::{Material, sensitive};
