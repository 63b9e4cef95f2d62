//! Access tokens from an OAuth 2.0 token endpoint (RFC 6749), by any of three grants. A refresh token that the endpoint
//! replaces is kept, and handed to the embedder.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{header::AUTHORIZATION, uri::PathAndQuery};
use zeroize::Zeroizing;

use crate::{
    Client, Target,
    credential::{
        Assertion, Secret, Source, SourceError, sensitive,
        source::{
            exchange::{Exchange, Form, basic_pair},
            token_response::TokenResponse,
        },
    },
};

/// An access token from an OAuth 2.0 token endpoint ([RFC 6749]).
///
/// The token must be a bearer token. Without `expires_in` it is kept until the upstream refuses it.
///
/// # Example
///
/// The client's own access (§4.4):
///
/// ```
/// use sallygate::{Credential, Target, credential::OAuth2};
///
/// let endpoint = Target::new("https://login.example.com/oauth/token")?;
/// let key = Credential::from_source(
///     OAuth2::client_credentials(endpoint, "client-id", "client-secret")
///         .scope("read write")
///         .parameter("audience", "https://api.example.com"),
/// );
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
///
/// A user's, with the refresh token that the user's consent gave (§6), which the server may replace each time:
///
/// ```
/// use sallygate::{Credential, Target, credential::OAuth2};
///
/// # fn save(_: &str) {}
/// let endpoint = Target::new("https://login.example.com/oauth/token")?;
/// let key = Credential::from_source(
///     OAuth2::refresh_token(endpoint, "client-id", "refresh-token")
///         .client_secret("client-secret")
///         .on_rotation(|refresh_token| save(refresh_token)),
/// );
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
///
/// With a signed assertion in place of a secret ([RFC 7523] §2.1):
///
/// ```no_run
/// use sallygate::{Credential, Target, credential::{Assertion, OAuth2, SigningKey}};
///
/// let endpoint = Target::new("https://login.example.com/oauth/token")?;
/// let key = SigningKey::from_pem(std::fs::read("/run/secrets/signing.pem")?)?;
/// let assertion = Assertion::new(key, "client-id", "user@example.com");
/// let key = Credential::from_source(OAuth2::jwt_bearer(endpoint, assertion).scope("read"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [RFC 6749]: https://www.rfc-editor.org/rfc/rfc6749
/// [RFC 7523]: https://www.rfc-editor.org/rfc/rfc7523
pub struct OAuth2 {
    endpoint: Target,
    grant: Grant,
    client_id: String,
    client_secret: Option<Zeroizing<String>>,
    secret_in_body: bool,
    parameters: Vec<(String, Zeroizing<String>)>,
    on_rotation: Option<Keep>,
    exchange: Exchange,
}

/// Where new refresh tokens go.
type Keep = Box<dyn Fn(&str) + Send + Sync>;

enum Grant {
    ClientCredentials,
    JwtBearer(Assertion),
    RefreshToken(Mutex<Zeroizing<String>>),
}

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How much of a token endpoint's response is read.
pub(super) const RESPONSE_MAX: usize = 64 * 1024;

impl OAuth2 {
    /// Asks with the client's own secret.
    #[must_use]
    pub fn client_credentials(
        endpoint: Target,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Self {
        Self::new(endpoint, Grant::ClientCredentials)
            .client_id(client_id)
            .client_secret(client_secret)
    }

    /// Asks with a refresh token. One that the server gives in its place is used from then on.
    #[must_use]
    pub fn refresh_token(
        endpoint: Target,
        client_id: impl Into<String>,
        refresh_token: impl Into<String>,
    ) -> Self {
        let refresh_token = Mutex::new(Zeroizing::new(refresh_token.into()));
        Self::new(endpoint, Grant::RefreshToken(refresh_token)).client_id(client_id)
    }

    /// Asks with an assertion.
    #[must_use]
    pub fn jwt_bearer(endpoint: Target, assertion: Assertion) -> Self {
        Self::new(endpoint, Grant::JwtBearer(assertion))
    }

    fn new(endpoint: Target, grant: Grant) -> Self {
        Self {
            endpoint,
            grant,
            client_id: String::new(),
            client_secret: None,
            secret_in_body: false,
            parameters: Vec::new(),
            on_rotation: None,
            exchange: Exchange::new(),
        }
    }

    /// Asks for these scopes, with a space between them. Defaults to the server's choice.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.parameter("scope", scope)
    }

