//! A door as small as one can be: what a new one writes, and what it gets from the corridor.
//!
//! `{sandbox}.preview.test` leads to the sandbox's server. The caller shows an opaque token in a header, which alone is
//! taken out: cookies, `Authorization` and the rest pass as they are, both ways. Permits, interrupts, WebSockets, shutdown
//! and rejections are the corridor's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::SystemTime,
};

use http::{
    HeaderMap, HeaderValue, Request, Response,
    header::{HOST, WWW_AUTHENTICATE},
};

use crate::{
    Body, Client, Outcome, Target,
    door::{CatchPanic, InfallibleFuture, RefusalFormat, intake, refuse},
    exchange::{Admission, Exchanges, Subject},
    forward::{Outgoing, Rules, WebSocket, forward},
    limit::Permits,
    rejection::{Reason, Rejection},
    service::{Bounds, ErrorBody, RequestId, host_name},
    token::TokenError,
    upstream::headers::{self, Via},
};

const TOKEN: &str = "x-preview-token";

/// Whom its requests are counted and ended for: one generation of a sandbox's token.
struct Sandbox(String, usize, Arc<Preview>);

impl Subject for Sandbox {
    fn id(&self) -> &str {
        &self.0
    }

    fn expires_at(&self) -> Option<SystemTime> {
        None
    }

    fn is_revoked(&self, _: SystemTime) -> bool {
        self.2.generation.load(SeqCst) != self.1
    }
}

/// What passes: everything but what belongs to a connection. Nothing is injected.
impl Rules for Arc<Preview> {
    fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    fn via(&self) -> &Via {
        &self.via
    }

    fn targets(&self) -> &[Target] {
        std::slice::from_ref(&self.target)
    }

    async fn inject(&self, request: Request<Body>) -> Result<Outcome, Reason> {
        Ok(Outcome::Forward(request))
    }

    fn clean(&self, headers: &mut HeaderMap, _: &Target) {
        headers::remove_hop_by_hop(headers, |_| false);
    }
}

/// How it words a refusal.
impl RefusalFormat for Preview {
    fn body(&self, rejection: &Rejection) -> ErrorBody {
        ErrorBody::json(format!("{{\"error\":\"{}\"}}", rejection.message()))
    }

    fn headers(&self, rejection: &Rejection, headers: &mut HeaderMap) {
        if rejection.status() == 401 {
            let challenge = HeaderValue::from_static("Bearer realm=\"preview\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
    }
}

struct Preview {
    target: Target,
    token: &'static str,
    generation: AtomicUsize,
    bounds: Bounds,
    via: Via,
    exchanges: Arc<Exchanges>,
    permits: Arc<Permits>,
    client: Client,
}

impl Preview {
    fn serve(self: Arc<Self>, request: Request<Body>) -> InfallibleFuture {
        let request_id = RequestId::next();
        InfallibleFuture::new(async move {
            let response = CatchPanic::new(self.clone().respond(request, request_id)).await;
            let response = response.unwrap_or(Err(Reason::Panic));
            response.unwrap_or_else(|reason| refuse(reason, request_id, false, &*self))
        })
    }

    async fn respond(
        self: Arc<Self>,
        request: Request<Body>,
        id: RequestId,
    ) -> Result<Response<Body>, Reason> {
        let (mut head, body) = request.into_parts();
        intake::check_method(&head)?;
        intake::check_headers(&head, &self.bounds)?;
        intake::check_path(head.uri.path(), head.uri.query(), true)?;
        let host = host_name::of_request(&head.uri, &head.headers);
        let name = host.and_then(|host| host.strip_suffix(".preview.test"));
        let name = name.ok_or(Reason::NotFound)?.to_owned();
        // Counted before it is compared: a revocation in between is not missed.
        let generation = self.generation.load(SeqCst);
        let token = head.headers.remove(TOKEN).ok_or(Reason::TokenMissing)?;
        if token != self.token {
            return Err(Reason::Token(TokenError::Unknown));
        }
        let bounds = &self.bounds;
        let permit = self.permits.acquire(&name, bounds);
        let permits = [permit.map_err(|_| Reason::Busy)?, None];
        let sandbox = Sandbox(name, generation, self.clone());
        let admission = Admission::new(&self.exchanges, sandbox, permits, bounds)?;
        let websocket = WebSocket::take_handshake(&mut head)?;
        headers::remove_hop_by_hop(&mut head.headers, |name| *name == HOST);
        let below = head.uri.path_and_query().ok_or(Reason::Origin)?;
        head.uri = self.target.join(below).map_err(|_| Reason::UriTooLong)?;
        let request = Request::from_parts(head, body);
        let mut client = self.client.clone();
        let mut outgoing = Outgoing::new(admission, request, websocket, id, self);
        forward(&mut outgoing, &mut client).await
    }
}

mod tests {
    use std::{num::NonZeroUsize, time::Duration};

    use hyper::body::Incoming;
    use sallygate_test_support::{
        Front, Oracle, PATIENCE, Reply, Slot, Upstream,
        websocket::{self, GOING_AWAY, POLICY_VIOLATION, Server},
        within,
    };
    use tower::service_fn;

    use super::*;
    use crate::{Limits, door::Code};

    const HELD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";

    fn door(address: std::net::SocketAddr) -> Arc<Preview> {
        let limits = Limits::new().concurrent_per_sandbox(NonZeroUsize::MIN);
        Arc::new(Preview {
            target: Target::dangerous_plaintext(&format!("http://{address}")).unwrap(),
            token: "a-token-of-the-visitor",
            generation: AtomicUsize::new(1),
            bounds: Bounds::of_proxy(&limits),
            via: Via::new().unwrap(),
            exchanges: Arc::default(),
            permits: Arc::default(),
            client: Client::new(),
        })
    }

    async fn front(door: &Arc<Preview>) -> Front {
        let door = door.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            door.clone().serve(request.map(Body::new))
        });
        Front::serve(Oracle::new(), service).await
    }

