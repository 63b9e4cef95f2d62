//! A gateway from a TOML file: try the proxy on your own API before writing code.
//!
//! ```text
//! cargo run --example gateway -- gateway.toml
//! cargo run --example gateway -- gateway.toml env --sandbox my-sandbox
//! ```
//!
//! What the second prints is for the sandbox's shell to evaluate: base URLs, and a token as the key of its tools.
//! `token` in place of `env` prints the token alone.
//!
//! The first line of standard output is `listening on http://ADDR:PORT`. SIGTERM and Ctrl-C stop it after the requests
//! under way; a second one does not wait for them. It says on standard error when a key cannot be had; with
//! `RUST_LOG=info` also why requests are refused, a line each.
//!
//! - `config.rs`: the file, key by key; `section.rs` reads its tables, `refusal.rs` is what is said of a wrong one
//! - `setup.rs`: from the file to a `ProxyLayer`: start here to see the API in use
//! - `upstream.rs`: a service: `preset.rs` and `s3.rs` are those known by name, `generic.rs` any other; `target.rs`,
//!   `place.rs` and `rules.rs`: where it is, where its key goes, what passes
//! - `source.rs`: where a key comes from: `secret.rs`, `oauth.rs`, `github_app.rs`, `google.rs`; `endpoint.rs` is where
//!   the latter ask
//! - `sandbox.rs`: what a sandbox is given
//! - `outbound.rs`: a client for each set of trusted certificates
//! - `serve.rs`: sockets and connections; `interrupt.rs`: signals
//!
//! `gateway.toml` is a file to start from. For S3, build it with `--features sigv4`.

mod config;
mod endpoint;
mod generic;
mod github_app;
mod google;
mod interrupt;
mod oauth;
mod outbound;
mod place;
mod preset;
mod refusal;
mod rules;
#[cfg_attr(not(feature = "sigv4"), path = "no_s3.rs")]
mod s3;
mod sandbox;
mod secret;
mod section;
mod serve;
mod setup;
mod source;
mod target;
mod upstream;

use std::{
    env,
    error::Error,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{config::Config, refusal::Refusal, source::Source};

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "usage: gateway FILE
       gateway FILE env --sandbox ID [--session ID] [--expires-in 15m] [--format shell|dotenv|json] [--origin URL]
       gateway FILE token --sandbox ID [--session ID] [--expires-in 15m]

The second prints what a sandbox needs so that its tools come here, for its shell to evaluate (as dotenv: the variables
alone), the third a token and nothing else. With RUST_LOG=info in the environment, the first says on standard error why
it refuses a request.";

/// How long requests under way may take to finish once the gateway is told to stop.
const DRAIN: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        [.., "--help" | "-h"] => writeln!(io::stdout(), "{USAGE}").map_err(Failure::from),
        [file] if !file.starts_with('-') => run(Path::new(file)),
        [file, "env", options @ ..] => sandbox::env(Path::new(file), options),
        [file, "token", options @ ..] => sandbox::token(Path::new(file), options),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Tells the operator.
fn say(text: &str) {
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

fn run(file: &Path) -> Result<(), Failure> {
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(io::stderr))
        .with(log_filter())
        .init();
    let config = Config::read(file)?;
    let within = |problem: Refusal| problem.within(file);
    let proxy = config.proxy(Source::credential).map_err(within)?;
    let tls = config.acceptor().map_err(within)?;
    let listeners = serve::listen(config.listen, config.threads)
        .map_err(|problem| Refusal::new("listen", format!("a free address ({problem})")))
        .map_err(within)?;
    let address = listeners
        .first()
        .map_or(Ok(config.listen), |first| first.local_addr())?;

    let (stop, stopped) = tokio::sync::watch::channel(());
    for listener in listeners {
        // The services and keys are shared; connections belong to one runtime.
        let outbound = config.outbound().map_err(within)?;
        let proxy = proxy.clone().client(outbound).into_service();
        let (tls, stopped) = (tls.clone(), stopped.clone());
        let runtime = single_threaded()?;
        thread::Builder::new()
            .name("gateway".into())
            .spawn(move || runtime.block_on(serve::serve(listener, tls, proxy, stopped)))?;
    }
    drop(stopped);

    let scheme = config.scheme();
    single_threaded()?.block_on(async {
        let mut interrupts = interrupt::Interrupts::new()?;
        writeln!(io::stdout(), "listening on {scheme}://{address}")?;
        tokio::select! {
            () = interrupts.next() => {}
            () = stop.closed() => return Err("no thread is left to serve requests".into()),
        }
        let _ = stop.send(());
        tokio::select! {
            () = stop.closed() => Ok(()),
            () = interrupts.next() => Err("stopped without waiting for the requests under way".into()),
            () = tokio::time::sleep(DRAIN) => {
                say("stopped; some requests were still under way");
                Ok(())
            }
        }
    })
}

fn log_filter() -> Targets {
    let level = env::var("RUST_LOG").ok();
    match level.and_then(|level| level.parse::<LevelFilter>().ok()) {
        Some(level) => Targets::new().with_default(level),
        // Not much, whatever callers do: a source that fails is asked once a second at most.
        None => Targets::new().with_target("sallygate::credential", LevelFilter::WARN),
    }
}

fn single_threaded() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
