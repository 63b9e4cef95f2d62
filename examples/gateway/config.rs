use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
};

use http::{HeaderName, Uri, uri::Authority};
use sallygate::{Target, service::Place};
use toml::Value;

use crate::{
    Failure,
    section::{Refusal, Section},
    source::{Source, reason},
};

/// A gateway file in which every key is known and of the right type. What it refers to is read in `setup.rs`.
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) mount: String,
    pub(crate) threads: usize,
    pub(crate) tls: Option<Tls>,
    pub(crate) token: Token,
    pub(crate) services: Vec<Upstream>,
}

pub(crate) struct Tls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

pub(crate) struct Token {
    pub(crate) secret: Source,
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<String>,
}

pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) authority: Authority,
    pub(crate) place: Place,
    pub(crate) credential: Source,
    pub(crate) ca_file: Option<PathBuf>,
}

const INJECT: &str = r#""bearer", { header = "NAME" }, { basic = "USER" } or { query = "NAME" }"#;
const LISTEN: &str = r#"an address and a port, such as "127.0.0.1:8787""#;
const SERVICES: &str = "a table [services.NAME]";
const TARGET: &str = "https://HOST[:PORT][/PATH]";
const PLAINTEXT_TARGET: &str = "http://HOST[:PORT][/PATH]";

impl Config {
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(file)
            .map_err(|problem| format!("{}: {}", file.display(), reason(&problem)))?;
        // Paths in the file are relative to the file.
        let folder = file.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder).map_err(|problem| problem.within(file))
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, Refusal> {
        let mut root = Section::root(text)?;
        root.only(&["listen", "mount", "threads", "tls", "token", "services"])?;
        let config = Self {
            listen: root
                .required_text("listen", LISTEN)?
                .parse()
                .map_err(|_| root.refuse("listen", LISTEN))?,
            mount: root
                .text("mount", r#"a path such as "/proxy""#)?
                .unwrap_or_else(|| "/proxy".into()),
            threads: match root.take("threads") {
                None => thread::available_parallelism().map_or(1, usize::from),
                Some(Value::Integer(threads @ 1..=1024)) => threads as usize,
                Some(_) => return Err(root.refuse("threads", "a number from 1 to 1024")),
            },
            tls: root
                .section("tls", r#"{ cert = "PATH", key = "PATH" }"#)?
                .map(|tls| Tls::parse(tls, folder))
                .transpose()?,
            token: Token::parse(root.required_section("token", "a table [token]")?, folder)?,
            services: root
                .required_section("services", SERVICES)?
                .sections()?
                .into_iter()
                .map(|(name, service)| Upstream::parse(name, service, folder))
                .collect::<Result<_, _>>()?,
        };
        if config.services.is_empty() {
            return Err(root.refuse("services", SERVICES));
        }
        Ok(config)
    }
}

impl Tls {
    fn parse(mut section: Section, folder: &Path) -> Result<Self, Refusal> {
        const PEM: &str = "the path of a PEM file";
        section.only(&["cert", "key"])?;
        Ok(Self {
            cert: folder.join(section.required_text("cert", PEM)?),
            key: folder.join(section.required_text("key", PEM)?),
        })
    }
}

impl Token {
    fn parse(mut section: Section, folder: &Path) -> Result<Self, Refusal> {
        section.only(&["secret", "issuer", "audience"])?;
        Ok(Self {
            secret: Source::parse(&mut section, "secret", folder)?,
            issuer: section.text("issuer", "a text")?,
            audience: section.text("audience", "a text")?,
        })
    }
}

impl Upstream {
    fn parse(name: String, mut section: Section, folder: &Path) -> Result<Self, Refusal> {
        section.only(&[
            "target",
            "inject",
            "credential",
            "allow_plaintext",
            "ca_file",
        ])?;
        let url = section.required_text("target", TARGET)?;
        let plaintext = section.flag("allow_plaintext")?;
        if plaintext && url.starts_with("https://") {
            return Err(section.refuse("allow_plaintext", "true only for an http:// target"));
        }
        if !plaintext && url.starts_with("http://") {
            let expected = format!("{TARGET} (or http:// with allow_plaintext = true)");
            return Err(section.refuse("target", expected));
        }
        let (target, expected) = if plaintext {
            (Target::dangerous_plaintext(&url), PLAINTEXT_TARGET)
        } else {
            (Target::new(&url), TARGET)
        };
        let target = target
            .map_err(|problem| section.refuse("target", format!("{expected} ({problem})")))?;
        let authority = url.parse().map(Uri::into_parts).ok();
        let upstream = Self {
            name,
            target,
            authority: authority
                .and_then(|parts| parts.authority)
                .ok_or_else(|| section.refuse("target", TARGET))?,
            place: place(&mut section)?,
            credential: Source::parse(&mut section, "credential", folder)?,
            ca_file: section
                .text("ca_file", "the path of a PEM file")?
                .map(|file| folder.join(file)),
        };
        if plaintext && upstream.ca_file.is_some() {
            return Err(section.refuse("ca_file", "none for an http:// target"));
        }
        Ok(upstream)
    }
}

fn place(section: &mut Section) -> Result<Place, Refusal> {
    let wrong = section.refuse("inject", INJECT);
    let table = match section.take("inject") {
        Some(Value::String(name)) if name == "bearer" => return Ok(Place::bearer()),
        Some(Value::Table(table)) => table,
        _ => return Err(wrong),
    };
    let mut members = table.into_iter();
    let (Some((kind, Value::String(name))), None) = (members.next(), members.next()) else {
        return Err(wrong);
    };
    let place = match kind.as_str() {
        "header" => HeaderName::try_from(name)
            .map(Place::header)
            .map_err(|_| wrong)?,
        "basic" => Place::basic(name),
        "query" => Place::query(name),
        _ => return Err(wrong),
    };
    place.map_err(|problem| section.refuse("inject", format!("a place for a key ({problem})")))
}
