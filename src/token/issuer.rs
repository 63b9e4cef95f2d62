//! Makes the tokens that go into sandboxes. What its own verifier would refuse, it does not sign.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use jsonwebtoken::EncodingKey;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    ConfigError,
    clock::{Clock, unix_seconds},
    token::{Claims, jws, jwt::check_secret},
};

/// Issues tokens to sandboxes: JWTs signed with a shared secret (HMAC-SHA256).
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use sallygate::Issuer;
///
/// let issuer = Issuer::hs256("at least thirty-two bytes of secret")?;
/// let token = issuer.issue("my-sandbox").session_id("run-7").expires_in(Duration::from_secs(900)).sign()?;
/// assert_eq!(token.split('.').count(), 3);
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Issuer {
    key: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
    clock: Arc<dyn Clock>,
}

/// Lifetime of a token that does not say: 15 minutes.
const LIFETIME: Duration = Duration::from_secs(15 * 60);

impl Issuer {
    /// Creates an issuer of HS256 tokens.
    ///
    /// # Errors
    ///
    /// When the secret is shorter than 32 bytes.
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Ok(Self {
            key: EncodingKey::from_secret(check_secret(secret.as_ref())?),
            issuer: None,
            audience: None,
            clock: Arc::new(SystemTime::now),
        })
    }

    /// Puts this `iss` into every token. Defaults to none.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Puts this `aud` into every token. Defaults to none.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Takes the time from `clock`. Defaults to the system's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Starts a token for one sandbox.
    pub fn issue(&self, sandbox_id: impl Into<String>) -> Draft<'_> {
        Draft {
            issuer: self,
            sandbox_id: sandbox_id.into(),
            session_id: None,
            token_id: None,
            lifetime: LIFETIME,
            own: None,
        }
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").finish_non_exhaustive()
    }
}

/// A token about to be signed, from [`Issuer::issue`].
#[must_use = "a draft is nothing until it is signed"]
pub struct Draft<'i> {
    issuer: &'i Issuer,
    sandbox_id: String,
    session_id: Option<String>,
    token_id: Option<String>,
    lifetime: Duration,
    own: Option<Result<Value, serde_json::Error>>,
}

impl Draft<'_> {
    /// Names the session within the sandbox. Defaults to none.
    pub fn session_id(mut self, session_id: impl Into<String>) -> Self {
        self.session_id = Some(session_id.into());
        self
    }

    /// Names the token (`jti`), so that it alone can be [revoked](crate::Revocations::revoke_token). Defaults to none.
    pub fn token_id(mut self, token_id: impl Into<String>) -> Self {
        self.token_id = Some(token_id.into());
        self
    }

    /// Makes the token good for this long, in whole seconds. Defaults to 15 minutes.
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Adds claims of your own: the members of a struct or map. See [`JwtVerifier::claims`] for the way back.
    ///
    /// [`JwtVerifier::claims`]: crate::JwtVerifier::claims
    pub fn claims(mut self, own: &impl Serialize) -> Self {
        self.own = Some(serde_json::to_value(own));
        self
    }

    /// Signs the token.
    ///
    /// # Errors
    ///
    /// When an id is empty, too long or not printable, the lifetime is under a second, or claims of your own are not
    /// an object or bear the name of one that is set here.
    pub fn sign(self) -> Result<String, ConfigError> {
        let now = self.issuer.clock.now();
        if self.lifetime.as_secs() == 0 {
            return Err(ConfigError::Claims("the lifetime is under a second"));
        }
        // The rules on ids are the verifier's: a token that it would refuse is not made.
        let mut claims = Claims::new(self.sandbox_id, now)?;
        if let Some(session_id) = self.session_id {
            claims = claims.with_session_id(session_id)?;
        }
        if let Some(token_id) = self.token_id {
            claims = claims.with_token_id(token_id)?;
        }
        let iat = unix_seconds(now);
        let mut payload = Map::new();
        payload.insert("sandboxId".into(), claims.sandbox_id().into());
        if let Some(session_id) = claims.session_id() {
            payload.insert("sessionId".into(), session_id.into());
        }
        if let Some(token_id) = claims.token_id() {
            payload.insert("jti".into(), token_id.into());
        }
        payload.insert("iat".into(), iat.into());
        payload.insert(
            "exp".into(),
            iat.saturating_add(self.lifetime.as_secs()).into(),
        );
        for (name, value) in [("iss", &self.issuer.issuer), ("aud", &self.issuer.audience)] {
            if let Some(value) = value {
                payload.insert(name.into(), value.clone().into());
            }
        }
        match self.own {
            None => {}
            Some(Ok(Value::Object(own))) => add(&mut payload, own)?,
            Some(Err(_)) => {
                return Err(ConfigError::Claims(
                    "claims of your own cannot be serialized",
                ));
            }
            Some(Ok(_)) => return Err(ConfigError::Claims("claims of your own are not an object")),
        }
        let payload = Value::Object(payload).to_string();
        jws::sign(
            br#"{"alg":"HS256","typ":"JWT"}"#,
            payload.as_bytes(),
            &self.issuer.key,
        )
        .ok_or(ConfigError::TokenSecret("cannot sign"))
    }
}

impl fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").finish_non_exhaustive()
    }
}

/// Names with a meaning of their own to a verifier.
const RESERVED: [&str; 11] = [
    "sandboxId",
    "sessionId",
    "iat",
    "exp",
    "nbf",
    "iss",
    "aud",
    "sub",
    "grants",
    "jti",
    "sessionEnd",
];

fn add(payload: &mut Map<String, Value>, own: Map<String, Value>) -> Result<(), ConfigError> {
    for (name, value) in own {
        if RESERVED.contains(&name.as_str()) {
            return Err(ConfigError::Claims(
                "a claim of your own has a reserved name",
            ));
        }
        payload.insert(name, value);
    }
    Ok(())
}
