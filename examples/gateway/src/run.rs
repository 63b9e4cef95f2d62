use std::{
    env,
    io::{self, Write},
    path::Path,
    thread,
    time::Duration,
};

use sallygate::proxy::Handle;
use tokio::sync::watch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    Failure,
    config::Config,
    health::Health,
    outbound::Outbound,
    refusal::Refusal,
    reload::Reload,
    say,
    serve::{self, Server, Stage},
    setup::Prepared,
    signals::{Signals, Told},
};

/// How long connections may take to close once nothing is under way on them.
const CLOSING: Duration = Duration::from_secs(2);

/// Serves what the file says until the process is told to stop.
pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(io::stderr))
        .with(log_filter())
        .init();
    let config = Config::read(file)?;
    let within = |problem: Refusal| problem.within(file);
    let Prepared {
        proxy,
        revocations,
        tls,
    } = config.prepare().map_err(within)?;
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
        let server = Server::new(config.bounds.heads(), Health::new(config.health.as_deref()));
        let (tls, reached) = (tls.clone(), reached.clone());
        let runtime = single_threaded()?;
        thread::Builder::new()
            .name("gateway".into())
            .spawn(move || runtime.block_on(server.serve(listener, tls, proxy, reached)))?;
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
