use std::fmt;

use http::uri::Authority;
use sallygate::{ConfigError, service};

use crate::{
    limits::Bounds, refusal::Refusal, section::Section, source::Source, target::Address,
    upstream::MakeKey,
};

/// S3, whose requests are signed anew.
pub(crate) struct S3 {
    address: Address,
    region: String,
    credential: Source,
    buckets: Option<Vec<String>>,
    prefix: Option<String>,
    virtual_hosts: Option<String>,
    upstream_virtual_hosts: bool,
    bounds: Bounds,
    name: String,
}

const BUCKETS: &str = r#"names, ["BUCKET"]"#;
const DOMAIN: &str = "the domain that stands behind the names of buckets";
const PREFIX: &str = r#"the beginning of keys, "FOLDER/""#;
const REGION: &str = r#"a name such as "eu-central-1""#;

impl S3 {
    pub(crate) fn parse(section: &mut Section) -> Result<Self, Refusal> {
        const KEYS: [&str; 11] = [
            "preset",
            "target",
            "allow_plaintext",
            "http2",
            "credential",
            "region",
            "buckets",
            "prefix",
            "virtual_hosts",
            "upstream_virtual_hosts",
            "ca_file",
        ];
        let keys: Vec<_> = KEYS.into_iter().chain(Bounds::keys_of_service()).collect();
        section.only(&keys)?;
        Ok(Self {
            address: Address::required(section, "target")?,
            region: section.required_text("region", REGION)?,
            credential: Source::required(section, "credential")?,
            buckets: section.texts("buckets", BUCKETS)?,
            prefix: section.text("prefix", PREFIX)?,
            virtual_hosts: section.text("virtual_hosts", DOMAIN)?,
            upstream_virtual_hosts: section.flag("upstream_virtual_hosts")?,
            bounds: Bounds::parse(section)?,
            name: section.name().to_owned(),
        })
    }

    /// The hosts that show certificates.
    pub(crate) fn authorities(&self) -> Vec<Authority> {
        let Some(endpoint) = &self.address.authority else {
            return Vec::new();
        };
        let buckets = self.buckets.iter().flatten();
        let own = buckets
            .filter(|_| self.upstream_virtual_hosts)
            .filter_map(|bucket| format!("{bucket}.{endpoint}").parse().ok());
        own.chain([endpoint.clone()]).collect()
    }

    pub(crate) fn service(&self, make_key: MakeKey) -> Result<service::S3, Refusal> {
        let wrong = |key: &str, expected: &'static str| {
            let key = format!("{}.{key}", self.name);
            move |problem: ConfigError| Refusal::new(key, format!("{expected} ({problem})"))
        };
        let (target, key) = (self.address.target.clone(), make_key(&self.credential)?);
        let mut s3 =
            service::S3::new(target, &self.region, key).map_err(wrong("region", REGION))?;
        if let Some(buckets) = &self.buckets {
            s3 = s3.buckets(buckets).map_err(wrong("buckets", BUCKETS))?;
        }
        if let Some(prefix) = &self.prefix {
            s3 = s3.prefix(prefix).map_err(wrong("prefix", PREFIX))?;
        }
        if let Some(domain) = &self.virtual_hosts {
            s3 = s3
                .virtual_hosts(domain)
                .map_err(wrong("virtual_hosts", DOMAIN))?;
        }
        if self.upstream_virtual_hosts {
            let wrong = wrong("upstream_virtual_hosts", "true only with `buckets`");
            s3 = s3.upstream_virtual_hosts().map_err(wrong)?;
        }
        Ok(s3.limits(self.bounds.limits))
    }
}

impl fmt::Display for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (origin, kind) = (&self.address.origin, self.credential.kind());
        write!(f, "s3 at {origin}; key from {kind}")?;
        self.bounds.fmt_behind(f)
    }
}
