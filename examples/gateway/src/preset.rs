use std::{collections::BTreeSet, fmt};

use http::{HeaderName, HeaderValue};
use sallygate::Api;

use crate::{
    refusal::Refusal, rules::Rules, section::Section, source::Source, target::Address,
    upstream::MakeKey,
};

/// An API that the library knows by name. (S3 is another matter: see `s3.rs`.)
pub(crate) struct Preset {
    name: &'static str,
    api: Known,
    headers: Vec<(HeaderName, HeaderValue)>,
    credential: Source,
    rules: Rules,
}

enum Known {
    At(Option<Address>),
    GithubAt { web: Address, api: Address },
}

/// What may stand under `preset`: every API that the library knows, and S3, of which `s3.rs` takes care.
pub(crate) fn expected() -> String {
    let known = Api::known_names().map(|name| format!("\"{name}\""));
    format!("{} or \"s3\"", known.collect::<Vec<_>>().join(", "))
}

/// The keys that the table of one known API has and others have not.
fn own_keys(name: &str) -> &'static [&'static str] {
    match name {
        "github" => &["web"],
        "openai" => &["organization", "project"],
        _ => &[],
    }
}

impl Preset {
    pub(crate) fn parse(section: &mut Section, name: &str) -> Result<Self, Refusal> {
        const KEYS: [&str; 6] = [
            "preset",
            "credential",
            "target",
            "allow_plaintext",
            "http2",
            "ca_file",
        ];
        let Some(name) = Api::known_names().find(|known| *known == name) else {
            return Err(section.refuse("preset", expected()));
        };
        let own = own_keys(name);
        section.only(&[&KEYS[..], own, &Rules::keys()].concat())?;
        let mut headers = Vec::new();
        for (key, name) in [
            ("organization", "openai-organization"),
            ("project", "openai-project"),
        ] {
            let Some(text) = section.text(key, "a text")? else {
                continue;
            };
            let value = HeaderValue::try_from(text)
                .map_err(|_| section.refuse(key, "a text that a header takes"))?;
            headers.push((HeaderName::from_static(name), value));
        }
        Ok(Self {
            name,
            api: if name == "github" && (section.has("target") || section.has("web")) {
                // Not one of them alone: the key of one place is not for the other.
                Known::GithubAt {
                    web: Address::required(section, "web")?,
                    api: Address::required(section, "target")?,
                }
            } else {
                Known::At(Address::optional(section, "target")?)
            },
            headers,
            credential: Source::required(section, "credential")?,
            rules: Rules::parse(section)?,
        })
    }

    /// Where it is, if the file says so.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        let addresses = match &self.api {
            Known::At(address) => [address.as_ref(), None],
            Known::GithubAt { web, api } => [Some(web), Some(api)],
        };
        addresses.into_iter().flatten()
    }

    pub(crate) fn service(&self, make_key: MakeKey) -> Result<Api, Refusal> {
        let key = make_key(&self.credential)?;
        let service = match &self.api {
            Known::At(address) => {
                let known = Api::known(self.name, key);
                let service = known.ok_or_else(|| Refusal::new("preset", expected()))?;
                match address {
                    None => service,
                    Some(address) => service.with_target(address.target.clone()),
                }
            }
            Known::GithubAt { web, api } => {
                Api::github_at(web.target.clone(), api.target.clone(), key)
            }
        };
        let service = self.rules.apply(service);
        let headers = self.headers.iter().cloned();
        Ok(headers.fold(service, |service, (name, value)| {
            service.set_header(name, value)
        }))
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        let origins: BTreeSet<_> = self.addresses().map(|address| &*address.origin).collect();
        if !origins.is_empty() {
            let origins: Vec<_> = origins.into_iter().collect();
            write!(f, " at {}", origins.join(" and "))?;
        }
        write!(f, "; key from {}{}", self.credential.kind(), self.rules)
    }
}
