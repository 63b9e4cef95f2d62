//! What a service lets through. Its setters add or narrow, and what is wrong with one of them is said when the service is
//! added to a proxy.

use http::{HeaderName, HeaderValue, Method};

use crate::{
    ConfigError,
    service::{Limits, PathPattern, Place},
    upstream::headers,
};

/// What a service lets through: methods, paths, headers, encoded slashes, and within which [`Limits`].
///
/// A setter that is called again adds to what it said before, or narrows it; it never takes a refusal back.
///
/// # Example
///
/// ```
/// use http::{HeaderName, Method};
/// use sallygate::Policy;
///
/// let policy = Policy::new()
///     .methods([Method::GET, Method::POST])
///     .paths(["/v1/messages".parse()?, "/v1/models/**".parse()?])
///     .pass_request_headers([HeaderName::from_static("x-request-source")]);
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) methods: Option<Vec<Method>>,
    /// A path must be in each of these lists.
    pub(super) paths: Vec<Vec<PathPattern>>,
    pub(super) refused_paths: Vec<PathPattern>,
    pub(super) taken_out: Vec<Place>,
    pub(crate) pass_request: Vec<HeaderName>,
    pub(crate) pass_response: Vec<HeaderName>,
    pub(crate) encoded_slashes: bool,
    limits: Limits,
    pub(crate) redact_errors: bool,
    /// `None`, if it cannot be sent.
    pub(super) challenge: Option<HeaderValue>,
}

pub(crate) static DEFAULT: Policy = Policy::new();