    /// Adds a parameter to the request: `audience` or `resource`, for example.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let value = Zeroizing::new(value.into());
        self.parameters.push((name.into(), value));
        self
    }

    /// Says which client asks. With an assertion it defaults to not saying.
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Authenticates the client, with HTTP Basic (§2.3.1). Defaults to a public client, except with client credentials.
    #[must_use]
    pub fn client_secret(mut self, client_secret: impl Into<String>) -> Self {
        self.client_secret = Some(Zeroizing::new(client_secret.into()));
        self
    }

    /// Authenticates the client in the body instead: for servers that do not know Basic (`client_secret_post`).
    #[must_use]
    pub fn secret_in_body(mut self) -> Self {
        self.secret_in_body = true;
        self
    }

    /// Hands each new refresh token to `keep`, before it is first used: a server that gives one takes the old one no
    /// more, so it must be there after a restart. It is called in an asynchronous task and should not block.
    #[must_use]
    pub fn on_rotation(mut self, keep: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_rotation = Some(Box::new(keep));
        self
    }

    /// Sends by this client. Defaults to [`Client::new`], without kept connections.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.exchange.client = client;
        self
    }

    /// Gives up on the endpoint after this long. Defaults to 10 seconds; no source has more than 30.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.exchange.timeout = timeout;
        self
    }

    fn form(&self, now: SystemTime) -> Result<Form, SourceError> {
        let mut form = Form::default();
        match &self.grant {
            Grant::ClientCredentials => form.add("grant_type", "client_credentials"),
            Grant::JwtBearer(assertion) => {
                let uri = self.endpoint.join(&PathAndQuery::from_static("/"));
                let uri = uri.map_err(|_| SourceError::Other)?.to_string();
                form.add("grant_type", JWT_BEARER);
                form.add("assertion", &assertion.sign(&uri, now)?);
            }
            Grant::RefreshToken(token) => {
                form.add("grant_type", "refresh_token");
                form.add("refresh_token", &lock(token));
            }
        }
        for (name, value) in &self.parameters {
            form.add(name, value);
        }
        Ok(form)
    }

    /// Keeps a refresh token that came in place of the old one.
    fn rotate(&self, new: Zeroizing<String>) {
        let Grant::RefreshToken(token) = &self.grant else {
            return;
        };
        if new.is_empty() || **lock(token) == *new {
            return;
        }
        *lock(token) = new.clone();
        if let Some(keep) = &self.on_rotation {
            keep(&new);
        }
    }
}

#[async_trait]
impl Source for OAuth2 {
    async fn fetch(&self, now: SystemTime) -> Result<Secret, SourceError> {
        let mut form = self.form(now)?;
        let secret = self.client_secret.as_deref();
        let in_header = secret.filter(|_| !self.secret_in_body);
        if in_header.is_none() && !self.client_id.is_empty() {
            form.add("client_id", &self.client_id);
        }
        if let Some(secret) = secret.filter(|_| self.secret_in_body) {
            form.add("client_secret", secret);
        }
        let mut request = form.post(&self.endpoint)?;
        if let Some(secret) = in_header {
            let pair = Zeroizing::new(STANDARD.encode(&*basic_pair(&self.client_id, secret)));
            let basic = sensitive(["Basic ", &pair]).map_err(|_| SourceError::Other)?;
            request.headers_mut().insert(AUTHORIZATION, basic);
        }
        let said = self.exchange.send(request, RESPONSE_MAX).await?;
        let mut response = TokenResponse::of(&said)?;
        // First of all: the old one is good no more, whatever else is in the response.
        if let Some(refresh_token) = response.take_refresh_token() {
            self.rotate(refresh_token);
        }
        response.into_secret(now)
    }
}

fn lock(token: &Mutex<Zeroizing<String>>) -> MutexGuard<'_, Zeroizing<String>> {
    token.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2").finish_non_exhaustive()
    }
}
