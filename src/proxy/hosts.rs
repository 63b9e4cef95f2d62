//! Host names that lead to services, for clients that take no base path.

use std::borrow::Cow;

use http::{HeaderMap, Uri};

use crate::{
    ConfigError,
    service::{
        ServiceName,
        host_name::{HostName, of_request},
    },
};

/// Host names that lead to a service, whatever the path: the other way in beside the mount.
#[derive(Debug, Clone, Default)]
pub(super) struct Hosts {
    exact: Vec<(HostName, ServiceName)>,
    suffixes: Vec<HostName>,
}

impl Hosts {
    pub(super) fn add(&mut self, host: &str, service: ServiceName) -> Result<(), ConfigError> {
        let host = name(host)?;
        if self.exact.iter().any(|(known, _)| *known == host) {
            return Err(ConfigError::Host("it leads to a service already"));
        }
        self.exact.push((host, service));
        Ok(())
    }

    pub(super) fn add_suffix(&mut self, suffix: &str) -> Result<(), ConfigError> {
        self.suffixes.push(name(suffix.trim_start_matches('.'))?);
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
        let host = of_request(uri, headers)?;
        let named = |(name, _): &&(HostName, ServiceName)| name.is(host);
        if let Some((_, service)) = self.exact.iter().find(named) {
            return Some(Cow::Borrowed(service.as_str()));
        }
        let before = |suffix: &HostName| suffix.before(host);
        let service = self.suffixes.iter().find_map(before)?;
        // Clients write host names as they like; services below a suffix are in lower case.
        Some(if service.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(service.to_ascii_lowercase())
        } else {
            Cow::Borrowed(service)
        })
    }
}

fn name(host: &str) -> Result<HostName, ConfigError> {
    HostName::parse(host).ok_or(ConfigError::Host("not a host name without a port"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::HOST};

    use super::*;

    #[test]
    fn hosts_name_services_exactly_or_by_what_stands_before_a_suffix() {
        let mut hosts = Hosts::default();
        let echo = || "pkg.Echo".parse().unwrap();
        hosts.add("Grpc.example.com", echo()).unwrap();
        assert!(hosts.add("grpc.example.com.", echo()).is_err());
        hosts.add_suffix(".proxy.example.com").unwrap();
        for (host, service) in [
            ("grpc.example.com", Some("pkg.Echo")),
            ("GRPC.example.com.:443", Some("pkg.Echo")),
            ("UP.proxy.example.com:8080", Some("up")),
            ("pkg.echo.proxy.example.com", Some("pkg.echo")),
            ("proxy.example.com", None),
            ("example.com", None),
        ] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            let uri = Uri::from_static("/a");
            assert_eq!(hosts.service(&uri, &headers).as_deref(), service, "{host}");
        }
    }
}
