use std::path::PathBuf;

use sallygate::{Client, Target};

use crate::{
    outbound,
    refusal::Refusal,
    section::{PEM, Section},
    target::Address,
};

/// Where tokens are asked for.
pub(crate) struct Endpoint {
    /// If not where the library knows.
    pub(crate) target: Option<Target>,
    /// The key that names certificates to trust there, and their file.
    roots: Option<(String, PathBuf)>,
}

impl Endpoint {
    /// What may stand beside the key with the URL.
    pub(crate) const KEYS: [&str; 2] = ["allow_plaintext", "ca_file"];

    pub(crate) fn parse(section: &mut Section, key: &str) -> Result<Self, Refusal> {
        let address = Address::optional(section, key)?;
        let roots = section.file("ca_file", PEM)?;
        Ok(Self {
            target: address.map(|address| address.target),
            roots: roots.map(|file| (section.path("ca_file"), file)),
        })
    }

    /// A client that keeps no connections: each would belong to one thread, and tokens are for all.
    pub(crate) fn client(&self) -> Result<Client, Refusal> {
        let client = match &self.roots {
            None => Client::new(),
            Some((key, file)) => outbound::trusting(key, file)?,
        };
        Ok(client.max_idle_per_host(0))
    }
}
