use std::{
    io,
    net::{self, SocketAddr},
    time::Duration,
};

use hyper::{
    rt::{Read, Write},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use sallygate::proxy::ProxyService;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use crate::{health::Health, limits::Heads, outbound::Outbound};

/// How long a caller may take for the head of a request. A connection without requests is closed after as long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest list of header fields in HTTP/2, where the file does not ask for more.
const LIST: u32 = 64 << 10;

/// The longest path and query that the proxy takes, where the file does not say.
const URI: u32 = 16 << 10;

/// What stands beside the path in a request's head: a method and a host. In HTTP/2, all of it is among the fields.
const AROUND_URI: u32 = 4 << 10;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A listening socket for each thread, all at one address: the system spreads connections over them.
pub(crate) fn listen(address: SocketAddr, threads: usize) -> io::Result<Vec<net::TcpListener>> {
    // Sockets that share an address would share it with another gateway too: this one finds out.
    let alone = bind(address, false)?;
    if threads == 1 {
        return Ok(vec![alone]);
    }
    if cfg!(not(target_os = "linux")) {
        return (0..threads).map(|_| alone.try_clone()).collect();
    }
    let address = alone.local_addr()?;
    drop(alone);
    (0..threads).map(|_| bind(address, true)).collect()
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(shared)?;
    #[cfg(not(target_os = "linux"))]
    let _ = shared;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// How far the gateway is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Serving,
    /// Nobody is let in any more.
    Draining,
    /// What was under way has ended, or has been broken off.
    Over,
}

/// What each connection is served with.
#[derive(Clone)]
pub(crate) struct Server {
    http: auto::Builder<TokioExecutor>,
    health: Health,
}

impl Server {
    pub(crate) fn new(heads: Heads, health: Health) -> Self {
        let http = http(heads);
        Self { http, health }
    }

    /// Serves connections until the gateway stops, and then until they are at an end.
    pub(crate) async fn serve(
        self,
        listener: net::TcpListener,
        tls: Option<TlsAcceptor>,
        proxy: ProxyService<Outbound>,
        mut stage: watch::Receiver<Stage>,
    ) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        let open = GracefulShutdown::new();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    // Out of file descriptors, mostly: those in use become free in time.
                    Err(_) => {
                        sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
                _ = stage.changed() => break,
            };
            let _ = stream.set_nodelay(true);
            let (server, proxy, watcher) = (self.clone(), proxy.clone(), open.watcher());
            match tls.clone() {
                None => tokio::spawn(server.connection(TokioIo::new(stream), proxy, watcher)),
                Some(tls) => tokio::spawn(async move {
                    if let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                        server
                            .connection(TokioIo::new(stream), proxy, watcher)
                            .await;
                    }
                }),
            };
        }
        drop(listener);
        // WebSockets are no longer among the connections, but their tasks are on this runtime.
        let over = stage.wait_for(|stage| *stage == Stage::Over);
        let ((), _) = tokio::join!(open.shutdown(), over);
        Ok(())
    }

    async fn connection(
        self,
        io: impl Read + Write + Unpin + Send + 'static,
        proxy: ProxyService<Outbound>,
        watcher: Watcher,
    ) {
        let Self { http, health } = self;
        let service = service_fn(move |request| {
            // Outside the future, which would hold every request besides.
            let response = match health.response(&request) {
                None => Err(proxy.clone().call(request)),
                Some(response) => Ok(response),
            };
            async {
                match response {
                    Err(proxied) => proxied.await,
                    Ok(response) => Ok(response),
                }
            }
        });
        // How a connection ends is the caller's affair.
        let connection = http.serve_connection_with_upgrades(io, service);
        let _ = watcher.watch(connection).await;
    }
}

/// HTTP/1.1, or HTTP/2 where the caller begins with it.
fn http(heads: Heads) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    // Set, it costs every request: only for more than it takes anyway.
    if let Some(fields) = heads.fields.filter(|fields| *fields > 100) {
        server.http1().max_headers(fields);
    }
    let line = heads.uri.unwrap_or(URI).max(URI) + AROUND_URI;
    let list = heads.bytes.unwrap_or(LIST - URI - AROUND_URI) + line;
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_TIMEOUT)
        // WebSockets, too.
        .enable_connect_protocol()
        .max_header_list_size(list.max(LIST));
    server
}
