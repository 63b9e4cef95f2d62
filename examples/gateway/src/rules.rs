use std::fmt;

use http::{HeaderName, Method};
use sallygate::{Api, ConfigError, Place, Policy, service::PathPattern};

use crate::{limits::Bounds, place, refusal::Refusal, section::Section};

/// The settings of [`Policy`]: each with its key, how its value is read, and what it sets.
const SETTINGS: [(&str, Kind); 9] = [
    (
        "allow_encoded_slashes",
        Kind::Flag(Policy::allow_encoded_slashes),
    ),
    (
        "basic_challenge",
        Kind::Text(|policy, realm| policy.basic_challenge(realm)),
    ),
    (
        "methods",
        Kind::Methods(|policy, methods| policy.methods(methods)),
    ),
    (
        "pass_request_headers",
        Kind::Headers(|policy, names| policy.pass_request_headers(names)),
    ),
    (
        "pass_response_headers",
        Kind::Headers(|policy, names| policy.pass_response_headers(names)),
    ),
    ("paths", Kind::Paths(|policy, paths| policy.paths(paths))),
    ("redact_errors", Kind::Flag(Policy::redact_errors)),
    (
        "refuse_paths",
        Kind::Paths(|policy, paths| policy.refuse_paths(paths)),
    ),
    (
        "take_out",
        Kind::Places(|policy, places| policy.take_out(places)),
    ),
];

/// How a value is read, and what sets it.
enum Kind {
    Flag(fn(Policy) -> Policy),
    Headers(fn(Policy, Vec<HeaderName>) -> Policy),
    Methods(fn(Policy, Vec<Method>) -> Policy),
    Paths(fn(Policy, Vec<PathPattern>) -> Policy),
    Places(fn(Policy, Vec<Place>) -> Policy),
    Text(fn(Policy, &str) -> Policy),
}

/// Sets something that the file says.
type Change = Box<dyn Fn(Policy) -> Policy>;

/// Where else the token is looked for, and what passes: where to, how much, how long.
pub(crate) struct Rules {
    accept: Vec<Place>,
    changes: Vec<Change>,
    bounds: Bounds,
}

impl Rules {
    /// What a table with rules may hold besides.
    pub(crate) fn keys() -> Vec<&'static str> {
        let own = SETTINGS.iter().map(|(key, _)| *key);
        ["accept"]
            .into_iter()
            .chain(own)
            .chain(Bounds::keys_of_service())
            .collect()
    }

    pub(crate) fn parse(section: &mut Section) -> Result<Self, Refusal> {
        let mut changes = Vec::new();
        for (key, kind) in &SETTINGS {
            if let Some(change) = kind.read(section, key)? {
                changes.push(change);
            }
        }
        Ok(Self {
            accept: place::places(section, "accept")?,
            changes,
            bounds: Bounds::parse(section)?,
        })
    }

    pub(crate) fn apply(&self, service: Api) -> Api {
        // An API that is known by name has rules of its own, which these narrow.
        let service = service.policy(|policy| {
            let changed = self
                .changes
                .iter()
                .fold(policy, |policy, change| change(policy));
            changed.limits(self.bounds.limits)
        });
        let places = self.accept.iter().cloned();
        places.fold(service, Api::accept)
    }
}

/// The limits, as the end of a line.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bounds.fmt_behind(f)
    }
}

