//! Patterns of paths. To allow, a path must match byte for byte; to refuse, any spelling counts that some server may take
//! for the pattern, because servers decode and fold paths in different ways.

use std::{fmt, str::FromStr};

use percent_encoding::percent_decode;

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

    /// Whether any server could take a path for one of these: decoded as often as it can be, before or after it is
    /// split, with letter case, parameters and empty segments ignored.
    pub(super) fn could_match(&self, path: &str) -> bool {
        let within = |path: &[u8]| {
            let segments = path.split(|byte| matches!(byte, b'/' | b'\\'));
            let segments = segments.filter_map(|segment| {
                let name = segment.split(|byte| *byte == b';').next()?;
                (!name.is_empty()).then(|| decoded(name))
            });
            self.could_be(segments)
        };
        if within(path.as_bytes()) {
            return true;
        }
        // Parameters go before the slashes are decoded, or after it.
        let bare = || {
            let names = path.split('/').map(|segment| segment.split(';').next());
            names.flatten().collect::<Vec<_>>().join("/")
        };
        path.contains('%')
            && (within(&decoded(path.as_bytes()))
                || (path.contains(';') && within(&decoded(bare().as_bytes()))))
    }

    fn could_be(&self, mut given: impl Iterator<Item = Vec<u8>>) -> bool {
        let wanted = self.segments.iter();
        // What a slash at the end leaves behind.
        let mut wanted =
            wanted.filter(|segment| !matches!(segment, Segment::Exactly(name) if name.is_empty()));
        wanted.all(|segment| {
            given.next().is_some_and(|given| match segment {
                Segment::Any => true,
                Segment::Exactly(name) => decoded(name.as_bytes()).eq_ignore_ascii_case(&given),
            })
        }) && (self.open || given.next().is_none())
    }

    /// Patterns that stand in the code of a known API.
    pub(super) fn known(patterns: &[&'static str]) -> Vec<Self> {
        patterns.iter().map(|pattern| Self::read(pattern)).collect()
    }

    /// Takes a pattern apart that follows the rules.
    fn read(pattern: &str) -> Self {
        let path = pattern.strip_prefix('/').unwrap_or(pattern);
        let closed = path.strip_suffix("**");
        let segment = |segment: &str| match segment {
            "*" => Segment::Any,
            _ => Segment::Exactly(segment.into()),
        };
        let segments = match closed.unwrap_or(path) {
            "" if closed.is_some() => Vec::new(),
            path => {
                let path = closed.map_or(path, |path| path.strip_suffix('/').unwrap_or(path));
                path.split('/').map(segment).collect()
            }
        };
        Self {
            segments,
            open: closed.is_some(),
        }
    }
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    // It only becomes shorter.
    while text.contains(&b'%') {
        let next: Vec<u8> = percent_decode(&text).collect();
        if next == text {
            break;
        }
        text = next;
    }
    text
}

fn hides_a_slash(segment: &str) -> bool {
    segment.split('%').skip(1).any(|escape| {
        escape
            .get(..2)
            .is_some_and(|hex| hex.eq_ignore_ascii_case("2f") || hex.eq_ignore_ascii_case("5c"))
    })
}

/// As it is parsed.
impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Any => f.write_str("/*")?,
                Segment::Exactly(name) => write!(f, "/{name}")?,
            }
        }
        f.write_str(if self.open { "/**" } else { "" })
    }
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
        let closed = path.strip_suffix("**");
        if closed.is_some_and(|rest| !rest.is_empty() && !rest.ends_with('/')) {
            return Err(ConfigError::PathPattern("'**' is not a segment of its own"));
        }
        let mut segments = closed.unwrap_or(path).split('/');
        if segments.any(|segment| segment != "*" && segment.contains('*')) {
            return Err(ConfigError::PathPattern("'*' is only part of a segment"));
        }
        Ok(Self::read(pattern))
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
    fn what_could_be_one_of_these_is_found_in_any_spelling() {
        for (pattern, yes, no) in [
            (
                "/v1/keys/**",
                &[
                    "/v1/keys",
                    "/v1/keys/",
                    "/V1/Keys/a",
                    "/v1//keys",
                    "/v1/%6beys",
                    "/v1/%256beys/a",
                    "/v1%2fkeys/a",
                    "/v1/keys;a=b/c",
                    "/v1/keys%2Fa",
                ][..],
                &["/v1/keys2", "/v2/keys", "/v1", "/keys", "/v1/a/keys"][..],
            ),
            (
                "/u/*/keys",
                &["/u/1/keys", "/u/1/keys/", "/u/1%2F2/keys", "/U/1/KEYS"],
                &["/u/keys", "/u/1/keys/2", "/u/1/2/keys"],
            ),
            ("/**", &["/", "/a"], &[]),
            ("/", &["/"], &["/a"]),
        ] {
            let parsed: PathPattern = pattern.parse().unwrap();
            for path in yes {
                assert!(parsed.could_match(path), "{pattern} {path}");
            }
            for path in no {
                assert!(!parsed.could_match(path), "{pattern} {path}");
            }
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
