use std::{ops::Deref, sync::Arc, time::SystemTime};

use async_trait::async_trait;

use crate::token::{Claims, Revocations};

/// Decides whether a token is good, and what it says.
///
/// Whatever comes back, the proxy checks the expiry and the [revocations](crate::Revocations) itself, on every request.
/// There is no limit on how long `verify` may take: a tower time-out outside the proxy sets one.
///
/// See the [module docs](crate::token) for an example.
#[async_trait]
pub trait Verifier: Send + Sync + 'static {
    /// The answer, if it takes no waiting; `None` sends the token to [`verify`](Self::verify).
    ///
    /// Defaults to `None`. A verifier that answers here saves the request an allocation.
    fn verify_now(&self, token: &str, now: SystemTime) -> Option<Result<Arc<Claims>, TokenError>> {
        let _ = (token, now);
        None
    }

    /// Verifies `token` as of `now`. The token is whatever the caller sent, of any length.
    ///
    /// # Errors
    ///
    /// Why the token is refused. Callers see one and the same 401 for every reason, and 503 for
    /// [`TokenError::Unavailable`].
    async fn verify(&self, token: &str, now: SystemTime) -> Result<Arc<Claims>, TokenError>;
}

/// Why a token was refused. For the operator: the caller is told none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
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
    /// The store behind the verifier cannot answer: nobody is let in, and the caller is told to come back.
    #[error("verifier unavailable")]
    Unavailable,
    /// No such token: for verifiers that look tokens up.
    #[error("unknown")]
    Unknown,
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
        Some(answer) => answer?,
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
