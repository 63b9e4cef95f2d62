//! What a token endpoint says when it gives a token (RFC 6749 §5.1). Servers take liberties with it, which are known here.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::credential::{Secret, SourceError, source::exchange::Said};

/// What a token endpoint says when it gives a token (RFC 6749 §5.1).
#[derive(Deserialize)]
pub(super) struct TokenResponse {
    access_token: String,
    token_type: String,
    expires_in: Option<Seconds>,
    refresh_token: Option<String>,
}

/// Some servers write the number as text, some with a fraction.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Whole(u64),
    Fraction(f64),
    Text(String),
}

/// What is longer than a hundred years is a mistake.
const LIFE_MAX: u64 = 100 * 366 * 24 * 60 * 60;

impl TokenResponse {
    pub(super) fn of(said: &Said) -> Result<Self, SourceError> {
        said.read().map_err(|error| match error {
            SourceError::Malformed if said.problem().is_some() => said.refusal(),
            error => error,
        })
    }

    pub(super) fn take_refresh_token(&mut self) -> Option<Zeroizing<String>> {
        self.refresh_token.take().map(Zeroizing::new)
    }

    pub(super) fn into_secret(self, now: SystemTime) -> Result<Secret, SourceError> {
        let secret = Secret::new(self.access_token);
        if !self.token_type.eq_ignore_ascii_case("bearer") {
            return Err(SourceError::Malformed);
        }
        match self.expires_in {
            None => Ok(secret),
            Some(seconds) => {
                let life = seconds.get().ok_or(SourceError::Malformed)?;
                Ok(secret.expires_at(now + life))
            }
        }
    }
}

impl Seconds {
    fn get(&self) -> Option<Duration> {
        let seconds = match self {
            Self::Whole(seconds) => *seconds,
            // Saturates, and what is not a number is zero.
            Self::Fraction(seconds) => *seconds as u64,
            Self::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok()?
            }
            Self::Text(_) => return None,
        };
        (1..=LIFE_MAX)
            .contains(&seconds)
            .then(|| Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::StatusCode;

    use super::*;

    fn life(expires_in: &str) -> Result<Option<u64>, SourceError> {
        let body = format!(
            r#"{{"access_token":"a","token_type":"BEARER","expires_in":{expires_in},"x":[1]}}"#
        );
        let said = Said {
            status: StatusCode::OK,
            body: body.into(),
        };
        let secret = TokenResponse::of(&said)?.into_secret(UNIX_EPOCH)?;
        Ok(secret
            .expires_at
            .map(|at| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()))
    }

    #[test]
    fn a_life_is_read_however_it_is_written_and_only_if_it_is_one() {
        for (expires_in, seconds) in [
            ("3600", Some(3600)),
            ("\"3600\"", Some(3600)),
            ("3599.9", Some(3599)),
            ("1", Some(1)),
            ("2147483647", Some(2_147_483_647)),
            ("null", None),
        ] {
            assert_eq!(life(expires_in), Ok(seconds), "{expires_in}");
        }
        for expires_in in [
            "0",
            "-1",
            "0.5",
            "1e300",
            "-1e300",
            "18446744073709551615",
            "99999999999999999999",
            "\"\"",
            "\"-1\"",
            "\"+5\"",
            "\"soon\"",
            "true",
            "[]",
            "{}",
        ] {
            assert_eq!(
                life(expires_in),
                Err(SourceError::Malformed),
                "{expires_in}"
            );
        }
    }
}
