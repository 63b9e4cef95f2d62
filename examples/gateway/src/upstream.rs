use std::{fmt, path::PathBuf};

use http::uri::Authority;
use sallygate::{ConfigError, Credential, ServiceConfig, proxy::Change, service::ServiceName};

#[cfg(not(feature = "sigv4"))]
use crate::no_s3::S3;
#[cfg(feature = "sigv4")]
use crate::s3::S3;
use crate::{
    generic::Generic,
    preset::{self, Preset},
    refusal::Refusal,
    section::{PEM, Section},
    source::Source,
};

/// Makes a credential of what the file says of one.
pub(crate) type MakeKey = fn(&Source) -> Result<Credential, Refusal>;

/// A service that only needs to be put in.
pub(crate) type Install = Box<dyn FnOnce(&mut Change) -> Result<(), Refusal>>;

/// A table `[services.NAME]`.
pub(crate) struct Upstream {
    pub(crate) name: ServiceName,
    api: Kind,
    /// Certificates of authorities to trust at the hosts of this upstream.
    pub(crate) ca_file: Option<PathBuf>,
}

enum Kind {
    Generic(Box<Generic>),
    Preset(Box<Preset>),
    S3(Box<S3>),
}

impl Upstream {
    pub(crate) fn parse(name: String, mut section: Section) -> Result<Self, Refusal> {
        let section = &mut section;
        let name = name.parse().map_err(|problem: ConfigError| {
            Refusal::new(section.name(), format!("a usable service ({problem})"))
        })?;
        let api = match section.text("preset", &preset::expected())?.as_deref() {
            None => Kind::Generic(Generic::parse(section)?.into()),
            Some("s3") => Kind::S3(S3::parse(section)?.into()),
            Some(name) => Kind::Preset(Preset::parse(section, name)?.into()),
        };
        let upstream = Self {
            name,
            api,
            ca_file: section.file("ca_file", PEM)?,
        };
        if upstream.ca_file.is_some() && upstream.authorities().is_empty() {
            return Err(section.refuse("ca_file", "none without an https:// target"));
        }
        Ok(upstream)
    }

    /// A key's full name.
    pub(crate) fn path(&self, key: &str) -> String {
        format!("services.{}.{key}", self.name)
    }

    /// The hosts that show certificates, as far as the file names them.
    pub(crate) fn authorities(&self) -> Vec<Authority> {
        match &self.api {
            Kind::Generic(generic) => generic.address.authority.iter().cloned().collect(),
            Kind::Preset(preset) => preset
                .addresses()
                .filter_map(|address| address.authority.clone())
                .collect(),
            Kind::S3(s3) => s3.authorities(),
        }
    }

    /// The service, with keys that `make_key` makes.
    pub(crate) fn service(&self, make_key: MakeKey) -> Result<Install, Refusal> {
        let name = self.name.clone();
        Ok(match &self.api {
            Kind::Generic(generic) => install(name, generic.service(make_key)?),
            Kind::Preset(preset) => install(name, preset.service(make_key)?),
            Kind::S3(s3) => install(name, s3.service(make_key)?),
        })
    }
}

/// Says which API it is, where its keys come from, and what is limited.
impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.api {
            Kind::Generic(generic) => write!(f, "{generic}"),
            Kind::Preset(preset) => write!(f, "{preset}"),
            Kind::S3(s3) => write!(f, "{s3}"),
        }
    }
}

fn install(name: ServiceName, service: impl ServiceConfig) -> Install {
    Box::new(move |change| {
        let set = change.set_service(name.as_str(), service);
        set.map_err(|problem| {
            Refusal::new(
                format!("services.{name}"),
                format!("a usable service ({problem})"),
            )
        })
    })
}
