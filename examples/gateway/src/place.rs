use http::HeaderName;
use sallygate::Place;

use crate::{
    refusal::Refusal,
    section::{Entry, Section},
    source::Source,
};

/// Where a key goes, and which one, if not that of the service.
pub(crate) struct Injection {
    pub(crate) place: Place,
    pub(crate) credential: Option<Source>,
}

pub(crate) const EXPECTED: &str = r#""bearer", { header = "NAME" }, { header = "NAME", prefix = "TEXT" }, { basic = "USER" }, "basic_user", { query = "NAME" }, { path = "/TEXT{key}" }, { cookie = "NAME" } or { subprotocol = "TEXT" }"#;

const KINDS: [&str; 7] = [
    "header",
    "prefix",
    "basic",
    "query",
    "path",
    "cookie",
    "subprotocol",
];

/// Where keys go.
pub(crate) fn inject(section: &mut Section) -> Result<Vec<Injection>, Refusal> {
    parse(section, "inject", &[&KINDS[..], &["credential"]].concat())
}

/// Places alone, without keys.
pub(crate) fn places(section: &mut Section, key: &str) -> Result<Vec<Place>, Refusal> {
    let places = parse(section, key, &KINDS)?.into_iter();
    Ok(places.map(|injection| injection.place).collect())
}

fn parse(section: &mut Section, key: &str, known: &[&str]) -> Result<Vec<Injection>, Refusal> {
    let entries = section.one_or_more(key).into_iter();
    entries
        .map(|entry| {
            let (place, credential) = match entry {
                Entry::Text(_, name) if name == "bearer" => (Place::bearer(), None),
                Entry::Text(_, name) if name == "basic_user" => (Place::basic_user(), None),
                Entry::Table(mut table) => {
                    table.only(known)?;
                    let credential = Source::optional(&mut table, "credential")?;
                    (place(&mut table)?, credential)
                }
                other => return Err(Refusal::new(other.path(), EXPECTED)),
            };
            Ok(Injection { place, credential })
        })
        .collect()
}

fn place(table: &mut Section) -> Result<Place, Refusal> {
    let mut given = Vec::new();
    for kind in KINDS {
        given.extend(table.text(kind, "a text")?.map(|name| (kind, name)));
    }
    let wrong = || Refusal::new(table.name(), EXPECTED);
    let header = |name: &str| HeaderName::try_from(name).map_err(|_| wrong());
    let place = match &given[..] {
        [("header", name)] => Ok(Place::header(header(name)?)),
        [("header", name), ("prefix", prefix)] => Place::prefixed(header(name)?, prefix),
        [("basic", user)] => Place::basic(user),
        [("query", name)] => Place::query(name),
        [("path", pattern)] => Place::path(pattern),
        [("cookie", name)] => Place::cookie(name),
        [("subprotocol", prefix)] => Place::subprotocol(prefix),
        _ => return Err(wrong()),
    };
    place.map_err(|problem| Refusal::new(table.name(), format!("a place for a key ({problem})")))
}
