//! docs/clients.md: which client was seen to do what, written from a test run and compared with every later one.

use std::cell::RefCell;

use crate::{Page, Table};

/// SDKs of APIs.
pub const APIS: Table = Table {
    title: "SDKs",
    rows: &[
        "anthropic (Python)",
        "google-genai (Python)",
        "openai (Node)",
        "openai (Python)",
        "slack_sdk (Python)",
        "stripe (Python)",
    ],
    columns: &[
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

/// Git over HTTP.
pub const GIT: Table = Table {
    title: "git",
    rows: &["git"],
    columns: &[
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

/// Clients of S3.
pub const S3: Table = Table {
    title: "S3",
    rows: &["aws CLI", "boto3", "rclone"],
    columns: &[
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

/// Clients of WebSockets, and browsers.
pub const SOCKETS: Table = Table {
    title: "Sockets and browsers",
    rows: &["Chromium", "websockets (Python)", "ws (Node)"],
    columns: &[
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

static PAGE: Page = Page {
    path: "docs/clients.md",
    head: HEAD,
    columns: &["Client", "Version"],
    tables: &[APIS, GIT, S3, SOCKETS],
};

/// The version of a client that comes with the machine: any that the tests meet.
pub const OF_THE_SYSTEM: &str = "any";

const HEAD: &str = "\
# Clients

Unmodified clients, as real processes, through the gateway. All they are told is what `sallygate-gateway FILE env`
prints: base URLs and a key, and the key is the caller's token. The server behind the gateway refuses everything but the
real credential and never sees the token. \"yes\" stands for a test that passes, nothing for what the client does not do
or was not asked to, and \"any\" for the version that the system brings.

The tests compare this page with what they saw. `SALLYGATE_WRITE_DOCS=1 cargo test --all-features clients` writes it
anew.
";

/// A row of the page, as one test fills it. The test makes it once it knows that the client is installed, and reports
/// each feature that it has seen work. The page has it when it is dropped.
pub struct Matrix {
    group: &'static Table,
    client: &'static str,
    /// The version, then what is said of each feature.
    cells: RefCell<Vec<String>>,
}

impl Matrix {
    /// `client` is one of the group's.
    pub fn of(group: &'static Table, client: &'static str, version: &str) -> Self {
        assert!(group.rows.contains(&client), "not in the list: {client}");
        let mut cells = vec![version.to_owned()];
        cells.resize(1 + group.columns.len(), String::new());
        Self {
            group,
            client,
            cells: RefCell::new(cells),
        }
    }

    /// The client was seen to do this: one of the group's features.
    pub fn report(&self, feature: &str) {
        let known = self.group.columns.iter().position(|name| *name == feature);
        let known = known.unwrap_or_else(|| panic!("not in the list: {feature}"));
        self.cells.borrow_mut()[1 + known] = "yes".to_owned();
    }
}

impl Drop for Matrix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let cells: Vec<_> = self.cells.get_mut().iter().map(|cell| &**cell).collect();
        PAGE.report(self.client, &cells);
    }
}

/// The page is as the reports write it, and has a row for each client.
pub fn check() {
    PAGE.check();
}
