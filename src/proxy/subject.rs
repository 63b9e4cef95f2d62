//! The sandbox of a token, as the corridor sees it.

use std::{sync::Arc, time::SystemTime};

use crate::{
    exchange::Subject,
    token::{Claims, Revocations},
};

/// The sandbox that a token was issued to, as the subject of its requests.
pub(super) struct Sandbox {
    claims: Arc<Claims>,
    revocations: Option<Revocations>,
}

impl Sandbox {
    pub(super) const fn new(claims: Arc<Claims>, revocations: Option<Revocations>) -> Self {
        Self {
            claims,
            revocations,
        }
    }
}

impl Subject for Sandbox {
    fn id(&self) -> &str {
        self.claims.sandbox_id()
    }

    fn expires_at(&self) -> Option<SystemTime> {
        Some(self.claims.expires_at())
    }

    fn is_revoked(&self, now: SystemTime) -> bool {
        let list = self.revocations.as_ref();
        list.is_some_and(|list| list.is_revoked(&self.claims, now))
    }
}
