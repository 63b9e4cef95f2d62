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
//! under way; a second one does not wait for them. SIGHUP makes it read the file again: its services, the keys of its
//! tokens, and which of them are revoked; with a file that is wrong, everything stays as it is. It says on standard error
//! when a key cannot be had; with `RUST_LOG=info` also why requests are refused, a line each.
//!
//! - `config.rs`: the file, key by key; `section.rs` reads its tables, `refusal.rs` is what is said of a wrong one
//! - `setup.rs`: from the file to a `ProxyLayer`: start here to see the API in use
//! - `upstream.rs`: a service: `preset.rs` and `s3.rs` are those known by name, `generic.rs` any other; `target.rs`,
//!   `place.rs`, `rules.rs` and `limits.rs`: where it is, where its key goes, what passes, and how much of it
//! - `source.rs`: where a key comes from: `secret.rs`, `oauth.rs`, `github_app.rs`, `google.rs`; `endpoint.rs` is where
//!   the latter ask
//! - `sandbox.rs`: what a sandbox is given; `revoked.rs`: what is taken back
//! - `outbound.rs`: a client for each set of trusted certificates
//! - `serve.rs`: sockets and connections; `signals.rs`: what it is told while it runs; `reload.rs`: the file, again
//!
//! `gateway.toml` is a file to start from. For S3, build it with `--features sigv4`.

mod config;
mod endpoint;
mod generic;
mod github_app;
mod google;
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
    env,
    error::Error,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

use sallygate::{Revocations, proxy::Handle};
use tokio::sync::watch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    config::Config,
    outbound::Outbound,
    refusal::Refusal,
    reload::Reload,
    serve::Stage,
    signals::{Signals, Told},
    source::Source,
};

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "usage: gateway FILE
       gateway FILE env --sandbox ID [--session ID] [--id ID] [--expires-in 15m] [--format shell|dotenv|json]
                        [--origin URL]
       gateway FILE token --sandbox ID [--session ID] [--id ID] [--expires-in 15m]

The second prints what a sandbox needs so that its tools come here, for its shell to evaluate (as dotenv: the variables
alone), the third a token and nothing else. With RUST_LOG=info in the environment, the first says on standard error why
it refuses a request.";

/// How long connections may take to close once nothing is under way on them.
const CLOSING: Duration = Duration::from_secs(2);

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
    // No token lives longer than a day, but new ones may be issued: what is revoked is so for as long as this runs.
    let revocations = Revocations::new().max_lifetime(Duration::MAX);
    for revocation in config.token.revoked().map_err(within)? {
        revocation.tell(&revocations)?;
    }
    let proxy = config.proxy(Source::credential).map_err(within)?;
    let proxy = proxy.revocations(&revocations);
    let tls = config.acceptor().map_err(within)?;
    let listeners = serve::listen(config.listen, config.threads)
        .map_err(|problem| Refusal::new("listen", format!("a free address ({problem})")))
        .map_err(within)?;
    let address = listeners
        .first()
        .map_or(Ok(config.listen), |first| first.local_addr())?;

    let handle = proxy.handle();
    let (stage, reached) = watch::channel(Stage::Serving);
    let mut outbounds = Vec::new();
    for listener in listeners {
        // The services and keys are shared; connections belong to one runtime.
        let outbound = Outbound::new(config.private_clients().map_err(within)?);
        outbounds.push(outbound.clone());
        let proxy = proxy.clone().client(outbound).into_service();
        let (heads, tls, reached) = (config.bounds.heads(), tls.clone(), reached.clone());
        let runtime = single_threaded()?;
        thread::Builder::new()
            .name("gateway".into())
            .spawn(move || runtime.block_on(serve::serve(listener, heads, tls, proxy, reached)))?;
    }
    drop(reached);
    let reload = Reload::new(file, handle.clone(), outbounds, revocations);

    let scheme = config.scheme();
    single_threaded()?.block_on(async {
        let mut signals = Signals::new()?;
        writeln!(io::stdout(), "listening on {scheme}://{address}")?;
        loop {
            let told = tokio::select! {
                told = signals.next() => told,
                () = stage.closed() => return Err("no thread is left to serve requests".into()),
            };
            match told {
                Told::Stop => break,
                Told::Reload => match reload.run() {
                    Ok(()) => say(&format!("{}: read again", file.display())),
                    Err(failure) => say(&format!("{failure}; everything stays as it was")),
                },
            }
        }
        tokio::select! {
            () = stop(&handle, &stage, config.drain) => Ok(()),
            () = until_stopped(&mut signals) => {
                Err("stopped without waiting for the requests under way".into())
            }
        }
    })
}

/// Lets what is under way come to its end, and breaks off what does not.
async fn stop(handle: &Handle, stage: &watch::Sender<Stage>, drain: Duration) {
    stage.send_replace(Stage::Draining);
    match handle.shutdown(drain).await {
        0 => {}
        left => say(&format!("stopped; requests still under way: {left}")),
    }
    stage.send_replace(Stage::Over);
    let _ = tokio::time::timeout(CLOSING, stage.closed()).await;
}

async fn until_stopped(signals: &mut Signals) {
    while !matches!(signals.next().await, Told::Stop) {}
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
