use std::str::FromStr;

use crate::{ConfigError, upstream::path};

/// Paths below a service: `/v1/models`, `/repos/acme/**`, `/users/*/keys`.
///
/// Compared segment by segment, byte for byte, with what the caller sent after the service name. `*` stands for
/// one segment, without an encoded slash in it; `**`, at the end only, for any number of segments, or none.
///
/// # Example
///
/// ```
/// use sallygate::service::PathPattern;
///
/// let pattern: PathPattern = "/repos/acme/**".parse()?;
/// assert!(pattern.matches("/repos/acme/site/issues"));
/// assert!(!pattern.matches("/repos/acme2"));
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    segments: Vec<Segment>,
    open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Any,
    Exactly(Box<str>),
}

impl PathPattern {
    /// Whether a path, without its query, is one of these.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else {
            return false;
        };
        let mut given = path.split('/');
        for segment in &self.segments {
            let Some(given) = given.next() else {
                return false;
            };
            match segment {
                Segment::Exactly(wanted) if **wanted == *given => {}
                Segment::Any if !given.is_empty() && !hides_a_slash(given) => {}
                _ => return false,
            }
        }
        self.open || given.next().is_none()
    }
}

fn hides_a_slash(segment: &str) -> bool {
    segment.split('%').skip(1).any(|escape| {
        escape
            .get(..2)
            .is_some_and(|hex| hex.eq_ignore_ascii_case("2f") || hex.eq_ignore_ascii_case("5c"))
    })
}

impl FromStr for PathPattern {
    type Err = ConfigError;

    fn from_str(pattern: &str) -> Result<Self, ConfigError> {
        let Some(path) = pattern.strip_prefix('/') else {
            return Err(ConfigError::PathPattern("does not begin with a slash"));
        };
        if path::check(pattern, true).is_err() || pattern.contains(['?', '#']) {
            return Err(ConfigError::PathPattern(
                "not a path that a request could have",
            ));
        }
        let (path, open) = match path.strip_suffix("**") {
            Some("") => {
                return Ok(Self {
                    segments: Vec::new(),
                    open: true,
                });
            }
            Some(rest) => match rest.strip_suffix('/') {
                Some(rest) => (rest, true),
                None => return Err(ConfigError::PathPattern("'**' is not a segment of its own")),
            },
            None => (path, false),
        };
        let segment = |segment: &str| match segment {
            "*" => Ok(Segment::Any),
            _ if segment.contains('*') => {
                Err(ConfigError::PathPattern("'*' is only part of a segment"))
            }
            _ => Ok(Segment::Exactly(segment.into())),
        };
        Ok(Self {
            segments: path.split('/').map(segment).collect::<Result<_, _>>()?,
            open,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_compared_whole() {
        for (pattern, yes, no) in [
            (
                "/v1/models",
                &["/v1/models"][..],
                &["/v1/models/", "/v1", "/v1/Models", "/v1/model%73"][..],
            ),
            (
                "/v1/**",
                &["/v1", "/v1/", "/v1/a/b"],
                &["/v10", "/", "/v2/v1"],
            ),
            ("/**", &["/", "/a", "/a/b"], &[]),
            ("/", &["/"], &["/a"]),
            (
                "/u/*/keys",
                &["/u/1/keys"],
                &["/u//keys", "/u/1/2/keys", "/u/1%2F2/keys", "/u/1"],
            ),
        ] {
            let parsed: PathPattern = pattern.parse().unwrap();
            assert!(yes.iter().all(|path| parsed.matches(path)), "{pattern}");
            assert!(!no.iter().any(|path| parsed.matches(path)), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_promise_more_than_they_keep_are_refused() {
        for pattern in ["", "v1", "/a*", "/**/a", "/a**", "/a/../b", "/a?b"] {
            assert!(
                matches!(
                    pattern.parse::<PathPattern>(),
                    Err(ConfigError::PathPattern(_))
                ),
                "{pattern}"
            );
        }
    }
}
