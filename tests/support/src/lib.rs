//! What the tests share: a stack with real sockets at both ends, and the oracle that every one of them ends with.

mod answer;
pub mod matrix;
mod oracle;
mod page;
mod program;
mod refused;
mod scene;
mod secure;
mod server;
mod stack;
mod upstream;
pub mod websocket;
mod wire;

pub use self::{
    answer::Answer,
    oracle::{Oracle, Slot},
    page::{Page, Table},
    program::{client, kill, output, program, tool},
    refused::{assert_case_refused, assert_refused},
    scene::{Scene, Setup},
    secure::{Authority, Secure},
    server::Server,
    stack::Stack,
    upstream::{Recorded, Reply, Upstream, within},
    wire::{Front, Wire},
};

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use socket2::{Domain, Socket, Type};

/// How long a test waits for what must come: only a machine that is very busy needs much of it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long a test waits for what must come at once. Less than the shortest time-out that the proxy has by default, so that
/// none of those can be what it was.
pub const SOON: Duration = Duration::from_secs(4);

/// A place where nobody listens, and nobody else can.
pub fn nowhere() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// The folder of the repository.
pub(crate) fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
