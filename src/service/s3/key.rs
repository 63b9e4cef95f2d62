//! The real key as the signing wants it: an id, a secret and perhaps a session token, in one text.

use std::sync::Arc;

use aws_credential_types::Credentials;

use crate::{Context, Injection, TransformError, credential::Material};

/// A pair of keys as one text: `ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`.
pub(super) fn pair(key: &Injection, ctx: &Context) -> Result<Credentials, TransformError> {
    let material: Arc<Material> = key.material(ctx)?;
    let mut parts = material.text().splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(id), Some(secret), session) if !id.is_empty() && !secret.is_empty() => {
            let session = session.map(str::to_owned);
            Ok(Credentials::new(id, secret, session, None, "sallygate"))
        }
        _ => Err(TransformError::unavailable().because("the key is not a pair of keys")),
    }
}
