use http::{
    HeaderMap, HeaderValue, Uri,
    header::{CONTENT_LOCATION, LINK, LOCATION},
};

use crate::{service::Target, upstream::path};

/// Rewrites references to a target so that they lead through the proxy.
pub(crate) struct Rewrite<'a> {
    /// The target that responded.
    pub(crate) target: &'a Target,
    /// What stands before the service's paths as callers see them: origin (if known), mount, service name.
    pub(crate) public: String,
}

impl Rewrite<'_> {
    /// Whether there is anything to rewrite.
    pub(crate) fn concerns(headers: &HeaderMap) -> bool {
        [LOCATION, CONTENT_LOCATION, LINK]
            .iter()
            .any(|name| headers.contains_key(name))
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in [LOCATION, CONTENT_LOCATION] {
            if let Some(value) = headers.get(&name) {
                match self.reference(value) {
                    Some(value) => headers.insert(name, value),
                    None => headers.remove(name),
                };
            }
        }
        if headers.contains_key(LINK) {
            let links = headers
                .get_all(LINK)
                .iter()
                .filter_map(|value| self.links(value));
            let links: Vec<_> = links.collect();
            headers.remove(LINK);
            for value in links {
                headers.append(LINK, value);
            }
        }
    }

    /// A single reference; `None` if it cannot be passed on safely.
    fn reference(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let text = value.to_str().ok().filter(|text| is_plain(text))?;
        match self.through_proxy(text) {
            Some(through) if leads_to_a_host(&through) => None,
            Some(through) => HeaderValue::try_from(through).ok(),
            None => Some(value.clone()),
        }
    }

    /// `<reference>; rel=…` lists: each reference on its own; `None` if one cannot be passed on safely.
    fn links(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let text = value.to_str().ok()?;
        let mut rewritten = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, (reference, after))) = rest
            .split_once('<')
            .and_then(|(before, rest)| Some((before, rest.split_once('>')?)))
        {
            if !is_plain(reference) {
                return None;
            }
            let through = self.through_proxy(reference);
            let through = through.as_deref().unwrap_or(reference);
            if leads_to_a_host(through) {
                return None;
            }
            rewritten.push_str(before);
            rewritten.push('<');
            rewritten.push_str(through);
            rewritten.push('>');
            rest = after;
        }
        rewritten.push_str(rest);
        HeaderValue::try_from(rewritten).ok()
    }

    /// The reference as callers can follow it, if it is one to the target and not relative to the request.
    fn through_proxy(&self, reference: &str) -> Option<String> {
        let path = if reference.starts_with('/') {
            reference
        } else {
            self.path_at_target(reference)?
        };
        let below = path.strip_prefix(self.target.prefix());
        match below.filter(|below| below.is_empty() || below.starts_with(['/', '?', '#'])) {
            Some(below) => Some(format!("{}{below}", self.public)),
            // Outside the base path, so not reachable through the proxy; but never a path of the host application.
            None => Some(format!(
                "{}://{}{path}",
                self.target.scheme(),
                self.target.authority()
            )),
        }
    }

    fn path_at_target<'r>(&self, reference: &'r str) -> Option<&'r str> {
        let (_, rest) = reference.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let origin = reference.get(..reference.len() - path.len())?;
        let origin = origin.parse::<Uri>().ok()?;
        let ours =
            !authority.is_empty() && self.target.same_origin(origin.scheme(), origin.authority());
        ours.then_some(path)
    }
}

/// A path whose first segment is empty is no path, once nothing stands before it.
fn leads_to_a_host(reference: &str) -> bool {
    reference.starts_with("//")
}

/// Whether every client reads a reference in the same way, and none climbs out of the service's paths with it.
fn is_plain(reference: &str) -> bool {
    if reference.contains(['\t', '\\']) || leads_to_a_host(reference) {
        return false;
    }
    let whole = reference.split(['?', '#']).next().unwrap_or_default();
    let path = match whole.split_once(':') {
        // Browsers read `https:/path` and `https:path` as paths of their own origin.
        Some((scheme, rest)) if !scheme.contains('/') => match rest.strip_prefix("//") {
            Some(rest) if !rest.is_empty() && !rest.starts_with('/') => rest,
            _ => return false,
        },
        _ => whole,
    };
    path::check(path, true).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_the_target_lead_through_the_proxy() {
        let target = Target::new("https://api.example.com/v1").unwrap();
        let rewrite = Rewrite {
            target: &target,
            public: "/proxy/svc".into(),
        };
        for (from, to) in [
            (
                "https://api.example.com/v1/a?b=c#d",
                Some("/proxy/svc/a?b=c#d"),
            ),
            ("HTTPS://API.example.com:443/v1/a", Some("/proxy/svc/a")),
            ("https://api.example.com/v1", Some("/proxy/svc")),
            ("https://api.example.com/v1?x", Some("/proxy/svc?x")),
            ("/v1/a", Some("/proxy/svc/a")),
            ("/v10/a", Some("https://api.example.com/v10/a")),
            ("/login", Some("https://api.example.com/login")),
            (
                "https://api.example.com/login",
                Some("https://api.example.com/login"),
            ),
            ("a?b", Some("a?b")),
            (
                "http://api.example.com/v1/a",
                Some("http://api.example.com/v1/a"),
            ),
            (
                "https://elsewhere.example/v1/a",
                Some("https://elsewhere.example/v1/a"),
            ),
            (
                "https://api.example.com@elsewhere.example/v1",
                Some("https://api.example.com@elsewhere.example/v1"),
            ),
            (
                "https://api.example.com.elsewhere.example/v1",
                Some("https://api.example.com.elsewhere.example/v1"),
            ),
            ("//elsewhere.example/v1", None),
            ("/\\elsewhere.example", None),
            ("../../admin", None),
            ("%2e%2e/%2E./admin", None),
            (".\t./admin", None),
            ("/v1/a?b=../c", Some("/proxy/svc/a?b=../c")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, HeaderValue::from_static(from));
            rewrite.apply(&mut headers);
            assert_eq!(
                headers.get(LOCATION).map(|value| value.to_str().unwrap()),
                to,
                "{from}"
            );
        }
    }

    #[test]
    fn links_that_climb_are_dropped() {
        let target = Target::new("https://api.example.com/v1").unwrap();
        let rewrite = Rewrite {
            target: &target,
            public: "/proxy/svc".into(),
        };
        let mut headers = HeaderMap::new();
        headers.append(
            LINK,
            HeaderValue::from_static("</v1/../../admin>; rel=next"),
        );
        headers.append(LINK, HeaderValue::from_static("</v1/a>; rel=prev"));
        rewrite.apply(&mut headers);
        assert_eq!(
            headers.get_all(LINK).iter().collect::<Vec<_>>(),
            ["</proxy/svc/a>; rel=prev"]
        );
    }

    #[test]
    fn links_are_rewritten_one_by_one() {
        let target = Target::new("https://api.example.com").unwrap();
        let rewrite = Rewrite {
            target: &target,
            public: "https://gate.example/proxy/svc".into(),
        };
        let mut headers = HeaderMap::new();
        let links = "<https://api.example.com/r?page=2>; rel=\"next\", <https://docs.example.com/>; rel=\"help\"";
        headers.insert(LINK, HeaderValue::from_static(links));
        rewrite.apply(&mut headers);
        assert_eq!(
            headers[LINK],
            "<https://gate.example/proxy/svc/r?page=2>; rel=\"next\", <https://docs.example.com/>; rel=\"help\""
        );
    }
}
