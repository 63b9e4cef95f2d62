//! What a token says of its holder, once it is verified. Whatever verifier made them, the proxy checks expiry and
//! revocation itself.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::Extensions;

use crate::{ConfigError, clock::unix_seconds};

/// The verified content of a token: who calls, and until when.
///
/// A [`Verifier`](crate::token::Verifier) of your own makes them with [`Claims::new`]; a [`JwtVerifier`] fills
/// them from the token. Anything else your services need to know travels along, typed: see [`Claims::with`] and
/// [`JwtVerifier::claims`].
///
/// # Example
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use sallygate::token::Claims;
///
/// #[derive(Clone)]
/// struct Tenant(u32);
///
/// let expires_at = SystemTime::now() + Duration::from_secs(900);
/// let claims = Claims::new("box-1", expires_at)?.with_session_id("run-7")?.with(Tenant(42));
/// assert_eq!(claims.sandbox_id(), "box-1");
/// assert_eq!(claims.get::<Tenant>().unwrap().0, 42);
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
///
/// [`JwtVerifier`]: crate::JwtVerifier
/// [`JwtVerifier::claims`]: crate::JwtVerifier::claims
#[derive(Clone)]
pub struct Claims {
    sandbox_id: Box<str>,
    session_id: Option<Box<str>>,
    token_id: Option<Box<str>>,
    expires_at: u64,
    own: Extensions,
}

/// Longest id, in bytes.
const ID_MAX: usize = 256;

pub(super) const SANDBOX_ID: &str = "the sandbox id is not 1 to 256 printable bytes";
pub(super) const SESSION_ID: &str = "the session id is not 1 to 256 printable bytes";
pub(super) const TOKEN_ID: &str = "the token id is not 1 to 256 printable bytes";

impl Claims {
    /// Creates the claims of one sandbox, good until `expires_at` (to the second).
    ///
    /// # Errors
    ///
    /// When the sandbox id is empty, longer than 256 bytes or holds a control character.
    pub fn new(sandbox_id: impl Into<String>, expires_at: SystemTime) -> Result<Self, ConfigError> {
        Ok(Self {
            sandbox_id: id(sandbox_id.into(), SANDBOX_ID)?,
            session_id: None,
            token_id: None,
            expires_at: unix_seconds(expires_at),
            own: Extensions::new(),
        })
    }

    /// Names the session within the sandbox.
    ///
    /// # Errors
    ///
    /// As for the sandbox id.
    pub fn with_session_id(mut self, session_id: impl Into<String>) -> Result<Self, ConfigError> {
        self.session_id = Some(id(session_id.into(), SESSION_ID)?);
        Ok(self)
    }

    /// Names the token, so that it can be [revoked](crate::Revocations::revoke_token).
    ///
    /// # Errors
    ///
    /// As for the sandbox id.
    pub fn with_token_id(mut self, token_id: impl Into<String>) -> Result<Self, ConfigError> {
        self.token_id = Some(id(token_id.into(), TOKEN_ID)?);
        Ok(self)
    }

    /// Adds a value of the embedder's own, one of each type.
    #[must_use]
    pub fn with<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.own.insert(value);
        self
    }

    /// The sandbox that the token was issued to.
    #[must_use]
    pub fn sandbox_id(&self) -> &str {
        &self.sandbox_id
    }

    /// The session within the sandbox, if the token names one.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// The id of the token, if it bears one (`jti`).
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// When the token stops being good.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        // A time beyond what the platform can hold is as good as its start: long expired.
        UNIX_EPOCH
            .checked_add(Duration::from_secs(self.expires_at))
            .unwrap_or(UNIX_EPOCH)
    }

    /// The embedder's own value of this type, if the verifier put one in.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.own.get()
    }

    pub(crate) fn expired(&self, now: SystemTime) -> bool {
        self.expires_at <= unix_seconds(now)
    }
}

fn id(id: String, problem: &'static str) -> Result<Box<str>, ConfigError> {
    check_id(&id, problem)?;
    Ok(id.into())
}

pub(super) fn check_id(id: &str, problem: &'static str) -> Result<(), ConfigError> {
    if id.is_empty() || id.len() > ID_MAX || id.contains(char::is_control) {
        return Err(ConfigError::Claims(problem));
    }
    Ok(())
}

/// Shows no content: claims must not reach a log.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}