    fn revoke(door: &Preview) {
        door.generation.fetch_add(1, SeqCst);
        let interrupts = door.exchanges.interrupts();
        interrupts.notify(interrupts.channel("box"));
    }

    fn get(path: &str, more: &str) -> String {
        format!(
            "GET {path} HTTP/1.1\r\nhost: box.preview.test\r\n{more}\
             x-preview-token: a-token-of-the-visitor\r\n\r\n"
        )
    }

    #[tokio::test]
    async fn everything_passes_but_its_own_token_and_what_belongs_to_a_connection() {
        let upstream = Upstream::scripted(|_| {
            Reply::Bytes(
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nset-cookie: a=1\r\ncache-control: public\r\n\
                  x-once: 1\r\nconnection: x-once\r\n\r\nhi"
                    .to_vec(),
            )
        })
        .await;
        upstream.accept(Slot::Header("authorization").show("Basic YTpi"));
        let front = front(&door(upstream.addr)).await;
        let mut wire = front.connect().await;
        let own = "authorization: Basic YTpi\r\ncookie: a=1\r\nx-once: 1\r\nconnection: x-once\r\n";
        wire.send(get("/a?b=%20", own)).await;
        let response = wire.answer().await;
        assert_eq!((response.status, response.text()), (200, "hi"));
        assert_eq!(response.values("set-cookie"), ["a=1"]);
        assert_eq!(response.values("cache-control"), ["public"]);
        assert!(response.values("x-once").is_empty());
        let sent = upstream.last();
        assert_eq!(sent.line(), "GET /a?b=%20 HTTP/1.1");
        assert_eq!(sent.values("authorization"), ["Basic YTpi"]);
        assert_eq!(sent.values("cookie"), ["a=1"]);
        assert!(!sent.has(TOKEN) && !sent.has("x-once"));
    }

    #[tokio::test]
    async fn rejections_are_worded_in_its_own_format() {
        let upstream = Upstream::scripted(|_| Reply::ok("hello")).await;
        let front = front(&door(upstream.addr)).await;
        let at = |host: &str, token: &str| {
            format!("GET / HTTP/1.1\r\nhost: {host}\r\nx-preview-token: {token}\r\n\r\n")
        };
        for (host, token, status, code) in [
            ("box.preview.test", "another", 401, Code::TokenInvalid),
            ("elsewhere.test", "another", 404, Code::NotFound),
        ] {
            let mut wire = front.connect().await;
            wire.send(at(host, token)).await;
            let response = wire.answer().await;
            assert_eq!(response.status, status);
            let body = format!("{{\"error\":\"{}\"}}", code.sentence());
            assert_eq!(response.text(), body);
            let challenged = !response.values("www-authenticate").is_empty();
            assert_eq!(challenged, status == 401);
        }
        assert_eq!(upstream.requests().len(), 0);
    }

    #[tokio::test]
    async fn one_request_at_a_time_until_its_stream_is_revoked() {
        let upstream = Upstream::with(|mut conn| async move {
            while conn.read_request().await.is_some() {
                conn.write(HELD.as_bytes()).await;
            }
        });
        let upstream = upstream.await;
        let door = door(upstream.addr);
        let front = front(&door).await;
        let mut held = front.connect().await;
        held.send(get("/held", "")).await;
        assert_eq!(held.head().await.status, 200);
        let mut second = front.connect().await;
        second.send(get("/second", "")).await;
        assert_eq!(second.answer().await.status, 429);
        revoke(&door);
        let rest = within(PATIENCE, held.rest()).await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "it looks complete");
        second.send(get("/second", "")).await;
        assert_eq!(second.head().await.status, 200);
    }

    #[tokio::test]
    async fn a_websocket_is_closed_by_a_revocation_and_by_a_shutdown() {
        for shutdown in [false, true] {
            let mut server = Server::switching("").await;
            let door = door(server.addr);
            let front = front(&door).await;
            let key = format!(
                "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: {}\r\n",
                websocket::KEY
            );
            let (head, mut caller) = websocket::ask(front.addr, &get("/chat", &key)).await;
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            let (_, mut peer) = server.next().await;
            let close = if shutdown {
                let left = door.exchanges.shut_down(Duration::from_secs(20)).await;
                assert_eq!(left, 0);
                GOING_AWAY
            } else {
                revoke(&door);
                POLICY_VIOLATION
            };
            assert_eq!(
                within(PATIENCE, websocket::rest(&mut caller)).await,
                close.0
            );
            let told = within(PATIENCE, websocket::rest(&mut peer)).await;
            assert_eq!(told.len(), close.1.len());
            let mut refused = front.connect().await;
            refused.send(get("/", "")).await;
            let status = refused.answer_to_head().await.status;
            assert_eq!(status == 503, shutdown, "{status}");
        }
    }
}
