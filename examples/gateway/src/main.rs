//! A gateway from a TOML file: try the proxy on your own API before writing code.
//!
//! ```text
//! cargo run -p sallygate-gateway -- gateway.toml
//! cargo run -p sallygate-gateway -- gateway.toml check
//! cargo run -p sallygate-gateway -- gateway.toml env --sandbox my-sandbox
//! ```
//!
//! The second prints what the first would serve, and connects to nothing. What the third prints is for the sandbox's shell
//! to evaluate: base URLs, and a token as the key of its tools.
//! `token` in place of `env` prints the token alone.
//!
//! The first line of standard output is `listening on http://ADDR:PORT`. SIGTERM and Ctrl-C stop it after the requests
//! under way; a second one does not wait for them. SIGHUP makes it read the file again: its services, the keys of its
//! tokens, and which of them are revoked; with a file that is wrong, everything stays as it is. It says on standard error
//! when a key cannot be had; with `RUST_LOG=info` also why requests are refused, a line each.
//!
//! - `arguments.rs`: the command line; `run.rs` and `check.rs` are what it asks for, and `sandbox.rs`: what a sandbox is given
//! - `config.rs`: the file, key by key; `section.rs` reads its tables, `refusal.rs` is what is said of a wrong one
//! - `setup.rs`: from the file to a `ProxyLayer`: start here to see the API in use
//! - `upstream.rs`: a service: `preset.rs` and `s3.rs` are those known by name, `generic.rs` any other; `target.rs`,
//!   `place.rs`, `rules.rs` and `limits.rs`: where it is, where its key goes, what passes, and how much of it
//! - `source.rs`: where a key comes from: `secret.rs`, `oauth.rs`, `github_app.rs`, `google.rs`; `endpoint.rs` is where
//!   the latter ask
//! - `revoked.rs`: which tokens are taken back
//! - `outbound.rs`: a client for each set of trusted certificates
//! - `serve.rs`: sockets and connections; `health.rs`: what health checks are told; `signals.rs`: what it is told while it runs; `reload.rs`: the file, again
//!
//! `gateway.toml` is a file to start from. For S3, build it with `--features sigv4`.

mod arguments;
mod check;
mod config;
mod endpoint;
mod generic;
mod github_app;
mod google;
mod health;
mod limits;
#[cfg(not(feature = "sigv4"))]
mod no_s3;
mod oauth;
mod outbound;
mod place;
mod preset;
mod refusal;
mod reload;
mod revoked;
mod rules;
mod run;
#[cfg(feature = "sigv4")]
mod s3;
mod sandbox;
mod secret;
mod section;
mod serve;
mod setup;
mod signals;
mod source;
mod target;
mod upstream;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use lexopt::Parser;

use crate::arguments::{Arguments, USAGE};

type Failure = Box<dyn Error + Send + Sync>;

const VERSION: &str = concat!("sallygate-gateway ", env!("CARGO_PKG_VERSION"));

/// The exit code of a wrong command line, and of a file that `check` refuses.
const WRONG: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(Parser::from_env()) {
        Ok(arguments) => arguments,
        Err(problem) => {
            say(&problem);
            return ExitCode::from(WRONG);
        }
    };
    let failed = match arguments {
        Arguments::Check(_) => ExitCode::from(WRONG),
        _ => ExitCode::FAILURE,
    };
    let outcome = match &arguments {
        Arguments::Check(file) => check::check(file),
        Arguments::Env(file, token, env) => sandbox::env(file, token, env),
        Arguments::Help => writeln!(io::stdout(), "{USAGE}").map_err(Failure::from),
        Arguments::Serve(file) => run::run(file),
        Arguments::Token(file, token) => sandbox::token(file, token),
        Arguments::Version => writeln!(io::stdout(), "{VERSION}").map_err(Failure::from),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure.to_string());
            failed
        }
    }
}

/// Tells the operator.
fn say(text: &str) {
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}
