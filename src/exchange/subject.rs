//! Whose a request is, as far as the corridor has to know.

use std::time::SystemTime;

/// Who a request is counted and ended for: a sandbox, a principal, a preview target.
///
/// A door makes one of whatever it verified. The corridor asks it how long the request may go on, and knows nothing of
/// tokens.
pub(crate) trait Subject: Send + Sync + 'static {
    /// By what its requests are counted together, and hear of their end.
    fn id(&self) -> &str;

    /// When its right ends; `None` if it does not end by itself.
    fn expires_at(&self) -> Option<SystemTime>;

    /// Whether its right was taken back since it was admitted. Asked often: from memory, and without waiting.
    fn is_revoked(&self, now: SystemTime) -> bool;
}
