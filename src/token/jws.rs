//! The signature of a JWT and its three parts, before anything in it is believed (RFC 7515).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto::aws_lc::DEFAULT_PROVIDER};

use crate::token::TokenError;

/// Longest token looked at, in bytes: refused before anything is decoded.
const TOKEN_MAX: usize = 8 * 1024;

/// A token whose signature is good; nothing in it has been believed yet.
pub(super) struct Signed {
    pub(super) header: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

/// Checks the signature of a compact JWS ([RFC 7515] §5.2) against each key, before anything in it is parsed.
///
/// The algorithm is the keys', not the header's; the caller compares the two afterwards. The provider is named
/// rather than taken from the process-wide default, which panics where a build enables two of them.
///
/// [RFC 7515]: https://www.rfc-editor.org/rfc/rfc7515
pub(super) fn open(token: &str, keys: &[DecodingKey]) -> Result<Signed, TokenError> {
    if token.len() > TOKEN_MAX {
        return Err(TokenError::TooLong);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
    if payload.contains('.') {
        return Err(TokenError::Malformed);
    }
    let signature = decode(signature)?;
    let verifies = |key: &DecodingKey| {
        (DEFAULT_PROVIDER.verifier_factory)(&Algorithm::HS256, key)
            .is_ok_and(|verifier| verifier.verify(message.as_bytes(), &signature).is_ok())
    };
    if !keys.iter().any(verifies) {
        return Err(TokenError::Signature);
    }
    Ok(Signed {
        header: decode(header)?,
        payload: decode(payload)?,
    })
}

/// Signs `payload` under `header`, both JSON.
pub(super) fn sign(header: &[u8], payload: &[u8], key: &EncodingKey) -> Option<String> {
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signer = (DEFAULT_PROVIDER.signer_factory)(&Algorithm::HS256, key).ok()?;
    let signature = signer.try_sign(token.as_bytes()).ok()?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Some(token)
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed)
}
