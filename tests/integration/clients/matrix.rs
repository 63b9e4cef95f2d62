//! docs/clients.md: which client was seen to do what, written from a test run and compared with every later one.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// One table of the page.
pub(crate) struct Group {
    title: &'static str,
    /// The rows: one test each.
    clients: &'static [&'static str],
    /// The columns.
    features: &'static [&'static str],
}

pub(crate) const APIS: Group = Group {
    title: "SDKs",
    clients: &[
        "anthropic (Python)",
        "google-genai (Python)",
        "openai (Node)",
        "openai (Python)",
        "slack_sdk (Python)",
        "stripe (Python)",
    ],
    features: &[
        "plain call",
        "streaming",
        "upload",
        "pages",
        "repeat with one idempotency key",
        "error of the API",
        "refused token",
        "API unreachable",
    ],
};

pub(crate) const GIT: Group = Group {
    title: "git",
    clients: &["git"],
    features: &[
        "clone of 5,000 files",
        "shallow clone",
        "fetch",
        "compressed request",
        "push",
        "push of 32 MiB",
        "refused token",
        "server unreachable",
    ],
};

pub(crate) const S3: Group = Group {
    title: "S3",
    clients: &["aws CLI", "boto3", "rclone"],
    features: &[
        "put",
        "get",
        "list",
        "multipart of 64 MiB",
        "copy",
        "range",
        "delete",
        "presigned URL",
        "over TLS",
        "refused token",
    ],
};

pub(crate) const SOCKETS: Group = Group {
    title: "Sockets and browsers",
    clients: &["Chromium", "websockets (Python)", "ws (Node)"],
    features: &[
        "echo",
        "subprotocol",
        "token among the subprotocols",
        "compression",
        "message of 4 MiB",
        "ping and pong",
        "close codes",
        "refused token",
        "API unreachable",
        "fetch from an allowed origin",
        "fetch from another origin is refused",
    ],
};

const GROUPS: [&Group; 4] = [&APIS, &GIT, &S3, &SOCKETS];

/// The version of a client that comes with the machine: any that the tests meet.
pub(crate) const OF_THE_SYSTEM: &str = "any";

const HEAD: &str = "\
# Clients

Unmodified clients, as real processes, through the gateway example. All they are told is what `gateway FILE env` prints:
base URLs and a key, and the key is the caller's token. The server behind the gateway refuses everything but the real
credential and never sees the token. \"yes\" stands for a test that passes, nothing for what the client does not do or was
not asked to, and \"any\" for the version that the system brings.

The tests compare this page with what they saw. `SALLYGATE_WRITE_DOCS=1 cargo test --test integration clients` writes
it anew.
";

/// A row of the page, as one test fills it. The test makes it once it knows that the client is installed, and reports
/// each feature that it has seen work. When it is dropped it is compared with the page, or written to it if the
/// environment variable `SALLYGATE_WRITE_DOCS` is 1.
pub(crate) struct Matrix {
    group: &'static Group,
    client: &'static str,
    row: Mutex<Row>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    version: String,
    /// In the order of the columns.
    works: Vec<bool>,
}

impl Matrix {
    /// `client` is one of the group's.
    pub(crate) fn of(group: &'static Group, client: &'static str, version: &str) -> Self {
        assert!(group.clients.contains(&client), "not in the list: {client}");
        let row = Row {
            version: version.to_owned(),
            works: vec![false; group.features.len()],
        };
        Self {
            group,
            client,
            row: Mutex::new(row),
        }
    }

    /// The client was seen to do this: one of the group's features.
    pub(crate) fn report(&self, feature: &str) {
        let known = self.group.features.iter().position(|name| *name == feature);
        let known = known.unwrap_or_else(|| panic!("not in the list: {feature}"));
        self.row.lock().unwrap().works[known] = true;
    }
}

impl Drop for Matrix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let seen = std::mem::take(self.row.get_mut().unwrap_or_else(PoisonError::into_inner));
        let (_lock, mut page) = (lock(), Page::read());
        let key = (self.group.title.to_owned(), self.client.to_owned());
        if writing() {
            page.rows.insert(key, seen);
            fs::write(path(), page.render()).unwrap();
        } else {
            assert_eq!(
                page.rows.get(&key),
                Some(&seen),
                "docs/clients.md (left) is not what was seen of {} (right): {ADVICE}",
                self.client
            );
        }
    }
}

const ADVICE: &str = "if that is right, run the tests with SALLYGATE_WRITE_DOCS=1";

#[test]
fn the_page_is_as_the_tests_write_it_and_has_a_row_for_each_client() {
    let (_lock, page) = (lock(), Page::read());
    if writing() {
        fs::write(path(), page.render()).unwrap();
        return;
    }
    assert!(
        fs::read_to_string(path()).unwrap() == page.render(),
        "docs/clients.md was changed by hand: {ADVICE}"
    );
    for group in GROUPS {
        for client in group.clients {
            let key = (group.title.to_owned(), (*client).to_owned());
            assert!(page.rows.contains_key(&key), "{client}: {ADVICE}");
        }
    }
}

struct Page {
    /// By group and client.
    rows: BTreeMap<(String, String), Row>,
}

impl Page {
    /// The rows of the page that are still of a client, with the columns that there still are.
    fn read() -> Self {
        let text = fs::read_to_string(path()).unwrap_or_default();
        let mut rows = BTreeMap::new();
        for group in GROUPS {
            let mut lines = text
                .lines()
                .skip_while(|line| *line != format!("## {}", group.title))
                .skip(1)
                .take_while(|line| !line.starts_with("## "))
                .filter(|line| line.starts_with('|'))
                .map(cells);
            let columns = lines.next().unwrap_or_default();
            for row in lines.skip(1) {
                let value = |column: &str| {
                    let at = columns.iter().position(|name| name == column)?;
                    row.get(at).cloned()
                };
                let client = value("Client").unwrap_or_default();
                if group.clients.contains(&&*client) {
                    let works = |feature: &&str| value(feature).as_deref() == Some("yes");
                    let row = Row {
                        version: value("Version").unwrap_or_default(),
                        works: group.features.iter().map(works).collect(),
                    };
                    rows.insert((group.title.to_owned(), client), row);
                }
            }
        }
        Self { rows }
    }

    fn render(&self) -> String {
        let mut text = HEAD.to_owned();
        for group in GROUPS {
            if group.clients.is_empty() {
                continue;
            }
            let names = group.features.join(" | ");
            let line = " --- |".repeat(2 + group.features.len());
            let title = group.title;
            let _ = write!(
                text,
                "\n## {title}\n\n| Client | Version | {names} |\n|{line}\n"
            );
            for client in group.clients {
                let key = (title.to_owned(), (*client).to_owned());
                if let Some(row) = self.rows.get(&key) {
                    let _ = write!(text, "| {client} | {} |", row.version);
                    for works in &row.works {
                        text += if *works { " yes |" } else { "  |" };
                    }
                    text.push('\n');
                }
            }
        }
        text
    }
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim_matches('|');
    inner.split('|').map(|cell| cell.trim().into()).collect()
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md")
}

fn writing() -> bool {
    std::env::var_os("SALLYGATE_WRITE_DOCS").is_some_and(|value| value == "1")
}

/// Tests run side by side and share the page.
fn lock() -> MutexGuard<'static, ()> {
    static PAGE: Mutex<()> = Mutex::new(());
    PAGE.lock().unwrap_or_else(PoisonError::into_inner)
}