impl Policy {
    /// Creates the default policy: every method but `TRACE` and `CONNECT`, every path, no header beyond the rules.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            methods: None,
            paths: Vec::new(),
            refused_paths: Vec::new(),
            taken_out: Vec::new(),
            pass_request: Vec::new(),
            pass_response: Vec::new(),
            encoded_slashes: false,
            limits: Limits::new(),
            redact_errors: false,
            challenge: Some(HeaderValue::from_static("Bearer")),
        }
    }

    /// Responds with 405 to any other method. Compared byte for byte: `get` is not `GET`, and `GET` does not include `HEAD`.
    /// Defaults to all. Called again, it narrows: only the methods of every list pass.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        let mut methods: Vec<_> = methods.into_iter().collect();
        if let Some(before) = &self.methods {
            methods.retain(|method| before.contains(method));
        }
        self.methods = Some(methods);
        self
    }

    /// Responds with 403 to any other path below the service name ([`Context::path`](crate::Context::path)). Defaults to
    /// all. Called again, it narrows: only the paths that are in every list pass.
    #[must_use]
    pub fn paths(mut self, paths: impl IntoIterator<Item = PathPattern>) -> Self {
        self.paths.push(paths.into_iter().collect());
        self
    }

    /// Responds with 403 to these paths besides, even if they are among the [`paths`](Self::paths): those that hand out or change keys,
    /// for example. Unlike there, every spelling counts that a server may take for one of these: percent-encoded, in
    /// another case, with further slashes or `;parameters`.
    #[must_use]
    pub fn refuse_paths(mut self, paths: impl IntoIterator<Item = PathPattern>) -> Self {
        self.refused_paths.extend(paths);
        self
    }

    pub(crate) fn allows_path(&self, path: &str) -> bool {
        let mut lists = self.paths.iter();
        lists.all(|paths| paths.iter().any(|own| own.matches(path)))
            && !self.refused_paths.iter().any(|own| own.could_match(path))
    }

    /// Sets limits of the service's own. Those that `limits` does not set stay as they are. Defaults to those of the proxy
    /// ([`ProxyLayer::limits`](crate::ProxyLayer::limits)).
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits.or(self.limits);
        self
    }

    /// This policy, with all that `before` refused: whoever adjusts a policy may have returned another one.
    pub(super) fn within(mut self, before: Self) -> Self {
        if let Some(methods) = before.methods {
            self = self.methods(methods);
        }
        for paths in before.paths {
            if !self.paths.contains(&paths) {
                self.paths.push(paths);
            }
        }
        for path in before.refused_paths {
            if !self.refused_paths.contains(&path) {
                self.refused_paths.push(path);
            }
        }
        for place in before.taken_out {
            if !self.taken_out.contains(&place) {
                self.taken_out.push(place);
            }
        }
        self.redact_errors |= before.redact_errors;
        self.limits = self.limits.or(before.limits);
        self
    }

    pub(super) const fn own_limits(&self) -> &Limits {
        &self.limits
    }

    /// Reads the bodies of error responses (4xx and 5xx, 64 KiB at most) and takes the credential out of them: for APIs that
    /// say which key they refuse. A compressed one is left out; a longer one is answered with 502. Defaults to passing them on
    /// unread, unless the credential stands in the URI, which many servers repeat.
    #[must_use]
    pub fn redact_errors(mut self) -> Self {
        self.redact_errors = true;
        self
    }

    /// Takes out what callers put into these places, although no key goes there: a header that chooses the account which
    /// pays, a parameter that is read as a key. Under any spelling of the name, and a header of the requests to all services
    /// of the proxy. Defaults to the places of the service's [injections](crate::ServiceConfig::injections).
    ///
    /// All but a part of the path can be taken out; a service with such a place here is refused when it is added to a proxy.
    ///
    /// # Example
    ///
    /// ```
    /// use http::HeaderName;
    /// use sallygate::{Place, Policy};
    ///
    /// let account = Place::header(HeaderName::from_static("x-account"));
    /// let policy = Policy::new().take_out([account, Place::query("account")?]);
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn take_out(mut self, places: impl IntoIterator<Item = Place>) -> Self {
        self.taken_out.extend(places);
        self
    }

    /// Also lets these request headers through, which are otherwise removed: `Cookie`, `Origin`, `Referer`, … One that
    /// shows the token is removed all the same. Defaults to none.
    ///
    /// A service that lets through what belongs to the connection and not to the message (RFC 9110 §7.6.1) is refused when
    /// it is added to a proxy.
    #[must_use]
    pub fn pass_request_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.pass_request.extend(names);
        self
    }

    /// Also lets these response headers through, which are otherwise removed: `Set-Cookie`, `Access-Control-*`, …
    /// Defaults to none. What belongs to the connection is refused as for
    /// [request headers](Self::pass_request_headers).
    #[must_use]
    pub fn pass_response_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.pass_response.extend(names);
        self
    }

    /// Takes `%2f` and `%5c` in paths, and passes them byte for byte. Defaults to refusing them, because servers
    /// disagree on whether they separate segments.
    #[must_use]
    pub fn allow_encoded_slashes(mut self) -> Self {
        self.encoded_slashes = true;
        self
    }

    /// Lets methods and paths through, all but some.
    pub(super) fn known(
        methods: impl IntoIterator<Item = Method>,
        paths: &[&'static str],
        refused: &[&'static str],
    ) -> Self {
        Self::new()
            .methods(methods)
            .paths(PathPattern::known(paths))
            .refuse_paths(PathPattern::known(refused))
    }

    /// Asks for the token with `WWW-Authenticate: Basic` on a 401, for clients such as git that send nothing before
    /// they are asked. Defaults to `Bearer`.
    ///
    /// A 401 carries the challenges of all services together, so that it does not tell which of them exist.
    ///
    /// A realm that holds a quote, a backslash or anything unprintable is refused when the service is added to a proxy.
    #[must_use]
    pub fn basic_challenge(mut self, realm: &str) -> Self {
        let plain =
            |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && !matches!(byte, b'"' | b'\\');
        let challenge = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
        let challenge = HeaderValue::try_from(challenge).ok();
        self.challenge = challenge.filter(|_| realm.bytes().all(plain));
        self
    }

    /// What could not be said where it was set.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        headers::check_passable(&self.pass_request)?;
        headers::check_passable(&self.pass_response)?;
        if self.challenge.is_none() {
            return Err(ConfigError::Header(
                "a realm holds a quote, a backslash or something unprintable",
            ));
        }
        Ok(())
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}
