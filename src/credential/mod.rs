//! What the caller must never see: the real key.
//!
//! A [`Credential`] becomes a header value only through a [`Context`], which exists only for a caller whose token
//! was verified. The values it gives are marked sensitive, so `Debug` hides them and HTTP/2 keeps them out of its
//! tables. What a service was given is remembered for the length of the request, and a header of the answer that shows
//! it is redacted. Its memory is wiped when the last copy goes.
//!
//! # Example
//!
//! Rotation: sandboxes notice nothing, requests under way finish with the key they started with.
//!
//! ```
//! use sallygate::{Credential, Service, Target};
//!
//! let key = Credential::new("sk-old-0123456789")?;
//! let service = Service::bearer(Target::new("https://api.example.com")?, key.clone());
//! key.rotate("sk-new-0123456789")?;
//! # Ok::<(), sallygate::ConfigError>(())
//! ```

mod redaction;

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Uri, uri::PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use zeroize::Zeroizing;

use self::redaction::Redaction;
use crate::{ConfigError, Context, Place, TransformError, service::check_user};

/// The real key of an API, in memory. Clones are handles to the same key.
///
/// See the [module docs](crate::credential).
#[derive(Clone)]
pub struct Credential {
    material: Arc<ArcSwap<Material>>,
}

/// One version of a key, ready to be used.
pub(crate) struct Material {
    raw: HeaderValue,
    bearer: HeaderValue,
    redaction: Redaction,
}

/// RFC 3986's unreserved characters stay: a key put into a query looks as its own client would write it.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Credential {
    /// Takes a key: printable ASCII, no space at either end.
    ///
    /// # Errors
    ///
    /// When the key is empty or holds anything else, a line break from a file for example.
    pub fn new(key: impl Into<String>) -> Result<Self, ConfigError> {
        let material = Material::new(Zeroizing::new(key.into()))?;
        Ok(Self {
            material: Arc::new(ArcSwap::from_pointee(material)),
        })
    }

    /// Replaces the key: the next request uses the new one.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); the old key then stays.
    pub fn rotate(&self, key: impl Into<String>) -> Result<(), ConfigError> {
        self.material
            .store(Arc::new(Material::new(Zeroizing::new(key.into()))?));
        Ok(())
    }

    /// The key itself as a header value, for headers such as `x-api-key`.
    ///
    /// # Errors
    ///
    /// Never for a key in memory.
    pub fn header(&self, ctx: &Context) -> Result<HeaderValue, TransformError> {
        Ok(self.use_in(ctx).raw.clone())
    }

    /// The header value `Bearer <key>`.
    ///
    /// # Errors
    ///
    /// Never for a key in memory.
    pub fn bearer(&self, ctx: &Context) -> Result<HeaderValue, TransformError> {
        Ok(self.use_in(ctx).bearer.clone())
    }

    /// The header value `Basic <user:key>` (RFC 7617).
    ///
    /// # Errors
    ///
    /// When `user` holds a colon or a control character, or is not text that a header takes.
    pub fn basic(&self, ctx: &Context, user: &str) -> Result<HeaderValue, TransformError> {
        check_user(user)?;
        let material = self.use_in(ctx);
        let mut pair = Zeroizing::new(format!("{user}:").into_bytes());
        pair.extend_from_slice(material.raw.as_bytes());
        let pair = Zeroizing::new(STANDARD.encode(&*pair));
        sensitive(["Basic ", &pair]).map_err(|_| TransformError::new("not a header value"))
    }

    /// Sets the query parameter `name` to the key, behind the other parameters.
    ///
    /// # Errors
    ///
    /// When the parameter has no name, or the URI with it is too long.
    pub fn set_query(
        &self,
        ctx: &Context,
        uri: &mut Uri,
        name: &str,
    ) -> Result<(), TransformError> {
        let place = Place::query(name)?;
        let material = self.use_in(ctx);
        let others = uri.query().unwrap_or_default().split('&');
        let mut query: String = others
            .filter(|other| !other.is_empty() && !place.is_parameter(other))
            .flat_map(|other| [other, "&"])
            .collect();
        query.extend(percent_encode(name.as_bytes(), UNRESERVED));
        query.push('=');
        query.extend(percent_encode(material.raw.as_bytes(), UNRESERVED));
        let joined = Bytes::from(format!("{}?{query}", uri.path()));
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_maybe_shared(joined)?);
        *uri = Uri::from_parts(parts)?;
        Ok(())
    }

    fn use_in(&self, ctx: &Context) -> Arc<Material> {
        let material = self.material.load_full();
        ctx.remember(material.clone());
        material
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(***)")
    }
}

impl Material {
    fn new(key: Zeroizing<String>) -> Result<Self, ConfigError> {
        if key.is_empty() {
            return Err(ConfigError::Credential("empty"));
        }
        if !key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(ConfigError::Credential(
                "holds something else than printable ASCII",
            ));
        }
        if key.starts_with(' ') || key.ends_with(' ') {
            return Err(ConfigError::Credential("begins or ends with a space"));
        }
        Ok(Self {
            raw: sensitive([&key])?,
            bearer: sensitive(["Bearer ", &key])?,
            redaction: Redaction::new(key.as_bytes()),
        })
    }

    /// Whether `text` shows the key, raw or encoded.
    pub(crate) fn shows_in(&self, text: &[u8]) -> bool {
        self.redaction.finds(text)
    }
}

/// A header value that hides itself and is wiped when dropped.
fn sensitive<const N: usize>(parts: [&str; N]) -> Result<HeaderValue, ConfigError> {
    let mut wiped = Zeroizing::new(Vec::with_capacity(
        parts.iter().map(|part| part.len()).sum(),
    ));
    for part in parts {
        wiped.extend_from_slice(part.as_bytes());
    }
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(wiped))
        .map_err(|_| ConfigError::Credential("not a header value"))?;
    value.set_sensitive(true);
    Ok(value)
}
