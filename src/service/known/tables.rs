//! The tables of the known APIs in `docs/services.md`, made of the list and compared with the page, or written to it if
//! the environment variable `SALLYGATE_WRITE_DOCS` is 1.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use http::Method;

use super::{KNOWN, Known};
use crate::{
    Api, Credential, Place, ServiceConfig, Target,
    service::{PathPattern, SetupScope, place::Kind},
};

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/services.md")
}

/// A table, and where it stands on the page.
type Table = (
    &'static str,
    &'static str,
    fn(&Known) -> Vec<String>,
    &'static str,
);

const TABLES: [Table; 3] = [
    (
        "places",
        "| API | where | the token is found in | the key goes into |\n| --- | --- | --- | --- |\n",
        places,
        "| `service::S3` (feature `sigv4`) | where you say | the access key id of a signature or a presigned URL, Bearer | a signature |\n",
    ),
    (
        "policies",
        "| API | methods | paths | refused |\n| --- | --- | --- | --- |\n",
        policies,
        "",
    ),
    (
        "set-up",
        "| service | |\n| --- | --- |\n",
        setup,
        "| S3 | `AWS_ENDPOINT_URL_S3={base}`, `AWS_ACCESS_KEY_ID` (the token), `AWS_SECRET_ACCESS_KEY` (anything), the region, `RCLONE_CONFIG_{NAME}_*`; `.aws/config`, `.passwd-s3fs` |\n| any other, called `my-api` | `MY_API_BASE_URL={base}`, `MY_API_KEY` |\n",
    ),
];

fn api(known: &Known) -> Api {
    (known.api)(Credential::new("none").unwrap())
}

fn places(known: &Known) -> Vec<String> {
    let api = api(known);
    // A token is taken behind any user name.
    let found = list(api.accepts.iter().map(|accepted| match accepted.kind() {
        Kind::Basic(_) => "the password of Basic".into(),
        _ => place(accepted),
    }));
    let pairs = api.targets().iter().zip(api.injections());
    pairs
        .map(|(target, injection)| {
            let place = place(injection.place());
            format!(
                "`Api::{}` | {} | {found} | {place}",
                known.name,
                url(target)
            )
        })
        .collect()
}

fn policies(known: &Known) -> Vec<String> {
    let api = api(known);
    let policy = ServiceConfig::policy(&api);
    let methods = policy.methods.iter().flatten().map(Method::as_str);
    let code = |patterns: &[PathPattern]| list(patterns.iter().map(|path| format!("`{path}`")));
    let paths: Vec<_> = policy.paths.iter().map(|paths| code(paths)).collect();
    vec![format!(
        "{} | {} | {} | {}",
        known.title,
        list(methods.map(|method| format!("`{method}`"))),
        paths.join("; "),
        code(&policy.refused_paths)
    )]
}

fn setup(known: &Known) -> Vec<String> {
    let name = known.name.parse().unwrap();
    let setup = api(known).setup(&SetupScope::new(&name, "{base}", "TOKEN"));
    let lines = setup.to_dotenv();
    let mut variables = lines.lines().map(|line| {
        let line = line.strip_suffix("=TOKEN").unwrap_or(line);
        format!("`{}`", line.replace('\'', ""))
    });
    let variables = list(&mut variables);
    vec![format!("{} | {variables}{}", known.title, known.remark)]
}

fn url(target: &Target) -> String {
    format!("`{}`", target.url().replace("https://", ""))
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn place(place: &Place) -> String {
    match place.kind() {
        Kind::Basic(user) => format!("the password of `{user}`, in Basic"),
        Kind::BasicUser => "the user name of Basic".into(),
        Kind::Bearer => "Bearer".into(),
        Kind::Cookie(name) => format!("the cookie `{name}`"),
        Kind::Header(name) => format!("`{name}`"),
        Kind::Path(before) => format!("the path, `{before}…`"),
        Kind::Prefixed(name, prefix) => format!("`{name}: {}`", prefix.trim_end()),
        Kind::Query(name) => format!("`?{name}=`"),
        Kind::Subprotocol(prefix) => format!("the subprotocol `{prefix}…`"),
    }
}

#[test]
fn the_page_has_the_tables_of_the_list() {
    let before = fs::read_to_string(page()).unwrap();
    let mut after = before.clone();
    for (name, head, row, foot) in TABLES {
        let rows = KNOWN.iter().flat_map(|known| row(known));
        let rows: String = rows.map(|row| format!("| {row} |\n")).collect();
        let (begin, end) = (
            format!("<!-- {name} -->\n\n"),
            format!("\n<!-- /{name} -->"),
        );
        let (left, rest) = after.split_once(&begin).unwrap();
        let (_, right) = rest.split_once(&end).unwrap();
        after = format!("{left}{begin}{head}{rows}{foot}{end}{right}");
    }
    if env::var("SALLYGATE_WRITE_DOCS").is_ok_and(|value| value == "1") {
        fs::write(page(), after).unwrap();
    } else {
        assert_eq!(before, after, "if that is right: SALLYGATE_WRITE_DOCS=1");
    }
}

#[test]
fn every_file_is_in_the_list_under_its_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/service/known");
    let files = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| !matches!(name.as_str(), "mod" | "tables"))
        .collect();
    names.sort();
    assert_eq!(Api::known_names().collect::<Vec<_>>(), names);
}

/// What an API knows of itself is what the list knows of it.
#[test]
fn each_makes_itself() {
    for known in KNOWN {
        let made = api(known).known.map(|own| own.name);
        assert_eq!(made, Some(known.name));
    }
}
