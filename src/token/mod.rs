//! What the caller holds: short-lived tokens, worthless anywhere else.
//!
//! An [`Issuer`] makes them, a [`Verifier`] checks them, and the proxy passes what they say to the service as
//! [`Claims`]. The ready-made pair is a JWT signed with HMAC-SHA256 ([RFC 7519], `HS256`): any issuer of such
//! tokens will do, as long as they carry `sandboxId`, `iat` and `exp`.
//!
//! # What a JWT must be
//!
//! 1. At most 8 KiB, three parts, strict base64url without padding.
//! 2. Signed with the secret; `alg` is `HS256`, `typ` absent or `JWT`, no `crit`.
//! 3. `sandboxId` a non-empty string, `iat` and `exp` whole numbers, `sessionId` a string if present.
//!    `sub`, if present, names the same sandbox.
//! 4. Not expired, to the second; `iat` and `nbf` not in the future by more than 5 s; `exp - iat` within the
//!    maximum lifetime (24 h unless set otherwise).
//! 5. `iss` and `aud` as configured: one that is set must be present and match, and a token with an `aud` is refused
//!    where none is set.
//! 6. `jti` 1 to 256 printable bytes if present, as `sandboxId` and `sessionId`: the token can be
//!    [revoked](Revocations) by it.
//! 7. No `grants`: this version cannot enforce them, so it does not accept them.
//!
//! # Example
//!
//! A host's own tokens, looked up in its own table:
//!
//! ```
//! use std::{collections::HashMap, sync::Arc, time::SystemTime};
//! use sallygate::{async_trait, token::{Claims, TokenError, Verifier}};
//!
//! struct Sessions(HashMap<String, Arc<Claims>>);
//!
//! #[async_trait]
//! impl Verifier for Sessions {
//!     async fn verify(&self, token: &str, _now: SystemTime) -> Result<Arc<Claims>, TokenError> {
//!         // a real one would ask its store, and look it up by a hash of the token
//!         self.0.get(token).cloned().ok_or(TokenError::Unknown)
//!     }
//! }
//! ```
//!
//! [RFC 7519]: https://www.rfc-editor.org/rfc/rfc7519

mod cache;
mod claims;
pub mod extract;
mod issuer;
mod jws;
mod jwt;
mod revocation;
mod verifier;

pub use self::{
    claims::Claims,
    issuer::{Draft, Issuer},
    jwt::JwtVerifier,
    revocation::Revocations,
    verifier::{TokenError, Unavailable, Verifier},
};

pub(crate) use self::{
    revocation::OnRevocation,
    verifier::{Verified, verify},
};
