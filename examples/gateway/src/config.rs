use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    Failure, health,
    limits::Bounds,
    refusal::Refusal,
    revoked::{Revocation, Revoked},
    secret::{Secret, reason},
    section::{PEM, Section},
    upstream::Upstream,
};

/// A gateway file in which every key is known and of the right type. What it refers to is read in `setup.rs`.
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) mount: String,
    /// Where health checks are responded to.
    pub(crate) health: Option<String>,
    pub(crate) public_origin: Option<String>,
    pub(crate) threads: usize,
    pub(crate) tls: Option<Tls>,
    /// How long requests under way may take to finish once the gateway is told to stop.
    pub(crate) drain: Duration,
    pub(crate) host_suffix: Option<String>,
    /// Host names, each with the name of its service.
    pub(crate) hosts: Vec<(String, String)>,
    pub(crate) cors: Option<Vec<String>>,
    pub(crate) bounds: Bounds,
    pub(crate) token: Token,
    pub(crate) services: Vec<Upstream>,
}

pub(crate) struct Tls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

pub(crate) struct Token {
    pub(crate) secret: Secret,
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<String>,
    revoked: Option<Revoked>,
}

const HOSTS: &str = r#"{ "HOST" = "SERVICE" }, a service of this file"#;
const LIMITS: &str = "a table [limits]";
const LISTEN: &str = r#"an address and a port, such as "127.0.0.1:8787""#;
pub(crate) const ORIGINS: &str =
    r#"origins as browsers write them, ["https://HOST[:PORT]"], or ["*"]"#;
const SERVICES: &str = "a table [services.NAME]";
const THREADS: &str = "a number from 1 to 1024";

impl Config {
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(file)
            .map_err(|problem| format!("{}: {}", file.display(), reason(&problem)))?;
        // Paths in the file are relative to the file.
        let folder = file.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder).map_err(|problem| problem.within(file))
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, Refusal> {
        let mut root = Section::root(text, folder)?;
        root.only(&[
            "listen",
            "mount",
            "health",
            "public_origin",
            "threads",
            "tls",
            "drain",
            "host_suffix",
            "hosts",
            "cors",
            "limits",
            "token",
            "services",
        ])?;
        let mount = root
            .text("mount", r#"a path such as "/proxy""#)?
            .unwrap_or_else(|| "/proxy".into());
        let config = Self {
            listen: root
                .required_text("listen", LISTEN)?
                .parse()
                .map_err(|_| root.refuse("listen", LISTEN))?,
            health: health::path(&mut root, &mount)?,
            mount,
            public_origin: root.text("public_origin", "https://HOST[:PORT]")?,
            threads: match root.number("threads", THREADS)? {
                None => thread::available_parallelism().map_or(1, usize::from),
                Some(threads @ 1..=1024) => threads as usize,
                Some(_) => return Err(root.refuse("threads", THREADS)),
            },
            tls: root
                .section("tls", r#"{ cert = "PATH", key = "PATH" }"#)?
                .map(Tls::parse)
                .transpose()?,
            drain: root.duration("drain")?.unwrap_or(Duration::from_secs(30)),
            host_suffix: root.text("host_suffix", "a host name")?,
            hosts: root.pairs("hosts", HOSTS)?,
            cors: root
                .section("cors", "{ origins = […] }")?
                .map(origins)
                .transpose()?,
            bounds: root
                .section("limits", LIMITS)?
                .map_or(Ok(Bounds::default()), Bounds::whole)?,
            token: Token::parse(root.required_section("token", "a table [token]")?)?,
            services: root
                .required_section("services", SERVICES)?
                .sections()?
                .into_iter()
                .map(|(name, service)| Upstream::parse(name, service))
                .collect::<Result<_, _>>()?,
        };
        if config.services.is_empty() {
            return Err(root.refuse("services", SERVICES));
        }
        let mut hosts = config.hosts.iter();
        if let Some((host, _)) = hosts.find(|(_, name)| !config.has_service(name)) {
            return Err(Refusal::new(format!("hosts.{host}"), HOSTS));
        }
        Ok(config)
    }

    pub(crate) fn has_service(&self, name: &str) -> bool {
        self.services.iter().any(|own| own.name.as_str() == name)
    }

    pub(crate) fn scheme(&self) -> &'static str {
        match self.tls {
            None => "http",
            Some(_) => "https",
        }
    }

    /// Where sandboxes reach the gateway, as far as the file tells.
    pub(crate) fn origin(&self) -> Option<String> {
        let reachable = self.listen.port() != 0 && !self.listen.ip().is_unspecified();
        let own = reachable.then(|| format!("{}://{}", self.scheme(), self.listen));
        self.public_origin.clone().or(own)
    }
}

fn origins(mut section: Section) -> Result<Vec<String>, Refusal> {
    section.only(&["origins"])?;
    section
        .texts("origins", ORIGINS)?
        .ok_or_else(|| section.refuse("origins", ORIGINS))
}

impl Tls {
    fn parse(mut section: Section) -> Result<Self, Refusal> {
        section.only(&["cert", "key"])?;
        Ok(Self {
            cert: section.required_file("cert", PEM)?,
            key: section.required_file("key", PEM)?,
        })
    }
}

impl Token {
    fn parse(mut section: Section) -> Result<Self, Refusal> {
        section.only(&["secret", "issuer", "audience", "revoked"])?;
        Ok(Self {
            secret: Secret::required(&mut section, "secret")?,
            issuer: section.text("issuer", "a text")?,
            audience: section.text("audience", "a text")?,
            revoked: Revoked::optional(&mut section, "revoked")?,
        })
    }

    /// What is no longer good, though it may be signed well.
    pub(crate) fn revoked(&self) -> Result<Vec<Revocation>, Refusal> {
        self.revoked.as_ref().map_or(Ok(Vec::new()), Revoked::read)
    }
}
