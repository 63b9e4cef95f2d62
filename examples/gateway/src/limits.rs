use std::{fmt, num::NonZeroUsize, time::Duration};

use sallygate::Limits;

use crate::{refusal::Refusal, section::Section};

/// The settings of [`Limits`]: each with its key, how its value is read, and what it sets.
///
/// A table `[limits]` takes all of them, a table `[services.NAME]` all but those [`OF_THE_WHOLE`].
const SETTINGS: [(&str, Kind); 14] = [
    ("body_bytes", Kind::Bytes(Limits::body_bytes)),
    ("concurrent", Kind::Requests(Limits::concurrent)),
    (
        "concurrent_per_sandbox",
        Kind::Requests(Limits::concurrent_per_sandbox),
    ),
    ("connect_timeout", Kind::Time(Limits::connect_timeout)),
    ("expiry_grace", Kind::Time(Limits::expiry_grace)),
    // With the longest URI, that is less than HTTP/1.1 holds of a head.
    (
        HEADER_BYTES,
        Kind::UpTo(262_144, "bytes", Limits::header_bytes),
    ),
    (
        HEADER_FIELDS,
        Kind::UpTo(1000, "header fields", Limits::header_fields),
    ),
    ("idle_timeout", Kind::Time(Limits::idle_timeout)),
    ("response_bytes", Kind::Bytes(Limits::response_bytes)),
    (
        "response_header_bytes",
        Kind::UpTo(262_144, "bytes", Limits::response_header_bytes),
    ),
    (
        "response_header_fields",
        Kind::UpTo(1000, "header fields", Limits::response_header_fields),
    ),
    ("response_timeout", Kind::Time(Limits::response_timeout)),
    ("unread_timeout", Kind::Time(Limits::unread_timeout)),
    (URI_BYTES, Kind::UpTo(65_534, "bytes", Limits::uri_bytes)),
];

/// What is decided before the service is known: a service that said it would say it in vain.
const OF_THE_WHOLE: [&str; 1] = [URI_BYTES];

const HEADER_BYTES: &str = "header_bytes";
const HEADER_FIELDS: &str = "header_fields";
const URI_BYTES: &str = "uri_bytes";

/// How a value is read, and what sets it.
enum Kind {
    Bytes(fn(Limits, u64) -> Limits),
    Requests(fn(Limits, NonZeroUsize) -> Limits),
    Time(fn(Limits, Duration) -> Limits),
    /// From 1 to this many of these.
    UpTo(usize, &'static str, fn(Limits, usize) -> Limits),
}

/// The limits that a table sets.
#[derive(Default)]
pub(crate) struct Bounds {
    pub(crate) limits: Limits,
    /// As the file says them.
    set: Vec<(&'static str, Value)>,
}

enum Value {
    Number(u64),
    Time(Duration),
}

impl Bounds {
    /// Reads a table `[limits]`.
    pub(crate) fn whole(mut section: Section) -> Result<Self, Refusal> {
        let keys: Vec<_> = SETTINGS.iter().map(|(key, _)| *key).collect();
        section.only(&keys)?;
        Self::parse(&mut section)
    }

    /// The keys of a service's table.
    pub(crate) fn keys_of_service() -> impl Iterator<Item = &'static str> {
        let keys = SETTINGS.iter().map(|(key, _)| *key);
        keys.filter(|key| !OF_THE_WHOLE.contains(key))
    }

    /// Reads those keys of a table whose other keys are not limits.
    pub(crate) fn parse(section: &mut Section) -> Result<Self, Refusal> {
        let mut bounds = Self::default();
        for (key, kind) in &SETTINGS {
            if let Some((value, limits)) = kind.read(section, key, bounds.limits)? {
                bounds.limits = limits;
                bounds.set.push((key, value));
            }
        }
        Ok(bounds)
    }

    /// Whether everything is as the library has it.
    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// As the end of the line that describes a service.
    pub(crate) fn fmt_behind(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_empty() {
            true => Ok(()),
            false => write!(f, "; limits: {self}"),
        }
    }

