//! Host names as they are compared: lower case, without a port or the root's dot.

use http::{HeaderMap, Uri, header::HOST};

/// The name of a host, in lower case and without a port: `gate.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostName(Box<str>);

impl HostName {
    /// Reads a name of letters, digits, hyphens, underscores and dots; the root's dot may be at its end.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let plain = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let fits = name.len() <= 253 && name.split('.').all(plain);
        fits.then(|| Self(name.to_ascii_lowercase().into()))
    }

    /// Whether a request's host is this one. Names know no case (RFC 9110 §4.2.3).
    pub(crate) fn is(&self, host: &str) -> bool {
        host.eq_ignore_ascii_case(&self.0)
    }

    /// What stands in a host before this name and its dot.
    pub(crate) fn before<'h>(&self, host: &'h str) -> Option<&'h str> {
        let (before, own) = host.split_at_checked(host.len().checked_sub(self.0.len())?)?;
        let before = before.strip_suffix('.')?;
        (self.is(own) && !before.is_empty()).then_some(before)
    }
}

/// The host of a request, as it was given, without port and root's dot.
pub(crate) fn of_request<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    match uri.host() {
        Some(host) => Some(without_dot(host)),
        None => headers.get(HOST)?.to_str().ok().map(plain),
    }
}

/// A host without port and root's dot.
pub(crate) fn plain(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    without_dot(name)
}

fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_one_way() {
        for wrong in ["", ".", "a..b", "a b", "a:80", "*.a", "a/b", ".a", "[::1]"] {
            assert_eq!(HostName::parse(wrong), None, "{wrong}");
        }
        let name = HostName::parse("Gate.example.com.").unwrap();
        for host in [
            "gate.example.com",
            "GATE.example.com:443",
            "gate.example.com.:80",
        ] {
            assert!(name.is(plain(host)), "{host}");
        }
        for (host, before) in [
            ("reports.gate.EXAMPLE.com:8443", Some("reports")),
            ("a.b.gate.example.com.", Some("a.b")),
            ("gate.example.com", None),
            (".gate.example.com", None),
            ("xgate.example.com", None),
            ("gate.example.com.evil.test", None),
            ("[::1]:80", None),
        ] {
            assert_eq!(name.before(plain(host)), before, "{host}");
        }
    }
}
