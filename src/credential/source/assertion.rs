//! The signed statement by which a program identifies itself to a token endpoint (RFC 7523). Several sources send one.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::{
    clock::unix_seconds,
    credential::{SigningKey, SourceError},
};

/// A signed statement of who asks for a token: a JWT as in [RFC 7523] §3. One is made for each request to the token
/// endpoint, good for five minutes and with an id of its own.
///
/// See [`OAuth2::jwt_bearer`](super::OAuth2::jwt_bearer) for an example.
///
/// [RFC 7523]: https://www.rfc-editor.org/rfc/rfc7523
pub struct Assertion {
    key: SigningKey,
    claims: Map<String, Value>,
}

/// How long an assertion is good, and how far back it is dated: clocks differ.
pub(super) const LIFETIME: Duration = Duration::from_secs(5 * 60);
pub(super) const DRIFT: Duration = Duration::from_secs(10);

impl Assertion {
    /// Starts with who says it and whom it is about: `iss` and `sub`.
    #[must_use]
    pub fn new(key: SigningKey, issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        let assertion = Self {
            key,
            claims: Map::new(),
        };
        assertion.claim("iss", issuer).claim("sub", subject)
    }

    /// Sets whom it is for: `aud`. Defaults to the URL of the token endpoint.
    #[must_use]
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.claim("aud", audience)
    }

    /// Adds a claim, or replaces one, except `exp`, `iat` and `jti`.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.claims.insert(name.into(), value.into().into());
        self
    }

    pub(super) fn sign(
        &self,
        endpoint: &str,
        now: SystemTime,
    ) -> Result<Zeroizing<String>, SourceError> {
        let mut claims = self.claims.clone();
        claims.entry("aud").or_insert_with(|| endpoint.into());
        claims.insert("jti".into(), id()?.into());
        date(&mut claims, now, DRIFT, LIFETIME);
        self.key.sign(claims)
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion").finish_non_exhaustive()
    }
}

/// Adds when the claims were made and until when they are good, as seen from `now`.
pub(super) fn date(
    claims: &mut Map<String, Value>,
    now: SystemTime,
    back: Duration,
    ahead: Duration,
) {
    let now = unix_seconds(now);
    claims.insert("iat".into(), now.saturating_sub(back.as_secs()).into());
    claims.insert("exp".into(), now.saturating_add(ahead.as_secs()).into());
}

fn id() -> Result<String, SourceError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SourceError::Other)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
