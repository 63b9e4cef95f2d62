use std::path::PathBuf;

use http::uri::Authority;
use sallygate::{Credential, ProxyLayer};

use crate::{
    generic::Generic,
    preset::{self, Preset},
    refusal::Refusal,
    s3::S3,
    section::{PEM, Section},
    source::Source,
};

/// Makes a credential of what the file says of one.
pub(crate) type MakeKey = fn(&Source) -> Result<Credential, Refusal>;

/// A table `[services.NAME]`.
pub(crate) struct Upstream {
    name: String,
    api: Api,
    /// Certificates of authorities to trust at the hosts of this upstream.
    pub(crate) ca_file: Option<PathBuf>,
}

enum Api {
    Generic(Box<Generic>),
    Preset(Box<Preset>),
    S3(Box<S3>),
}

impl Upstream {
    pub(crate) fn parse(name: String, mut section: Section) -> Result<Self, Refusal> {
        let section = &mut section;
        let api = match section.text("preset", preset::EXPECTED)?.as_deref() {
            None => Api::Generic(Generic::parse(section)?.into()),
            Some("s3") => Api::S3(S3::parse(section)?.into()),
            Some(name) => Api::Preset(Preset::parse(section, name)?.into()),
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
            Api::Generic(generic) => generic.address.authority.iter().cloned().collect(),
            Api::Preset(preset) => preset
                .addresses()
                .filter_map(|address| address.authority.clone())
                .collect(),
            Api::S3(s3) => s3.authorities(),
        }
    }

    /// Adds itself, with keys that `make_key` makes.
    pub(crate) fn add_to(
        &self,
        proxy: ProxyLayer,
        make_key: MakeKey,
    ) -> Result<ProxyLayer, Refusal> {
        let name = &self.name;
        let added = match &self.api {
            Api::Generic(generic) => proxy.service(name, generic.service(make_key)?),
            Api::Preset(preset) => proxy.service(name, preset.service(make_key)?),
            Api::S3(s3) => proxy.service(name, s3.service(make_key)?),
        };
        added.map_err(|problem| {
            Refusal::new(
                format!("services.{name}"),
                format!("a usable service ({problem})"),
            )
        })
    }
}