impl Kind {
    fn read(&self, section: &mut Section, key: &str) -> Result<Option<Change>, Refusal> {
        Ok(match *self {
            Self::Flag(set) => section.flag(key)?.then(|| -> Change { Box::new(set) }),
            Self::Headers(set) => {
                const EXPECTED: &str = r#"a list such as ["x-request-source"]"#;
                let names = list(section, key, EXPECTED, |name| name.parse().ok())?;
                names.map(|names| -> Change { Box::new(move |policy| set(policy, names.clone())) })
            }
            Self::Methods(set) => {
                const EXPECTED: &str = r#"a list such as ["GET", "POST"]"#;
                let methods = list(section, key, EXPECTED, |name| name.parse().ok())?;
                methods.map(|methods| -> Change {
                    Box::new(move |policy| set(policy, methods.clone()))
                })
            }
            Self::Paths(set) => patterns(section, key)?
                .map(|paths| -> Change { Box::new(move |policy| set(policy, paths.clone())) }),
            Self::Places(set) => {
                let places = place::places(section, key)?;
                (!places.is_empty())
                    .then(|| -> Change { Box::new(move |policy| set(policy, places.clone())) })
            }
            Self::Text(set) => section
                .text(key, "a text")?
                .map(|text| -> Change { Box::new(move |policy| set(policy, &text)) }),
        })
    }
}

fn list<T>(
    section: &mut Section,
    key: &str,
    expected: &str,
    parse: fn(&str) -> Option<T>,
) -> Result<Option<Vec<T>>, Refusal> {
    let Some(texts) = section.texts(key, expected)? else {
        return Ok(None);
    };
    let values: Option<_> = texts.iter().map(|text| parse(text)).collect();
    values
        .map(Some)
        .ok_or_else(|| section.refuse(key, expected))
}

fn patterns(section: &mut Section, key: &str) -> Result<Option<Vec<PathPattern>>, Refusal> {
    const EXPECTED: &str = r#"a list such as ["/v1/**"]"#;
    let Some(texts) = section.texts(key, EXPECTED)? else {
        return Ok(None);
    };
    let patterns: Result<_, ConfigError> = texts.iter().map(|text| text.parse()).collect();
    patterns
        .map(Some)
        .map_err(|problem| section.refuse(key, format!("{EXPECTED} ({problem})")))
}

/// The names of a value's fields, read off its `Debug`.
#[cfg(test)]
pub(crate) fn fields(value: &impl std::fmt::Debug) -> Vec<String> {
    let text = format!("{value:#?}");
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    let fields = lines.filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
    fields
        .filter_map(|line| Some(line.split_once(':')?.0.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields of `Policy` whose keys have other names: those of the setters.
    const NAMES: [(&str, &str); 6] = [
        ("challenge", "basic_challenge"),
        ("encoded_slashes", "allow_encoded_slashes"),
        ("pass_request", "pass_request_headers"),
        ("pass_response", "pass_response_headers"),
        ("refused_paths", "refuse_paths"),
        ("taken_out", "take_out"),
    ];

    /// Fields of `Policy` without a key of their own, and why.
    const LEFT_OUT: [(&str, &str); 1] = [("limits", "have a table of their own, in limits.rs")];

    #[test]
    fn each_setting_of_a_policy_has_a_key() {
        let policy = fields(&Policy::new());
        for known in NAMES.iter().chain(&LEFT_OUT) {
            assert!(policy.iter().any(|field| field == known.0), "{known:?}");
        }
        let left_out = |field: &String| LEFT_OUT.iter().any(|(name, _)| name == field);
        let key = |field: String| {
            let renamed = NAMES.iter().find(|(name, _)| *name == field);
            renamed.map_or(field, |(_, key)| (*key).to_owned())
        };
        let policy = policy.into_iter().filter(|field| !left_out(field));
        let mut policy: Vec<_> = policy.map(key).collect();
        let mut keys: Vec<_> = SETTINGS.iter().map(|(key, _)| (*key).to_owned()).collect();
        keys.sort();
        policy.sort();
        assert_eq!(
            keys, policy,
            "keys of SETTINGS (left), fields of Policy (right)"
        );
    }

    #[test]
    fn the_file_to_start_from_shows_each_key() {
        let file = include_str!("../gateway.toml");
        for (key, _) in &SETTINGS {
            assert!(file.contains(&format!("# {key} = ")), "{key}");
        }
    }
}
