//! The caller of a WebSocket over HTTP/2 (RFC 8441).

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{SendRequest, handshake},
    ext::Protocol,
};
use http::{Method, Request, Response, Version};
use tokio::net::TcpStream;

use crate::{PATIENCE, within};

/// Opens a connection, and waits for the server's settings.
pub async fn connect(addr: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) = handshake(stream).await.unwrap();
    tokio::spawn(connection);
    // With the answer to this one, the server's settings are here.
    let request = Request::get("http://gate.test/proxy/none");
    let (answer, _) = sender
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    within(PATIENCE, answer).await.unwrap();
    sender
}

/// A handshake, and what came of it.
pub async fn ask(
    sender: &mut SendRequest<Bytes>,
    path: &str,
    fields: &[(&'static str, &str)],
) -> (Response<RecvStream>, SendStream<Bytes>) {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .version(Version::HTTP_2)
        .uri(format!("http://gate.test{path}"))
        .extension(Protocol::from("websocket"))
        .header("sec-websocket-version", "13");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (answer, stream) = sender
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    (within(PATIENCE, answer).await.unwrap(), stream)
}
