//! A gateway from a TOML file: try the proxy on your own API before writing code.
//!
//! ```text
//! cargo run --example gateway -- gateway.toml
//! cargo run --example gateway -- gateway.toml token --sandbox my-sandbox --expires-in 15m
//! ```
//!
//! The first line of standard output is `listening on http://ADDR:PORT`. SIGTERM and Ctrl-C stop it after the requests
//! under way; a second one does not wait for them. `RUST_LOG=info` shows on standard error why requests are refused: a
//! line each, so it is off by default.
//!
//! - `config.rs`: the file, key by key; `section.rs` reads its tables, `source.rs` its secrets
//! - `setup.rs`: from the file to a `ProxyLayer`: start here to see the API in use
//! - `outbound.rs`: a client for each set of trusted certificates
//! - `serve.rs`: sockets and connections
//! - `watch.rs`: key files that change; `interrupt.rs`: signals
//!
//! `gateway.toml` is a file to start from.

mod config;
mod interrupt;
mod outbound;
mod section;
mod serve;
mod setup;
mod source;
mod watch;

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

use crate::{config::Config, section::Refusal};

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "usage: gateway FILE
       gateway FILE token --sandbox ID [--session ID] [--expires-in 15m]

The second prints a token for a sandbox. With RUST_LOG=info in the environment, the first says on standard error why
it refuses a request; otherwise it says nothing about requests.";

/// How long requests under way may take to finish once the gateway is told to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// Longest life of a token that the gateway accepts.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        [.., "--help" | "-h"] => writeln!(io::stdout(), "{USAGE}").map_err(Failure::from),
        [file] if !file.starts_with('-') => run(Path::new(file)),
        [file, "token", options @ ..] => token(Path::new(file), options),
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
    if let Some(level) = log_level() {
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(io::stderr)
            .init();
    }
    let config = Config::read(file)?;
    let within = |problem: Refusal| problem.within(file);
    let (proxy, watched) = config.proxy().map_err(within)?;
    let tls = config.acceptor().map_err(within)?;
    let listeners = serve::listen(config.listen, config.threads)
        .map_err(|problem| Refusal::new("listen", format!("a free address ({problem})")))
        .map_err(within)?;
    let address = listeners
        .first()
        .map_or(Ok(config.listen), |first| first.local_addr())?;

    watch::start(watched)?;
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

    let scheme = if tls.is_some() { "https" } else { "http" };
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

fn log_level() -> Option<LevelFilter> {
    env::var("RUST_LOG").ok()?.parse().ok()
}

fn single_threaded() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

fn token(file: &Path, options: &[&str]) -> Result<(), Failure> {
    let (mut sandbox, mut session, mut lifetime) = (None, None, Duration::from_secs(15 * 60));
    for option in options.chunks(2) {
        match *option {
            ["--sandbox", id] => sandbox = Some(id),
            ["--session", id] => session = Some(id),
            ["--expires-in", text] => {
                lifetime = duration(text)
                    .filter(|lifetime| (Duration::from_secs(1)..=DAY).contains(lifetime))
                    .ok_or("--expires-in: expected a time such as 90s, 15m or 24h, at most 24h")?;
            }
            [option @ ("--sandbox" | "--session" | "--expires-in")] => {
                return Err(format!("{option}: expected a value\n{USAGE}").into());
            }
            _ => return Err(USAGE.into()),
        }
    }
    let sandbox = sandbox.ok_or_else(|| format!("token: expected --sandbox ID\n{USAGE}"))?;
    let issuer = Config::read(file)?
        .issuer()
        .map_err(|problem| problem.within(file))?;
    let mut draft = issuer.issue(sandbox).expires_in(lifetime);
    if let Some(session) = session {
        draft = draft.session(session);
    }
    writeln!(io::stdout(), "{}", draft.sign()?)?;
    Ok(())
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}
