use std::{borrow::Cow, collections::BTreeMap};

use http::{HeaderMap, Uri, header::HOST};

use crate::{ConfigError, service::ServiceName};

/// Host names that lead to a service, whatever the path: the other way in beside the mount.
#[derive(Debug, Clone, Default)]
pub(super) struct Hosts {
    exact: BTreeMap<String, ServiceName>,
    /// With the dot in front.
    suffixes: Vec<String>,
}

impl Hosts {
    pub(super) fn add(&mut self, host: &str, service: ServiceName) -> Result<(), ConfigError> {
        self.exact.insert(name(host)?, service);
        Ok(())
    }

    pub(super) fn add_suffix(&mut self, suffix: &str) -> Result<(), ConfigError> {
        let suffix = name(suffix.trim_start_matches('.'))?;
        self.suffixes.push(format!(".{suffix}"));
        Ok(())
    }

    /// The service that the host of a request names.
    pub(super) fn service<'r>(
        &'r self,
        uri: &'r Uri,
        headers: &'r HeaderMap,
    ) -> Option<Cow<'r, str>> {
        if self.exact.is_empty() && self.suffixes.is_empty() {
            return None;
        }
        let host = match uri.host() {
            Some(host) => host,
            None => without_port(headers.get(HOST)?.to_str().ok()?),
        };
        // Host names know no case (RFC 9110 §4.2.3), and may end with the root's dot.
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if let Some(service) = self.exact.get(&host) {
            return Some(Cow::Borrowed(service.as_str()));
        }
        let service = |suffix: &String| host.strip_suffix(suffix.as_str()).map(str::to_owned);
        let found = self.suffixes.iter().find_map(service);
        found.filter(|service| !service.is_empty()).map(Cow::Owned)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    }
}

/// A name of letters, digits, hyphens and dots.
fn name(host: &str) -> Result<String, ConfigError> {
    let plain = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let host = host.trim_end_matches('.');
    if !host.split('.').all(plain) || host.len() > 253 {
        return Err(ConfigError::Host("not a host name without a port"));
    }
    Ok(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn hosts_name_services_exactly_or_by_what_stands_before_a_suffix() {
        let mut hosts = Hosts::default();
        hosts
            .add("Grpc.example.com", "pkg.Echo".parse().unwrap())
            .unwrap();
        hosts.add_suffix(".proxy.example.com").unwrap();
        for (host, service) in [
            ("grpc.example.com", Some("pkg.Echo")),
            ("GRPC.example.com.:443", Some("pkg.Echo")),
            ("up.proxy.example.com", Some("up")),
            ("UP.proxy.example.com:8080", Some("up")),
            ("pkg.echo.proxy.example.com", Some("pkg.echo")),
            ("proxy.example.com", None),
            (".proxy.example.com", None),
            ("up.proxy.example.com.evil.test", None),
            ("upproxy.example.com", None),
            ("example.com", None),
            ("[::1]:80", None),
        ] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            let uri = Uri::from_static("/a");
            assert_eq!(hosts.service(&uri, &headers).as_deref(), service, "{host}");
        }
        for wrong in ["", "a..b", "a b", "a:80", "*.a", "a/b"] {
            assert!(
                matches!(hosts.add_suffix(wrong), Err(ConfigError::Host(_))),
                "{wrong}"
            );
        }
    }
}
