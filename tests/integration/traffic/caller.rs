use std::sync::Arc;

use http::{Request, Response, Version, request::Builder};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sallygate::Body;
use sallygate_test_support::{Answer, Front, Oracle, PATIENCE, within};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// A caller over HTTP/2.
pub(super) struct Caller {
    sender: http2::SendRequest<Body>,
}

impl Caller {
    pub(super) async fn connect(front: &Front) -> Self {
        let stream = TcpStream::connect(front.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream).await
    }

    pub(super) async fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(io));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    pub(super) async fn send(&mut self, request: Builder, body: Body) -> Response<Incoming> {
        let sent = self.sender.send_request(request.body(body).unwrap());
        within(PATIENCE, sent).await.unwrap()
    }

    pub(super) async fn call(
        &mut self,
        oracle: &Arc<Oracle>,
        request: Builder,
        body: Body,
    ) -> Answer {
        let response = self.send(request, body).await;
        assert_eq!(response.version(), Version::HTTP_2);
        Answer::of(oracle, response).await
    }
}

/// A request with the token, to `gate.test`.
pub(super) fn request(method: &str, target: &str, token: &str) -> Builder {
    Request::builder()
        .method(method)
        .uri(format!("http://gate.test{target}"))
        .header("authorization", format!("Bearer {token}"))
}
