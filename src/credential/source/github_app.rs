//! Installation tokens of a GitHub App. An assertion signed with the app's key is exchanged for a token of an hour.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use http::{
    HeaderName, HeaderValue,
    header::{ACCEPT, AUTHORIZATION},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::{
    Client, ConfigError, Target,
    credential::{
        Secret, SigningKey, Source, SourceError, sensitive,
        source::{
            assertion::date,
            exchange::{Exchange, post},
            rfc3339,
        },
    },
};

/// An installation token of a [GitHub App]: good for an hour, for what the app was installed on.
///
/// # Example
///
/// ```no_run
/// use sallygate::{Credential, credential::GitHubApp};
///
/// let pem = std::fs::read("/run/secrets/github-app.pem")?;
/// let key = Credential::from_source(
///     GitHubApp::new("Iv23liABCDEFGHIJKLMN", 12_345_678, pem)?
///         .repositories(["hello-world"])
///         .permission("contents", "read"),
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [GitHub App]: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation
pub struct GitHubApp {
    app: String,
    installation: u64,
    key: SigningKey,
    api: Target,
    repositories: Vec<Value>,
    permissions: Map<String, Value>,
    exchange: Exchange,
}

/// It describes every repository that was named, 500 at most, in some kilobytes each.
const RESPONSE_MAX: usize = 4 * 1024 * 1024;

/// GitHub wants the one dated back, and the other no more than ten minutes ahead.
const BACK: Duration = Duration::from_secs(60);
const AHEAD: Duration = Duration::from_secs(9 * 60);

impl GitHubApp {
    /// Takes the app's client id (or its app id), the id of the installation, and the app's private key in PEM.
    ///
    /// # Errors
    ///
    /// When the key is not an RSA key.
    pub fn new(
        app: impl Into<String>,
        installation: u64,
        pem: impl AsRef<[u8]>,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            app: app.into(),
            installation,
            key: SigningKey::rsa_from_pem(pem)?,
            api: Target::new("https://api.github.com")?,
            repositories: Vec::new(),
            permissions: Map::new(),
            exchange: Exchange::new(),
        })
    }

    /// Asks for a token for these repositories alone, by their names without the owner. Defaults to all of the
    /// installation's.
    #[must_use]
    pub fn repositories<R>(mut self, repositories: impl IntoIterator<Item = R>) -> Self
    where
        R: Into<String>,
    {
        let names = repositories.into_iter().map(|name| name.into().into());
        self.repositories = names.collect();
        self
    }

    /// Asks for a token with this permission, and others so named, alone: `contents` and `read`, for example. Defaults
    /// to all of the installation's.
    #[must_use]
    pub fn permission(mut self, name: impl Into<String>, access: impl Into<String>) -> Self {
        self.permissions.insert(name.into(), access.into().into());
        self
    }

    /// Sets where the API is, for GitHub Enterprise: `https://github.example.com/api/v3`. Defaults to
    /// `https://api.github.com`.
    #[must_use]
    pub fn api(mut self, api: Target) -> Self {
        self.api = api;
        self
    }

    /// Sends by this client. Defaults to [`Client::new`], without kept connections.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.exchange.client = client;
        self
    }

    /// Gives up on GitHub after this long. Defaults to 10 seconds; no source has more than 30.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.exchange.timeout = timeout;
        self
    }

    fn wish(&self) -> Zeroizing<String> {
        let mut wish = Map::new();
        if !self.repositories.is_empty() {
            wish.insert("repositories".into(), self.repositories.clone().into());
        }
        if !self.permissions.is_empty() {
            wish.insert("permissions".into(), self.permissions.clone().into());
        }
        Zeroizing::new(Value::from(wish).to_string())
    }
}

#[async_trait]
impl Source for GitHubApp {
    async fn fetch(&self, now: SystemTime) -> Result<Secret, SourceError> {
        #[derive(Deserialize)]
        struct Response {
            token: String,
            expires_at: String,
        }
        let mut claims = Map::new();
        claims.insert("iss".into(), self.app.as_str().into());
        date(&mut claims, now, BACK, AHEAD);
        let jwt = self.key.sign(claims)?;
        let bearer = sensitive(["Bearer ", &jwt]).map_err(|_| SourceError::Other)?;

        let path = format!("/app/installations/{}/access_tokens", self.installation);
        let mut request = post(&self.api, &path, "application/json", self.wish())?;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, bearer);
        let accept = HeaderValue::from_static("application/vnd.github+json");
        headers.insert(ACCEPT, accept);
        headers.insert(
            HeaderName::from_static("x-github-api-version"),
            HeaderValue::from_static("2022-11-28"),
        );
        let said = self.exchange.send(request, RESPONSE_MAX).await?;
        let response: Response = said.read()?;
        let secret = Secret::new(response.token);
        let expires_at = rfc3339::parse(&response.expires_at).ok_or(SourceError::Malformed)?;
        Ok(secret.expires_at(expires_at))
    }
}

impl fmt::Debug for GitHubApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubApp").finish_non_exhaustive()
    }
}
