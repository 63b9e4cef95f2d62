use sallygate::credential::GitHubApp;

use crate::{endpoint::Endpoint, refusal::Refusal, secret::Secret, section::Section};

/// An installation of a GitHub App.
pub(crate) struct GithubApp {
    app_id: String,
    installation_id: u64,
    private_key: Secret,
    repositories: Vec<String>,
    permissions: Vec<(String, String)>,
    api: Endpoint,
}

impl GithubApp {
    pub(crate) fn parse(mut section: Section) -> Result<Self, Refusal> {
        const KEYS: [&str; 6] = [
            "app_id",
            "installation_id",
            "private_key",
            "repositories",
            "permissions",
            "api",
        ];
        section.only(&[&KEYS[..], &Endpoint::KEYS].concat())?;
        let repositories = section.texts("repositories", r#"names, ["REPOSITORY"]"#)?;
        Ok(Self {
            app_id: section.required_text("app_id", "the app's client id or app id, as text")?,
            installation_id: section
                .number("installation_id", "a number")?
                .ok_or_else(|| section.refuse("installation_id", "a number"))?,
            private_key: Secret::required(&mut section, "private_key")?,
            repositories: repositories.unwrap_or_default(),
            permissions: section.pairs("permissions", r#"{ contents = "read" }"#)?,
            api: Endpoint::parse(&mut section, "api")?,
        })
    }

    pub(crate) fn source(&self) -> Result<GitHubApp, Refusal> {
        let pem = self.private_key.read()?;
        let mut app = GitHubApp::new(&self.app_id, self.installation_id, pem.as_bytes())
            .map_err(|problem| {
                let expected = format!("a private RSA key in PEM ({problem})");
                Refusal::new(self.private_key.key(), expected)
            })?
            .repositories(&self.repositories)
            .client(self.api.client()?);
        for (name, access) in &self.permissions {
            app = app.permission(name, access);
        }
        Ok(match &self.api.target {
            None => app,
            Some(api) => app.api(api.clone()),
        })
    }
}
