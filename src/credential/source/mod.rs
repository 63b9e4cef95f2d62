//! Where keys come from that change: what the proxy asks of a source, and one file for each that is ready-made. What
//! several of them share (a token endpoint, its responses, signing keys) stands beside them.

mod assertion;
mod exchange;
mod file;
mod github_app;
mod google;
mod oauth;
mod rfc3339;
mod signing_key;
mod token_response;

use std::{fmt, time::SystemTime};

use async_trait::async_trait;
use zeroize::Zeroizing;

pub use self::{
    assertion::Assertion,
    file::File,
    github_app::GitHubApp,
    google::{GoogleServiceAccount, GoogleToken},
    oauth::OAuth2,
    signing_key::SigningKey,
};

/// Where a key comes from that can change: a file, a token endpoint, a vault.
///
/// See the [module docs](crate::credential) for an example, and for when it is asked.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Gets the key as of `now`, the proxy's clock.
    ///
    /// It is asked once for all requests that wait, in a task of its own. One that takes longer than 30 seconds is given
    /// up; one that failed is asked again after a second at the earliest, after [`SourceError::Forbidden`] after ten.
    ///
    /// # Errors
    ///
    /// Why there is no key. [`SourceError::Missing`] and [`SourceError::Forbidden`] take away the one there was, any other
    /// error leaves it until it expires.
    async fn fetch(&self, now: SystemTime) -> Result<Secret, SourceError>;
}

/// A key as it comes from a [`Source`], and how long it is good.
///
/// Its memory is wiped when it goes.
pub struct Secret {
    pub(in crate::credential) text: Zeroizing<String>,
    pub(in crate::credential) expires_at: Option<SystemTime>,
}

impl Secret {
    /// A key that is kept until the upstream refuses it.
    ///
    /// It must be what [`Credential::new`](crate::Credential::new) takes; if it is not, there is no key.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: Zeroizing::new(text.into()),
            expires_at: None,
        }
    }

    /// Sets when the key stops being good. Another one is fetched when three quarters of its life are over, five minutes
    /// before its end at the earliest.
    #[must_use]
    pub fn expires_at(mut self, expires_at: SystemTime) -> Self {
        self.expires_at = Some(expires_at);
        self
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Why there is no key. For the operator: it holds nothing that came from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The caller may have no key at all, a tenant that does not exist for example: 403, not 503. One that there was is
    /// not to be used any more.
    #[error("forbidden")]
    Forbidden,
    /// What came is no key, or not in the form it should have.
    #[error("malformed")]
    Malformed,
    /// There is none now, and the one there was is not to be used any more: a file is gone, a tenant has no key yet.
    #[error("missing")]
    Missing,
    /// Anything else.
    #[error("failed")]
    Other,
    /// The other side said no, in this way.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// No response in time.
    #[error("timed out")]
    Timeout,
    /// The other side could not be asked.
    #[error("unreachable")]
    Unreachable,
}
