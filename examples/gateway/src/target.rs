use http::{Uri, uri::Authority};
use sallygate::Target;

use crate::{refusal::Refusal, section::Section};

/// Where something is.
pub(crate) struct Address {
    pub(crate) target: Target,
    /// Without its path.
    pub(crate) origin: String,
    /// The host, if it shows a certificate.
    pub(crate) authority: Option<Authority>,
}

pub(crate) const TLS: &str = "https://HOST[:PORT][/PATH]";
const PLAINTEXT: &str = "http://HOST[:PORT][/PATH]";

impl Address {
    pub(crate) fn required(section: &mut Section, key: &str) -> Result<Self, Refusal> {
        // First of all: without it, nothing beside it makes sense.
        if !section.has(key) {
            return Err(section.refuse(key, TLS));
        }
        Self::optional(section, key)?.ok_or_else(|| section.refuse(key, TLS))
    }

    /// What stands under `key`: `http://` only with `allow_plaintext` beside it.
    pub(crate) fn optional(section: &mut Section, key: &str) -> Result<Option<Self>, Refusal> {
        let plaintext = section.flag("allow_plaintext")?;
        let url = section.text(key, TLS)?;
        let is = |scheme| url.as_ref().is_some_and(|url| url.starts_with(scheme));
        if plaintext && (url.is_none() || is("https://")) {
            let expected = format!("true only with an http:// {key}");
            return Err(section.refuse("allow_plaintext", expected));
        }
        if !plaintext && is("http://") {
            let expected = format!("{TLS} (or http:// with allow_plaintext = true)");
            return Err(section.refuse(key, expected));
        }
        let http2 = section.flag("http2")?;
        if http2 && !plaintext {
            let expected = "true only with allow_plaintext: over TLS, it is agreed on";
            return Err(section.refuse("http2", expected));
        }
        let Some(url) = url else {
            return Ok(None);
        };
        let (target, expected) = if plaintext {
            (Target::dangerous_plaintext(&url), PLAINTEXT)
        } else {
            (Target::new(&url), TLS)
        };
        let mut target =
            target.map_err(|problem| section.refuse(key, format!("{expected} ({problem})")))?;
        if http2 {
            target = target.http2_prior_knowledge();
        }
        let authority = url
            .parse::<Uri>()
            .ok()
            .and_then(|url| url.into_parts().authority);
        let authority = authority.ok_or_else(|| section.refuse(key, expected))?;
        let scheme = if plaintext { "http" } else { "https" };
        Ok(Some(Self {
            target,
            origin: format!("{scheme}://{authority}"),
            authority: (!plaintext).then_some(authority),
        }))
    }
}
