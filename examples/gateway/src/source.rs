use std::collections::{BTreeSet, HashMap};

use sallygate::{
    Credential,
    credential::{File, SourceError},
};

use crate::{
    github_app::GithubApp, google::Google, oauth::OAuth, refusal::Refusal, secret::Secret,
    section::Section,
};

/// Where a key comes from.
pub(crate) enum Source {
    BySandbox {
        keys: HashMap<String, Source>,
        default: Option<Box<Source>>,
    },
    GithubApp(GithubApp),
    Google(Google),
    OAuth(Box<OAuth>),
    Secret(Secret),
}

pub(crate) const EXPECTED: &str = r#"{ env = "NAME" }, { file = "PATH" }, { oauth = {…} }, { github_app = {…} }, { google = {…} } or { by_sandbox = {…} }"#;
const OAUTH: &str = r#"{ token_url = "URL", client_id = "ID", … }"#;
const GITHUB_APP: &str = r#"{ app_id = "ID", installation_id = NUMBER, private_key = {…} }"#;
const GOOGLE: &str = r#"{ key = {…}, scopes = ["SCOPE"] } or { key = {…}, audience = "URL" }"#;
const BY_SANDBOX: &str = r#"a table of sandboxes, { "ID" = {…} }"#;

impl Source {
    /// Where from, as the file calls it, and no more.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::BySandbox { keys, default } => {
                let keys = keys.values().chain(default.as_deref());
                format!("by_sandbox ({})", kinds(keys))
            }
            Self::GithubApp(_) => "github_app".into(),
            Self::Google(_) => "google".into(),
            Self::OAuth(_) => "oauth".into(),
            Self::Secret(secret) if secret.file().is_some() => "file".into(),
            Self::Secret(_) => "env".into(),
        }
    }

    pub(crate) fn required(section: &mut Section, key: &str) -> Result<Self, Refusal> {
        Self::optional(section, key)?.ok_or_else(|| section.refuse(key, EXPECTED))
    }

    pub(crate) fn optional(section: &mut Section, key: &str) -> Result<Option<Self>, Refusal> {
        let Some(mut table) = section.section(key, EXPECTED)? else {
            return Ok(None);
        };
        if let Some(choice) = table.section("by_sandbox", BY_SANDBOX)? {
            table.only(&["default"])?;
            let default = table.section("default", EXPECTED)?;
            let keys = choice.sections()?.into_iter();
            return Ok(Some(Self::BySandbox {
                keys: keys
                    .map(|(id, table)| Ok((id, Self::parse(table)?)))
                    .collect::<Result<_, Refusal>>()?,
                default: default.map(Self::parse).transpose()?.map(Box::new),
            }));
        }
        Self::parse(table).map(Some)
    }

    /// Any but a choice.
    fn parse(mut table: Section) -> Result<Self, Refusal> {
        table.only(&["env", "file", "oauth", "github_app", "google"])?;
        let secret = table.has("env") || table.has("file");
        let oauth = table.section("oauth", OAUTH)?;
        let github_app = table.section("github_app", GITHUB_APP)?;
        let google = table.section("google", GOOGLE)?;
        match (secret, oauth, github_app, google) {
            (true, None, None, None) => Secret::parse(table).map(Self::Secret),
            (false, Some(oauth), None, None) => OAuth::parse(oauth).map(Box::new).map(Self::OAuth),
            (false, None, Some(app), None) => GithubApp::parse(app).map(Self::GithubApp),
            (false, None, None, Some(google)) => Google::parse(google).map(Self::Google),
            _ => Err(Refusal::new(table.name(), EXPECTED)),
        }
    }

    pub(crate) fn credential(&self) -> Result<Credential, Refusal> {
        Ok(match self {
            Self::BySandbox { keys, default } => {
                let keys = keys
                    .iter()
                    .map(|(id, key)| Ok((id.clone(), key.credential()?)));
                let keys = keys.collect::<Result<HashMap<_, _>, Refusal>>()?;
                let default = default.as_ref().map(|key| key.credential()).transpose()?;
                Credential::choose(move |ctx| {
                    let own = keys.get(ctx.claims().sandbox_id());
                    own.or(default.as_ref())
                        .cloned()
                        .ok_or(SourceError::Missing)
                })
            }
            Self::GithubApp(app) => Credential::from_source(app.source()?),
            Self::Google(account) => Credential::from_source(account.source()?),
            Self::OAuth(oauth) => Credential::from_source(oauth.source()?),
            Self::Secret(secret) => {
                let text = secret.read()?;
                let key = Credential::new(text.as_str()).map_err(|problem| {
                    Refusal::new(secret.key(), format!("a key on one line ({problem})"))
                })?;
                match secret.file() {
                    None => key,
                    // It was read so that a bad one is refused now, but it may change.
                    Some(file) => Credential::from_source(File::new(file)),
                }
            }
        })
    }
}

/// The kinds of these, each once.
pub(crate) fn kinds<'a>(sources: impl IntoIterator<Item = &'a Source>) -> String {
    let kinds: BTreeSet<_> = sources.into_iter().map(Source::kind).collect();
    kinds.into_iter().collect::<Vec<_>>().join(", ")
}
