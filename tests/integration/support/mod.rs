//! What the tests share: a stack with real sockets at both ends, and the oracle that every one of them ends with.

mod answer;
mod oracle;
mod secure;
mod stack;
mod upstream;
mod wire;

pub(crate) use self::{
    answer::Answer,
    oracle::{Oracle, Slot},
    secure::{Authority, Secure},
    stack::Stack,
    upstream::{Recorded, Reply, Upstream, within},
    wire::{Front, Wire},
};

use std::{path::PathBuf, process::Command, time::Duration};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A program of `target/clients`, which CI installs. `None`, said on standard error, skips the test.
pub(crate) fn client(program: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("target/clients")
        .join(program);
    path.exists().then_some(path).or_else(|| skip(program))
}

/// A program of the machine.
pub(crate) fn program(name: &str) -> Option<Command> {
    let found = Command::new(name).arg("--version").output().is_ok();
    found.then(|| Command::new(name)).or_else(|| skip(name))
}

fn skip<T>(what: &str) -> Option<T> {
    let strict = std::env::var_os("SALLYGATE_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!strict, "{what} is not installed");
    eprintln!("skipped: {what} is not installed");
    None
}
