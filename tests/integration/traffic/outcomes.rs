//! docs/failures.md: what comes of each fault, written from a test run and compared with every later one.

use sallygate_test_support::{Page, Table};

static PAGE: Page = Page {
    path: "docs/failures.md",
    head: HEAD,
    columns: &[
        "Fault",
        "The caller sees",
        "Reason",
        "Connection of the caller",
        "Connection to the upstream",
    ],
    tables: &TABLES,
};

const TABLES: [Table; 5] = [
    Table {
        title: "No answer",
        rows: &[
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
        columns: &[],
    },
    Table {
        title: "A broken response",
        rows: &[
            "no HTTP",
            "10,000 header fields",
            "a header of 1 MiB",
            "two lengths",
            "a length and chunks",
            "an upgrade that was not asked for",
            "more than the length that was announced",
            "a body where there is none",
        ],
        columns: &[],
    },
    Table {
        title: "An answer that does not come to its end",
        rows: &[
            "the upstream closes within a body with a length",
            "the upstream resets within a body with a length",
            "the upstream resets right after the head",
            "the upstream closes between two chunks",
            "a chunk with a broken size",
            "the body stops and the connection stays",
            "the body is announced to be over the service's limit",
            "the body grows over the service's limit",
        ],
        columns: &[],
    },
    Table {
        title: "Callers",
        rows: &[
            "the request body stops",
            "the request body breaks off",
            "the request body grows over the limit",
            "the caller leaves before the answer",
            "the caller leaves within the answer",
            "the caller does not read the answer",
            "the caller never reads the answer",
            "the sandbox has too many requests under way",
            "the sandbox has too many requests under way at a service",
            "the service has too many requests under way",
            "the proxy has too many requests under way",
            "the proxy is shutting down",
        ],
        columns: &[],
    },
    // They look like faults, and everything is in order.
    Table {
        title: "No fault",
        rows: &[
            "an answer byte by byte",
            "5,000 interim answers, then the answer",
            "the upstream ends its direction after its answer",
            "the upstream answers before the upload ends",
        ],
        columns: &[],
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

/// Says what came of a fault. `kept` is whether the connection to the upstream was used again; `None` if there was none.
pub(super) fn report(fault: &str, told: &str, reason: &str, stays: bool, kept: Option<bool>) {
    let reason = if reason.is_empty() { "none" } else { reason };
    let stays = if stays { "stays" } else { "ends" };
    let kept = match kept {
        None => "none",
        Some(true) => "kept",
        Some(false) => "closed",
    };
    PAGE.report(fault, &[told, reason, stays, kept]);
}

#[test]
fn the_page_is_as_the_tests_write_it_and_has_every_fault() {
    PAGE.check();
}
