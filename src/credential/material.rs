//! One version of a key, in the forms in which it is sent. Header values are made once, marked sensitive, and wiped when
//! the last copy goes; what a response must not contain is worked out here, too.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::HeaderValue;
use memchr::memmem;
use zeroize::Zeroizing;

use crate::{ConfigError, credential::redaction::Redaction, service::check_user};

/// One version of a key, ready to be used.
pub(crate) struct Material {
    raw: HeaderValue,
    bearer: HeaderValue,
    redactions: Vec<Redaction>,
}

/// A part of a key shorter than this is no secret of its own.
const PART_MIN: usize = 12;

impl Material {
    pub(super) fn new(key: Zeroizing<String>) -> Result<Self, ConfigError> {
        if key.is_empty() {
            return Err(ConfigError::Credential("empty"));
        }
        if !key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(ConfigError::Credential(
                "holds something else than printable ASCII",
            ));
        }
        if key.starts_with(' ') || key.ends_with(' ') {
            return Err(ConfigError::Credential("begins or ends with a space"));
        }
        let redactions = [&**key].into_iter().chain(parts(&key));
        Ok(Self {
            raw: sensitive([&key])?,
            bearer: sensitive(["Bearer ", &key])?,
            redactions: redactions
                .map(|part| Redaction::new(part.as_bytes()))
                .collect(),
        })
    }

    /// Whether `text` contains the key, raw or encoded.
    pub(crate) fn is_contained_in(&self, text: &[u8]) -> bool {
        self.redactions
            .iter()
            .any(|redaction| redaction.finds(text))
    }

    /// The text with the key, and each half of it, replaced where it stands as it is.
    pub(crate) fn redact(&self, text: Vec<u8>) -> Vec<u8> {
        let parts = [self.text()].into_iter().chain(parts(self.text()));
        parts.fold(text, |text, part| {
            let mut redacted = Vec::with_capacity(text.len());
            let mut rest = text.as_slice();
            while let Some(at) = memmem::find(rest, part.as_bytes()) {
                let (before, found) = rest.split_at(at);
                redacted.extend_from_slice(before);
                redacted.extend_from_slice(b"[redacted]");
                rest = found.get(part.len()..).unwrap_or_default();
            }
            redacted.extend_from_slice(rest);
            redacted
        })
    }

    pub(crate) fn text(&self) -> &str {
        // It was made of text.
        self.raw.to_str().unwrap_or_default()
    }

    pub(crate) fn raw(&self) -> HeaderValue {
        self.raw.clone()
    }

    pub(crate) fn bearer(&self) -> HeaderValue {
        self.bearer.clone()
    }

    /// `Basic <user:key>` (RFC 7617).
    pub(crate) fn basic(&self, user: &str) -> Result<HeaderValue, ConfigError> {
        basic([user, ":", self.text()])
    }

    /// `Basic <key:>`.
    pub(crate) fn basic_user(&self) -> Result<HeaderValue, ConfigError> {
        check_user(self.text())?;
        basic([self.text(), ":"])
    }

    pub(crate) fn prefixed(&self, prefix: &str) -> Result<HeaderValue, ConfigError> {
        sensitive([prefix, self.text()])
    }
}

fn basic<const N: usize>(pair: [&str; N]) -> Result<HeaderValue, ConfigError> {
    let pair = Zeroizing::new(pair.concat());
    let pair = Zeroizing::new(STANDARD.encode(&*pair));
    sensitive(["Basic ", &pair])
}

/// Of a pair, an id and a secret for example, each half shows on its own.
fn parts(key: &str) -> impl Iterator<Item = &str> {
    let parts = key.split(':').filter(|part| part.len() >= PART_MIN);
    parts.filter(|part| part.len() < key.len())
}

/// A header value that hides itself and is wiped when dropped.
pub(crate) fn sensitive<const N: usize>(parts: [&str; N]) -> Result<HeaderValue, ConfigError> {
    let mut wiped = Zeroizing::new(Vec::with_capacity(
        parts.iter().map(|part| part.len()).sum(),
    ));
    for part in parts {
        wiped.extend_from_slice(part.as_bytes());
    }
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(wiped))
        .map_err(|_| ConfigError::Credential("not a header value"))?;
    value.set_sensitive(true);
    Ok(value)
}