    /// What the server has to let through for the proxy to judge it.
    pub(crate) fn heads(&self) -> Heads {
        Heads {
            bytes: self.number(HEADER_BYTES),
            fields: self.number(HEADER_FIELDS),
            uri: self.number(URI_BYTES),
        }
    }

    fn number<T: TryFrom<u64>>(&self, key: &str) -> Option<T> {
        match self.set.iter().find(|(own, _)| *own == key) {
            Some((_, Value::Number(number))) => T::try_from(*number).ok(),
            _ => None,
        }
    }
}

/// Lists what is set: `body_bytes = 1000, idle_timeout = 60s`.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (key, value)) in self.set.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            match value {
                Value::Number(value) => write!(f, "{comma}{key} = {value}")?,
                Value::Time(value) => write!(f, "{comma}{key} = {value:?}")?,
            }
        }
        Ok(())
    }
}

/// What the file says of the heads of requests: larger ones than its server takes do not come as far as the proxy.
#[derive(Clone, Copy, Default)]
pub(crate) struct Heads {
    pub(crate) bytes: Option<u32>,
    pub(crate) fields: Option<usize>,
    pub(crate) uri: Option<u32>,
}

impl Kind {
    fn read(
        &self,
        section: &mut Section,
        key: &str,
        limits: Limits,
    ) -> Result<Option<(Value, Limits)>, Refusal> {
        match self {
            Self::Bytes(set) => {
                let bytes = section.number(key, "a number of bytes")?;
                Ok(bytes.map(|bytes| (Value::Number(bytes), set(limits, bytes))))
            }
            Self::Requests(set) => {
                const EXPECTED: &str = "a number of requests, at least 1";
                let Some(number) = section.number(key, EXPECTED)? else {
                    return Ok(None);
                };
                let requests = usize::try_from(number).ok().and_then(NonZeroUsize::new);
                let requests = requests.ok_or_else(|| section.refuse(key, EXPECTED))?;
                Ok(Some((Value::Number(number), set(limits, requests))))
            }
            Self::Time(set) => {
                let time = section.duration(key)?;
                Ok(time.map(|time| (Value::Time(time), set(limits, time))))
            }
            Self::UpTo(most, what, set) => {
                let expected = format!("a number of {what}, from 1 to {most}");
                let Some(number) = section.number(key, &expected)? else {
                    return Ok(None);
                };
                let size = usize::try_from(number).ok();
                let size = size.filter(|size| (1..=*most).contains(size));
                let size = size.ok_or_else(|| section.refuse(key, expected))?;
                Ok(Some((Value::Number(number), set(limits, size))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fields;

    #[test]
    fn each_limit_of_the_library_has_a_key() {
        let mut keys: Vec<_> = SETTINGS.iter().map(|(key, _)| (*key).to_owned()).collect();
        let mut limits = fields(&Limits::new());
        keys.sort();
        limits.sort();
        assert_eq!(
            keys, limits,
            "keys of SETTINGS (left), fields of Limits (right)"
        );
    }

    #[test]
    fn each_key_sets_the_limit_of_its_name() {
        for (key, kind) in &SETTINGS {
            let value = if matches!(kind, Kind::Time(_)) {
                "\"7s\""
            } else {
                "7"
            };
            let text = format!("{key} = {value}\n");
            let section = Section::root(&text, "".as_ref()).unwrap();
            let bounds = Bounds::whole(section).unwrap();
            let set = format!("{:?}", bounds.limits);
            let expected = match kind {
                Kind::Time(_) => format!("{key}: Some(7s)"),
                _ => format!("{key}: Some(7)"),
            };
            assert!(set.contains(&expected), "{set}");
            assert_eq!(set.matches("Some").count(), 1, "{set}");
        }
    }

    #[test]
    fn the_file_to_start_from_shows_each_key() {
        let file = include_str!("../gateway.toml");
        let (whole, services) = file.split_once("[services.").unwrap();
        for (key, _) in &SETTINGS {
            assert!(whole.contains(&format!("# {key} = ")), "[limits] {key}");
        }
        for key in Bounds::keys_of_service() {
            assert!(
                services.contains(&format!("# {key} = ")),
                "[services] {key}"
            );
        }
    }
}
