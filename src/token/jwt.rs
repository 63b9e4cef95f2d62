//! Verifies JWTs. Every claim is read with a type and checked here, because libraries leave much of it to the caller.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, de::DeserializeOwned, de::IgnoredAny};

use crate::{
    ConfigError,
    clock::unix_seconds,
    token::{Claims, TokenError, Verifier, cache::Cache, jws},
};

/// Verifies JWTs signed with a shared secret (HMAC-SHA256), as an [`Issuer`](crate::Issuer) makes them.
///
/// Tokens that were good are remembered (4,096 of them unless set otherwise), so the signature is computed once
/// per token and not once per request; expiry is checked every time. The rules are in the
/// [module docs](crate::token).
///
/// # Example
///
/// ```
/// use sallygate::{Issuer, JwtVerifier};
///
/// let secret = "at least thirty-two bytes of secret";
/// let verifier = JwtVerifier::hs256(secret)?.issuer("https://host.example").audience("proxy");
/// let issuer = Issuer::hs256(secret)?.issuer("https://host.example").audience("proxy");
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
pub struct JwtVerifier {
    keys: Vec<DecodingKey>,
    issuer: Option<String>,
    audience: Option<String>,
    max_lifetime: u64,
    own: Option<ReadOwn>,
    cache: Cache,
}

/// Reads the embedder's own claims from the payload.
type ReadOwn = Box<dyn Fn(&[u8], Claims) -> Option<Claims> + Send + Sync>;

/// Shortest secret, in bytes: the output length of the hash (RFC 7518 §3.2).
const SECRET_MIN: usize = 32;

const SECRETS_MAX: usize = 4;

/// How far `iat` and `nbf` may lie in the future: clocks differ.
const SKEW: u64 = 5;

const CACHE: usize = 4096;
const DAY: u64 = 24 * 60 * 60;

impl JwtVerifier {
    /// Creates a verifier of HS256 tokens.
    ///
    /// # Errors
    ///
    /// When the secret is shorter than 32 bytes.
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let secret = check_secret(secret.as_ref())?;
        Ok(Self {
            keys: vec![DecodingKey::from_secret(secret)],
            issuer: None,
            audience: None,
            max_lifetime: DAY,
            own: None,
            cache: Cache::new(CACHE),
        })
    }

    /// Also accepts tokens signed with this secret: the old one, after a change, until its last token has expired.
    ///
    /// # Errors
    ///
    /// When it is shorter than 32 bytes, or there are four secrets already.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::JwtVerifier;
    ///
    /// let verifier = JwtVerifier::hs256([8; 32])?.previous([7; 32])?;
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    pub fn previous(mut self, secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        // A bad token costs one computation for each.
        if self.keys.len() >= SECRETS_MAX {
            return Err(ConfigError::TokenSecret("more than four at once"));
        }
        let secret = check_secret(secret.as_ref())?;
        self.keys.push(DecodingKey::from_secret(secret));
        Ok(self)
    }

    /// Demands this `iss`. Defaults to not looking at it.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Demands an `aud` that is this or a list with this in it. Defaults to refusing tokens that have an `aud`.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Refuses tokens made to live longer than this, in whole seconds. Defaults to 24 hours.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime.as_secs();
        self
    }

    /// Reads claims of your own as a `T`, found again with [`Claims::get`]. A token without them is refused.
    ///
    /// Defaults to none. `T` is deserialized once a token, from the whole payload.
    ///
    /// # Example
    ///
    /// ```
    /// #[derive(Clone, serde::Deserialize)]
    /// struct Tenant {
    ///     tenant: u32,
    /// }
    ///
    /// let verifier = sallygate::JwtVerifier::hs256([7; 32])?.claims::<Tenant>();
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn claims<T: DeserializeOwned + Clone + Send + Sync + 'static>(mut self) -> Self {
        self.own = Some(Box::new(|payload, claims| {
            serde_json::from_slice(payload)
                .ok()
                .map(|own: T| claims.with(own))
        }));
        self
    }

    /// Remembers about this many verified tokens. Defaults to 4,096; zero verifies every request anew.
    #[must_use]
    pub fn cached_tokens(mut self, tokens: usize) -> Self {
        self.cache = Cache::new(tokens);
        self
    }

    fn check_cached(&self, token: &str, now: SystemTime) -> Result<Arc<Claims>, TokenError> {
        if let Some(claims) = self.cache.get(token) {
            return Ok(claims);
        }
        let claims = Arc::new(self.check(token, now)?);
        self.cache.insert(token, claims.clone());
        Ok(claims)
    }

    fn check(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        let signed = jws::open(token, &self.keys)?;
        let header: Header =
            serde_json::from_slice(&signed.header).map_err(|_| TokenError::Malformed)?;
        if header.alg != "HS256" {
            return Err(TokenError::Algorithm);
        }
        if header.crit.is_some()
            || header
                .typ
                .is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT"))
        {
            return Err(TokenError::Type);
        }
        let wire: Wire = serde_json::from_slice(&signed.payload).map_err(|_| TokenError::Claim)?;
        self.check_times(&wire, unix_seconds(now))?;
        self.check_parties(&wire)?;
        if wire.grants.is_some() {
            return Err(TokenError::Grants);
        }
        if wire.sub.as_ref().is_some_and(|sub| *sub != wire.sandbox_id) {
            return Err(TokenError::Claim);
        }
        let expires_at = UNIX_EPOCH
            .checked_add(Duration::from_secs(wire.exp))
            .ok_or(TokenError::Lifetime)?;
        let mut claims = Claims::new(wire.sandbox_id, expires_at)?;
        if let Some(session_id) = wire.session_id {
            claims = claims.with_session_id(session_id)?;
        }
        if let Some(token_id) = wire.jti {
            claims = claims.with_token_id(token_id)?;
        }
        match &self.own {
            Some(read) => read(&signed.payload, claims).ok_or(TokenError::Claim),
            None => Ok(claims),
        }
    }

    fn check_times(&self, wire: &Wire, now: u64) -> Result<(), TokenError> {
        let soon = now.saturating_add(SKEW);
        if wire.iat > soon || wire.nbf.is_some_and(|nbf| nbf > soon) {
            return Err(TokenError::NotYetValid);
        }
        match wire.exp.checked_sub(wire.iat) {
            Some(lifetime) if lifetime <= self.max_lifetime => {}
            _ => return Err(TokenError::Lifetime),
        }
        if wire.exp <= now {
            Err(TokenError::Expired)
        } else {
            Ok(())
        }
    }

    fn check_parties(&self, wire: &Wire) -> Result<(), TokenError> {
        if self.issuer.is_some() && wire.iss != self.issuer {
            return Err(TokenError::Issuer);
        }
        let ours = match (&self.audience, &wire.aud) {
            (Some(ours), Some(Audience::One(aud))) => aud == ours,
            (Some(ours), Some(Audience::Many(list))) => list.contains(ours),
            (None, aud) => aud.is_none(),
            (Some(_), None) => false,
        };
        if ours {
            Ok(())
        } else {
            Err(TokenError::Audience)
        }
    }
}

