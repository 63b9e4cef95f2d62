use sallygate::credential::{GoogleServiceAccount, GoogleToken};

use crate::{endpoint::Endpoint, refusal::Refusal, secret::Secret, section::Section};

/// A Google service account, and which of its tokens.
pub(crate) struct Google {
    key: Secret,
    token: Token,
    subject: Option<String>,
    endpoint: Endpoint,
}

enum Token {
    Access(Vec<String>),
    Id(String),
}

impl Google {
    pub(crate) fn parse(mut section: Section) -> Result<Self, Refusal> {
        const KEYS: [&str; 5] = ["key", "scopes", "audience", "subject", "token_url"];
        const SCOPES: &str = r#"["SCOPE"], or audience = "URL" instead"#;
        section.only(&[&KEYS[..], &Endpoint::KEYS].concat())?;
        let scopes = section.texts("scopes", SCOPES)?;
        let audience = section.text("audience", "the URL of what the token is for")?;
        let token = match (scopes, audience) {
            (Some(scopes), None) => Token::Access(scopes),
            (None, Some(audience)) => Token::Id(audience),
            _ => return Err(section.refuse("scopes", SCOPES)),
        };
        Ok(Self {
            key: Secret::required(&mut section, "key")?,
            token,
            subject: section.text("subject", "a user")?,
            endpoint: Endpoint::parse(&mut section, "token_url")?,
        })
    }

    pub(crate) fn source(&self) -> Result<GoogleToken, Refusal> {
        let json = self.key.read()?;
        let mut account = GoogleServiceAccount::from_json(json.as_bytes())
            .map_err(|problem| {
                let expected = format!("the key file of a service account ({problem})");
                Refusal::new(self.key.key(), expected)
            })?
            .client(self.endpoint.client()?);
        if let Some(user) = &self.subject {
            account = account.subject(user);
        }
        if let Some(endpoint) = &self.endpoint.target {
            account = account.endpoint(endpoint.clone());
        }
        Ok(match &self.token {
            Token::Access(scopes) => account.access_token(scopes),
            Token::Id(audience) => account.id_token(audience),
        })
    }
}
