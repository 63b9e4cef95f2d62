use std::{fs, io, path::Path};

use sallygate::{
    Target,
    credential::{Assertion, OAuth2, SigningKey},
};
use zeroize::Zeroizing;

use crate::{
    endpoint::Endpoint,
    refusal::Refusal,
    say,
    secret::{Secret, reason},
    section::Section,
    target,
};

/// How a token endpoint of OAuth 2.0 is asked.
pub(crate) struct OAuth {
    target: Target,
    endpoint: Endpoint,
    grant: Grant,
    secret_in_body: bool,
    parameters: Vec<(String, String)>,
}

enum Grant {
    ClientCredentials {
        id: String,
        secret: Secret,
    },
    JwtBearer {
        id: Option<String>,
        secret: Option<Secret>,
        statement: Statement,
    },
    RefreshToken {
        id: String,
        secret: Option<Secret>,
        token: Secret,
    },
}

/// What an assertion says, and who signs it.
struct Statement {
    private_key: Secret,
    key_id: Option<String>,
    issuer: String,
    subject: String,
    audience: Option<String>,
}

const KEYS: [&str; 7] = [
    "token_url",
    "grant",
    "client_id",
    "client_secret",
    "secret_in_body",
    "scope",
    "parameters",
];

impl OAuth {
    pub(crate) fn parse(mut section: Section) -> Result<Self, Refusal> {
        let grant = Grant::parse(&mut section)?;
        let scope = section.text("scope", "scopes with a space between them")?;
        let mut parameters = section.pairs("parameters", r#"{ NAME = "VALUE" }"#)?;
        parameters.extend(scope.map(|scope| ("scope".to_owned(), scope)));
        let endpoint = Endpoint::parse(&mut section, "token_url")?;
        let target = endpoint.target.clone();
        Ok(Self {
            target: target.ok_or_else(|| section.refuse("token_url", target::TLS))?,
            endpoint,
            grant,
            secret_in_body: section.flag("secret_in_body")?,
            parameters,
        })
    }

    pub(crate) fn source(&self) -> Result<OAuth2, Refusal> {
        let read = |secret: &Option<Secret>| secret.as_ref().map(Secret::read).transpose();
        let target = self.target.clone();
        let (mut oauth, secret) = match &self.grant {
            Grant::ClientCredentials { id, secret } => {
                let oauth = OAuth2::client_credentials(target, id, secret.read()?.as_str());
                (oauth, None)
            }
            Grant::JwtBearer {
                id,
                secret,
                statement,
            } => {
                let oauth = OAuth2::jwt_bearer(target, statement.assertion()?);
                let id = id.clone().unwrap_or_default();
                (oauth.client_id(id), read(secret)?)
            }
            Grant::RefreshToken { id, secret, token } => {
                let oauth = OAuth2::refresh_token(target, id, token.read()?.as_str());
                (oauth.on_rotation(keeper(token)), read(secret)?)
            }
        };
        if let Some(secret) = secret {
            oauth = oauth.client_secret(secret.as_str());
        }
        if self.secret_in_body {
            oauth = oauth.secret_in_body();
        }
        for (name, value) in &self.parameters {
            oauth = oauth.parameter(name, value);
        }
        Ok(oauth.client(self.endpoint.client()?))
    }
}

impl Grant {
    fn parse(section: &mut Section) -> Result<Self, Refusal> {
        const EXPECTED: &str = r#""client_credentials", "refresh_token" or "jwt_bearer""#;
        const ID: &str = "the client's id";
        let known = |section: &Section, own: &[&str]| {
            section.only(&[&KEYS[..], own, &Endpoint::KEYS].concat())
        };
        let grant = section.text("grant", EXPECTED)?;
        match grant.as_deref() {
            None | Some("client_credentials") => {
                known(section, &[])?;
                Ok(Self::ClientCredentials {
                    id: section.required_text("client_id", ID)?,
                    secret: Secret::required(section, "client_secret")?,
                })
            }
            Some("jwt_bearer") => {
                known(section, &Statement::KEYS)?;
                Ok(Self::JwtBearer {
                    id: section.text("client_id", ID)?,
                    secret: Secret::optional(section, "client_secret")?,
                    statement: Statement::parse(section)?,
                })
            }
            Some("refresh_token") => {
                known(section, &["refresh_token"])?;
                Ok(Self::RefreshToken {
                    id: section.required_text("client_id", ID)?,
                    secret: Secret::optional(section, "client_secret")?,
                    token: Secret::required(section, "refresh_token")?,
                })
            }
            Some(_) => Err(section.refuse("grant", EXPECTED)),
        }
    }
}

impl Statement {
    const KEYS: [&str; 5] = ["private_key", "key_id", "issuer", "subject", "audience"];

    fn parse(section: &mut Section) -> Result<Self, Refusal> {
        Ok(Self {
            private_key: Secret::required(section, "private_key")?,
            key_id: section.text("key_id", "a text")?,
            issuer: section.required_text("issuer", "who asks")?,
            subject: section.required_text("subject", "for whom")?,
            audience: section.text("audience", "a text")?,
        })
    }

    fn assertion(&self) -> Result<Assertion, Refusal> {
        let pem = self.private_key.read()?;
        let mut key = SigningKey::from_pem(pem.as_bytes()).map_err(|problem| {
            let expected = format!("a private key in PEM ({problem})");
            Refusal::new(self.private_key.key(), expected)
        })?;
        if let Some(id) = &self.key_id {
            key = key.key_id(id);
        }
        let assertion = Assertion::new(key, &self.issuer, &self.subject);
        Ok(match &self.audience {
            None => assertion,
            Some(audience) => assertion.audience(audience),
        })
    }
}

/// Keeps a refresh token that came in place of `old`: after a restart, that one would be refused.
fn keeper(old: &Secret) -> impl Fn(&str) + Send + Sync + 'static {
    let (key, file) = (old.key().to_owned(), old.file().map(Path::to_owned));
    move |new| {
        let kept = match &file {
            Some(file) => replace(file, new).map_err(|problem| reason(&problem)),
            None => Err("it came from the environment".to_owned()),
        };
        if let Err(why) = kept {
            say(&format!(
                "{key}: there is a new one, which is not kept ({why})"
            ));
        }
    }
}

/// Puts `text` into a file: whole at any time, and for the same readers.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    fs::copy(file, &new)?;
    fs::write(&new, Zeroizing::new(format!("{text}\n")))?;
    fs::rename(&new, file)
}
