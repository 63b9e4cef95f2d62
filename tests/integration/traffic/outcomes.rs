//! docs/failures.md: what comes of each fault, written from a test run and compared with every later one.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

struct Section {
    title: &'static str,
    /// The rows: one test each.
    faults: &'static [&'static str],
}

const SECTIONS: [Section; 5] = [
    Section {
        title: "No answer",
        faults: &[
            "nobody listens",
            "the connection is not accepted",
            "the TLS handshake does not come to its end",
            "the upstream closes before its answer",
            "the upstream resets before its answer",
            "the upstream ends its direction before its answer",
            "the upstream closes within the head",
            "the upstream resets within the head",
            "the upstream never answers",
            "interim answers without end",
        ],
    },
    Section {
        title: "A broken answer",
        faults: &[
            "no HTTP",
            "10,000 header fields",
            "a header of 1 MiB",
            "two lengths",
            "a length and chunks",
            "an upgrade that was not asked for",
            "more than the length that was announced",
            "a body where there is none",
        ],
    },
    Section {
        title: "An answer that does not come to its end",
        faults: &[
            "the upstream closes within a body with a length",
            "the upstream resets within a body with a length",
            "the upstream resets right after the head",
            "the upstream closes between two chunks",
            "a chunk with a broken size",
            "the body stops and the connection stays",
            "the body is announced to be over the service's limit",
            "the body grows over the service's limit",
        ],
    },
    Section {
        title: "Callers",
        faults: &[
            "the request body stops",
            "the request body breaks off",
            "the request body grows over the limit",
            "the caller leaves before the answer",
            "the caller leaves within the answer",
            "the caller does not read the answer",
            "the sandbox has too many requests under way",
            "the service has too many requests under way",
            "the proxy is shutting down",
        ],
    },
    // They look like faults, and everything is in order.
    Section {
        title: "No fault",
        faults: &[
            "an answer byte by byte",
            "5,000 interim answers, then the answer",
            "the upstream ends its direction after its answer",
            "the upstream answers before the upload ends",
        ],
    },
];

const HEAD: &str = "\
# Failures

What comes of each fault of an upstream or a caller: what the caller sees, the reason that layers outside the proxy and
the log see, and what becomes of the two connections. Seen over HTTP/1.1 on both sides, with time-outs cut short. After
each, the next requests of the same caller and to the same upstream were answered as ever, and no connection, no task
and no place among the concurrent requests was left behind. \"Cut off\" is an answer that the caller can tell from a
complete one: the connection ends within the body, or over HTTP/2 the stream is reset.

The tests compare this page with what they saw. `SALLYGATE_WRITE_DOCS=1 cargo test --test integration traffic` writes
it anew.
";

const COLUMNS: &str = "\
| Fault | The caller sees | Reason | Connection of the caller | Connection to the upstream |
| --- | --- | --- | --- | --- |
";

/// Says what came of a fault. `kept` is whether the connection to the upstream was used again; `None` if there was none.
pub(super) fn report(fault: &str, told: &str, reason: &str, stays: bool, kept: Option<bool>) {
    let reason = if reason.is_empty() { "none" } else { reason };
    let stays = if stays { "stays" } else { "ends" };
    let kept = match kept {
        None => "none",
        Some(true) => "kept",
        Some(false) => "closed",
    };
    write(fault, &[told, reason, stays, kept]);
}

fn write(fault: &str, cells: &[&str; 4]) {
    let known = SECTIONS
        .iter()
        .any(|section| section.faults.contains(&fault));
    assert!(known, "not in the list: {fault}");
    let row = cells.join(" | ");
    let (_lock, mut page) = (lock(), Page::read());
    if writing() {
        page.rows.insert(fault.to_owned(), row);
        fs::write(path(), page.render()).unwrap();
    } else {
        assert_eq!(
            page.rows.get(fault),
            Some(&row),
            "docs/failures.md (left) is not what came of \"{fault}\" (right): {ADVICE}"
        );
    }
}

const ADVICE: &str = "if that is right, run the tests with SALLYGATE_WRITE_DOCS=1";

#[test]
fn the_page_is_as_the_tests_write_it_and_has_every_fault() {
    let (_lock, page) = (lock(), Page::read());
    if writing() {
        fs::write(path(), page.render()).unwrap();
        return;
    }
    assert!(
        fs::read_to_string(path()).unwrap() == page.render(),
        "docs/failures.md was changed by hand: {ADVICE}"
    );
    for fault in SECTIONS.iter().flat_map(|section| section.faults) {
        assert!(page.rows.contains_key(*fault), "{fault}: {ADVICE}");
    }
}

struct Page {
    /// By fault, the rest of the row.
    rows: BTreeMap<String, String>,
}

impl Page {
    fn read() -> Self {
        let text = fs::read_to_string(path()).unwrap_or_default();
        let rows = text.lines().filter_map(|line| {
            let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
            let (fault, rest) = row.split_once(" | ")?;
            let known = SECTIONS
                .iter()
                .any(|section| section.faults.contains(&fault));
            known.then(|| (fault.to_owned(), rest.to_owned()))
        });
        Self {
            rows: rows.collect(),
        }
    }

    fn render(&self) -> String {
        let mut text = HEAD.to_owned();
        for section in SECTIONS {
            let _ = write!(text, "\n## {}\n\n{COLUMNS}", section.title);
            for fault in section.faults {
                if let Some(row) = self.rows.get(*fault) {
                    let _ = writeln!(text, "| {fault} | {row} |");
                }
            }
        }
        text
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/failures.md")
}

fn writing() -> bool {
    std::env::var_os("SALLYGATE_WRITE_DOCS").is_some_and(|value| value == "1")
}

/// Tests run side by side and share the page.
fn lock() -> MutexGuard<'static, ()> {
    static PAGE: Mutex<()> = Mutex::new(());
    PAGE.lock().unwrap_or_else(PoisonError::into_inner)
}
