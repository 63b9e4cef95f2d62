use std::{collections::hash_map::RandomState, hash::BuildHasher};

use http::{HeaderMap, HeaderValue, Version, header::VIA};

use crate::ConfigError;

/// Our name among the intermediaries of a message (RFC 9110 §7.6.3), unlike that of any other: a request that bears it has
/// been here before.
#[derive(Clone)]
pub(crate) struct Via {
    pseudonym: Box<str>,
    http1: HeaderValue,
    http2: HeaderValue,
}

impl Via {
    pub(crate) fn new() -> Result<Self, ConfigError> {
        let pseudonym = format!("sallygate-{:08x}", RandomState::new().hash_one(0) as u32);
        let value = |version| {
            HeaderValue::try_from(format!("{version} {pseudonym}"))
                .map_err(|_| ConfigError::Header("via"))
        };
        Ok(Self {
            http1: value("1.1")?,
            http2: value("2.0")?,
            pseudonym: pseudonym.into(),
        })
    }

    /// Adds it, with the version of HTTP that the message came in by, in place of what others have added.
    pub(crate) fn add(&self, headers: &mut HeaderMap, version: Version) {
        let value = if version == Version::HTTP_2 {
            &self.http2
        } else {
            &self.http1
        };
        headers.insert(VIA, value.clone());
    }

    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let bears_it = |value: &HeaderValue| {
            memchr::memmem::find(value.as_bytes(), self.pseudonym.as_bytes()).is_some()
        };
        headers.get_all(VIA).iter().any(bears_it)
    }
}
