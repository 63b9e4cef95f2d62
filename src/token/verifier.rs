//! The trait by which an embedder's own tokens are accepted, why one is refused, and the proof that one was accepted.

use std::{fmt, ops::Deref, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use tower::BoxError;

use crate::{
    ConfigError,
    token::{Claims, Revocations},
};

/// Decides whether a token is good, and what it says.
///
/// Whatever comes back, the proxy checks the expiry and the [revocations](crate::Revocations) itself, on every request.
/// There is no limit on how long `verify` may take: a tower time-out outside the proxy sets one.
///
/// See the [module docs](crate::token) for an example.
#[async_trait]
pub trait Verifier: Send + Sync + 'static {
    /// What [`verify`](Self::verify) would give, if it takes no waiting; `None` sends the token to [`verify`](Self::verify).
    ///
    /// Defaults to `None`. A verifier that can do without waiting saves the request an allocation.
    fn verify_now(&self, token: &str, now: SystemTime) -> Option<Result<Arc<Claims>, TokenError>> {
        let _ = (token, now);
        None
    }

    /// Verifies `token` as of `now`. The token is whatever the caller sent, of any length.
    ///
    /// # Errors
    ///
    /// Why the token is refused. Callers see one and the same 401 for every reason, and 503 for
    /// [`TokenError::unavailable`]. `?` turns the error of [`Claims::new`] into [`TokenError::Claim`].
    async fn verify(&self, token: &str, now: SystemTime) -> Result<Arc<Claims>, TokenError>;
}

/// Why a token was refused. For the operator: the caller is told none of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The header names an algorithm that the key is not for.
    #[error("wrong algorithm")]
    Algorithm,
    /// `aud` is missing, malformed, for someone else, or present although none is configured.
    #[error("wrong audience")]
    Audience,
    /// A claim is missing, has the wrong type, or contradicts another.
    #[error("bad claim")]
    Claim,
    /// The time in `exp` has passed.
    #[error("expired")]
    Expired,
    /// The token is restricted by `grants`, which this version does not enforce.
    #[error("restricted by grants")]
    Grants,
    /// `iss` is missing, malformed or not the one demanded.
    #[error("wrong issuer")]
    Issuer,
    /// `exp - iat` is over the maximum, or negative; or the token would outlive its
    /// [revocation](crate::Revocations::max_lifetime).
    #[error("lifetime out of range")]
    Lifetime,
    /// Not three base64url parts, or not JSON.
    #[error("malformed")]
    Malformed,
    /// `nbf` or `iat` lies in the future.
    #[error("not yet valid")]
    NotYetValid,
    /// The token, its session or its sandbox was [revoked](crate::Revocations).
    #[error("revoked")]
    Revoked,
    /// The signature was made with none of the keys in use.
    #[error("bad signature")]
    Signature,
    /// Longer than a token may be.
    #[error("too long")]
    TooLong,
    /// The header names another kind of token, or an extension that must be understood.
    #[error("wrong type")]
    Type,
    /// The store behind the verifier does not respond: nobody is let in, and the caller is told to come back. See
    /// [`unavailable`](Self::unavailable).
    #[error("verifier unavailable")]
    Unavailable(Unavailable),
    /// No such token: for verifiers that look tokens up.
    #[error("unknown")]
    Unknown,
}

impl TokenError {
    /// The store behind the verifier does not respond, for this reason. Callers get 503.
    ///
    /// # Example
    ///
    /// ```
    /// use std::{io, sync::Arc, time::SystemTime};
    /// use sallygate::{Claims, Verifier, async_trait, token::TokenError};
    ///
    /// # struct Row { sandbox: String, until: SystemTime }
    /// # struct Store;
    /// # impl Store { async fn row(&self, token: &str) -> io::Result<Option<Row>> { Ok(None) } }
    /// struct Sessions(Store);
    ///
    /// #[async_trait]
    /// impl Verifier for Sessions {
    ///     async fn verify(&self, token: &str, _now: SystemTime) -> Result<Arc<Claims>, TokenError> {
    ///         let row = self.0.row(token).await.map_err(TokenError::unavailable)?;
    ///         let row = row.ok_or(TokenError::Unknown)?;
    ///         Ok(Claims::new(row.sandbox, row.until)?.into())
    ///     }
    /// }
    /// ```
    pub fn unavailable(cause: impl Into<BoxError>) -> Self {
        Self::Unavailable(Unavailable(Arc::new(cause.into())))
    }

    /// What made the verifier unavailable, for the operator. It may hold anything, secrets included: take care where you
    /// write it.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        match self {
            Self::Unavailable(Unavailable(cause)) => Some(&***cause),
            _ => None,
        }
    }
}

/// Claims that cannot be made are [`TokenError::Claim`]; with any other the verifier is not fit to work, and nobody is let
/// in.
impl From<ConfigError> for TokenError {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Claims(_) => Self::Claim,
            other => Self::unavailable(other),
        }
    }
}

/// Why a verifier does not respond. Two are equal, whatever they hold.
#[derive(Clone)]
pub struct Unavailable(Arc<BoxError>);

impl PartialEq for Unavailable {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Unavailable {}

/// Shows nothing of the cause.
impl fmt::Debug for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

/// Proof that a verifier accepted the token these claims came from.
///
/// Only [`verify`] makes one, and without one there is no [`Context`](crate::Context), so no credential can be used.
#[derive(Debug)]
pub(crate) struct Verified<T>(T);

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

pub(crate) async fn verify(
    verifier: &dyn Verifier,
    revocations: Option<&Revocations>,
    token: &str,
    now: SystemTime,
) -> Result<Verified<Arc<Claims>>, TokenError> {
    let claims = match verifier.verify_now(token, now) {
        Some(claims) => claims?,
        None => verifier.verify(token, now).await?,
    };
    if claims.expired(now) {
        return Err(TokenError::Expired);
    }
    if let Some(revocations) = revocations {
        revocations.check(&claims, now)?;
    }
    Ok(Verified(claims))
}