#[async_trait]
impl Verifier for JwtVerifier {
    fn verify_now(&self, token: &str, now: SystemTime) -> Option<Result<Arc<Claims>, TokenError>> {
        Some(self.check_cached(token, now))
    }

    async fn verify(&self, token: &str, now: SystemTime) -> Result<Arc<Claims>, TokenError> {
        self.check_cached(token, now)
    }
}

impl fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtVerifier").finish_non_exhaustive()
    }
}

pub(super) fn check_secret(secret: &[u8]) -> Result<&[u8], ConfigError> {
    if secret.len() < SECRET_MIN {
        return Err(ConfigError::TokenSecret("shorter than 32 bytes"));
    }
    Ok(secret)
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    // A key id picks among keys; there is one. It must still be what RFC 7515 says it is.
    #[serde(rename = "kid")]
    _kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "sandboxId")]
    sandbox_id: String,
    #[serde(rename = "sessionId")]
    session_id: Option<String>,
    jti: Option<String>,
    sub: Option<String>,
    iat: u64,
    exp: u64,
    nbf: Option<u64>,
    iss: Option<String>,
    aud: Option<Audience>,
    #[serde(default, deserialize_with = "present")]
    grants: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// A member that is there counts, even as `null`.
fn present<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<IgnoredAny>, D::Error> {
    IgnoredAny::deserialize(input).map(Some)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::Value;

    use super::*;

    /// Wycheproof's HS256 vectors check the signature: their payloads are not claims.
    #[test]
    fn wycheproof_hs256_signatures() {
        let file = include_str!("../../tests/vectors/wycheproof/json_web_signature_test.json");
        let file: Value = serde_json::from_str(file).unwrap();
        let (mut good, mut bad) = (0, 0);
        for group in file["testGroups"].as_array().unwrap() {
            if group["private"]["alg"] != "HS256" {
                continue;
            }
            let key = URL_SAFE_NO_PAD
                .decode(group["private"]["k"].as_str().unwrap())
                .unwrap();
            let key = [DecodingKey::from_secret(&key)];
            for test in group["tests"].as_array().unwrap() {
                let Some(token) = test["jws"].as_str() else {
                    continue;
                };
                let signed = jws::open(token, &key).and_then(|signed| {
                    let header: Header = serde_json::from_slice(&signed.header)
                        .map_err(|_| TokenError::Malformed)?;
                    if header.alg == "HS256" {
                        Ok(())
                    } else {
                        Err(TokenError::Algorithm)
                    }
                });
                // Mislabelled in the published file: see the note there.
                if [367, 370, 372, 373].contains(&test["tcId"].as_u64().unwrap()) {
                    continue;
                }
                let valid = test["result"] == "valid";
                assert_eq!(
                    signed.is_ok(),
                    valid,
                    "{}: {}",
                    test["tcId"],
                    test["comment"]
                );
                *(if valid { &mut good } else { &mut bad }) += 1;
            }
        }
        assert!(good >= 1 && bad >= 10, "{good} good, {bad} bad");
    }
}
