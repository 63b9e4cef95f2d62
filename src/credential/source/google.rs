//! Tokens of a Google service account, by its key file: access tokens for Google's APIs, id tokens for services behind
//! them.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Map;
use zeroize::Zeroizing;

use crate::{
    Client, ConfigError, Target,
    credential::{
        Secret, SigningKey, Source, SourceError,
        source::{
            assertion::{DRIFT, LIFETIME, date},
            exchange::{Exchange, Form},
            oauth::{JWT_BEARER, RESPONSE_MAX},
            token_response::TokenResponse,
        },
    },
};

/// A Google service account, by its key file. Gives tokens of two kinds.
///
/// # Example
///
/// An access token, for Google's own APIs:
///
/// ```no_run
/// use sallygate::{Credential, credential::GoogleServiceAccount};
///
/// let account = GoogleServiceAccount::from_json(std::fs::read("/run/secrets/account.json")?)?;
/// let scope = "https://www.googleapis.com/auth/cloud-platform";
/// let key = Credential::from_source(account.access_token([scope]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// An id token, for what runs behind Google's sign-in: Cloud Run, or an Identity-Aware Proxy.
///
/// ```no_run
/// # use sallygate::{Credential, credential::GoogleServiceAccount};
/// # let account = GoogleServiceAccount::from_json("")?;
/// let key = Credential::from_source(account.id_token("https://service-abc-ew.a.run.app"));
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct GoogleServiceAccount {
    email: String,
    subject: Option<String>,
    key: Arc<SigningKey>,
    /// Whom assertions are for, wherever they are sent.
    audience: String,
    endpoint: Target,
    exchange: Exchange,
}

const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

impl GoogleServiceAccount {
    /// Reads a key file as it is downloaded.
    ///
    /// Google is asked at its `token_uri`: take a file only from whom you would take that address.
    ///
    /// # Errors
    ///
    /// When it is not the JSON of a service account, its key is not an RSA key, or its `token_uri` is not `https`.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        struct KeyFile {
            r#type: String,
            client_email: String,
            private_key: Zeroed,
            private_key_id: Option<String>,
            token_uri: Option<String>,
        }
        let wrong = "not the key file of a Google service account";
        let file: KeyFile = serde_json::from_slice(json.as_ref())
            .ok()
            .filter(|file: &KeyFile| file.r#type == "service_account")
            .ok_or(ConfigError::Credential(wrong))?;
        let mut key = SigningKey::rsa_from_pem(file.private_key.0.as_bytes())?;
        if let Some(id) = file.private_key_id {
            key = key.key_id(id);
        }
        let token_uri = file.token_uri.unwrap_or_else(|| TOKEN_URI.into());
        Ok(Self {
            email: file.client_email,
            subject: None,
            key: Arc::new(key),
            endpoint: Target::new(&token_uri)?,
            audience: token_uri,
            exchange: Exchange::new(),
        })
    }

    /// Acts for this user, where an administrator has allowed it (domain-wide delegation). Defaults to the account
    /// itself.
    #[must_use]
    pub fn subject(mut self, user: impl Into<String>) -> Self {
        self.subject = Some(user.into());
        self
    }

    /// Asks there: at a private endpoint, for example. Defaults to the file's `token_uri`, for which the assertions
    /// remain.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Target) -> Self {
        self.endpoint = endpoint;
        self
    }

    /// Sends by this client. Defaults to [`Client::new`], without kept connections.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.exchange.client = client;
        self
    }

    /// Gives up on Google after this long. Defaults to 10 seconds; no source has more than 30.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.exchange.timeout = timeout;
        self
    }

    /// Access tokens with these scopes.
    #[must_use]
    pub fn access_token<S: AsRef<str>>(&self, scopes: impl IntoIterator<Item = S>) -> GoogleToken {
        let mut text = String::new();
        for scope in scopes {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(scope.as_ref());
        }
        self.token(Kind::Access, text)
    }

    /// Id tokens for this audience.
    #[must_use]
    pub fn id_token(&self, audience: impl Into<String>) -> GoogleToken {
        self.token(Kind::Id, audience.into())
    }

    fn token(&self, kind: Kind, wish: String) -> GoogleToken {
        GoogleToken {
            account: self.clone(),
            kind,
            wish,
        }
    }
}

/// A token of a [`GoogleServiceAccount`].
pub struct GoogleToken {
    account: GoogleServiceAccount,
    kind: Kind,
    /// The scopes, or the audience.
    wish: String,
}

#[derive(Clone, Copy)]
enum Kind {
    Access,
    Id,
}

impl GoogleToken {
    fn assertion(&self, now: SystemTime) -> Result<Zeroizing<String>, SourceError> {
        let account = &self.account;
        let wish = match self.kind {
            Kind::Access => "scope",
            Kind::Id => "target_audience",
        };
        let mut claims = Map::new();
        claims.insert("iss".into(), account.email.as_str().into());
        claims.insert("aud".into(), account.audience.as_str().into());
        claims.insert(wish.into(), self.wish.as_str().into());
        if let Some(subject) = &account.subject {
            claims.insert("sub".into(), subject.as_str().into());
        }
        date(&mut claims, now, DRIFT, LIFETIME);
        account.key.sign(claims)
    }
}

#[async_trait]
impl Source for GoogleToken {
    async fn fetch(&self, now: SystemTime) -> Result<Secret, SourceError> {
        let mut form = Form::default();
        form.add("grant_type", JWT_BEARER);
        form.add("assertion", &self.assertion(now)?);
        let request = form.post(&self.account.endpoint)?;
        let said = self.account.exchange.send(request, RESPONSE_MAX).await?;
        match self.kind {
            Kind::Access => TokenResponse::of(&said)?.into_secret(now),
            Kind::Id => {
                #[derive(Deserialize)]
                struct Response {
                    id_token: String,
                }
                let Response { id_token } = said.read()?;
                let expires_at = expiry(&id_token).ok_or(SourceError::Malformed)?;
                Ok(Secret::new(id_token).expires_at(expires_at))
            }
        }
    }
}

/// The `exp` of a JWT. Its signature is for whom the token is for; this one came from who made it.
fn expiry(jwt: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let mut parts = jwt.split('.').skip(1);
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(parts.next()?).ok()?);
    let Claims { exp } = serde_json::from_slice(&payload).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(exp))
}

/// Text that is wiped when dropped.
struct Zeroed(Zeroizing<String>);

impl<'de> Deserialize<'de> for Zeroed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl fmt::Debug for GoogleServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoogleServiceAccount")
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GoogleToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoogleToken").finish_non_exhaustive()
    }
}
