//! The bucket before the host, on either side.

use http::header::HOST;
use sallygate::{Body, Client, Credential, Target, service::S3};
use sallygate_test_support::Stack;
use tower::{Service, service_fn};

use super::{REGION, Storage, code, server::Server, tap::Tap};

#[tokio::test]
async fn callers_may_put_the_bucket_before_the_host() {
    let Some(storage) =
        Storage::new(|s3| s3.virtual_hosts("gate.test")?.buckets(["reports"])).await
    else {
        return;
    };
    for host in ["reports.gate.test", "REPORTS.Gate.Test:8443"] {
        let put = storage
            .call("PUT", "/a/b")
            .host(host)
            .body("hello")
            .send()
            .await;
        assert_eq!(put.status, 200, "{}", put.text());
        assert_eq!(storage.tap.last().line(), "PUT /reports/a/b HTTP/1.1");
        assert_eq!(storage.stored("/reports/a/b").unwrap(), b"hello");
        let list = storage.call("GET", "/?list-type=2").host(host).send().await;
        assert_eq!(list.status, 200, "{}", list.text());
        assert_eq!(
            storage.tap.last().line(),
            "GET /reports/?list-type=2 HTTP/1.1"
        );
    }
    // A path that looks like a bucket is a key.
    storage.store("/private/a", "secret");
    let got = storage
        .call("GET", "/private/a")
        .host("reports.gate.test")
        .send()
        .await;
    assert_eq!(got.status, 404);
    assert_eq!(storage.tap.last().line(), "GET /reports/private/a HTTP/1.1");
    let sent = storage.tap.requests().len();
    for host in ["private.gate.test", "x.reports.gate.test"] {
        let got = storage.call("GET", "/a").host(host).send().await;
        assert_eq!((got.status, code(&got)), (403, "AccessDenied"));
    }
    assert_eq!(storage.tap.requests().len(), sent);
    // The path style goes on as before, under this host and others.
    storage.is_unharmed("c").await;
    let other = storage
        .call("GET", "/reports/c")
        .host("elsewhere.test")
        .send()
        .await;
    assert_eq!((other.status, other.text()), (200, "still there"));
}

#[tokio::test]
async fn upstreams_may_want_the_bucket_before_the_host() {
    let stack = Stack::new().await;
    let options = ["--domain", "s3.test"];
    let Some(server) = Server::start_with(&stack.oracle, &options).await else {
        return;
    };
    let tap = Tap::before(server.addr, stack.oracle.clone(), server.id.clone()).await;
    let target = Target::dangerous_plaintext("http://s3.test").unwrap();
    let key = Credential::new(format!("{}:{}", server.id, server.secret)).unwrap();
    let s3 = S3::new(target.clone(), REGION, key.clone()).unwrap();
    assert!(
        s3.upstream_virtual_hosts().is_err(),
        "the buckets are not named"
    );
    let s3 = S3::new(target, REGION, key).unwrap();
    let s3 = s3
        .buckets(["reports"])
        .unwrap()
        .upstream_virtual_hosts()
        .unwrap();
    // No resolver knows these names.
    let (client, addr) = (Client::new(), tap.addr);
    let client = service_fn(move |mut request: http::Request<Body>| {
        let host = request.uri().authority().unwrap().to_string();
        let path = request.uri().path_and_query().unwrap().clone();
        request.headers_mut().insert(HOST, host.try_into().unwrap());
        *request.uri_mut() = format!("http://{addr}{path}").parse().unwrap();
        client.clone().call(request)
    });
    let layer = stack.layer_with("s3", s3).client(client);
    let front = stack.serve(layer.into_service()).await;
    let token = stack.token();
    let put = front
        .request("PUT", "/proxy/s3/reports/a%20b")
        .token(&token)
        .body("hello");
    let put = put.send().await;
    assert_eq!(put.status, 200, "{}", put.text());
    let sent = tap.last();
    assert_eq!(sent.line(), "PUT /a%20b HTTP/1.1");
    assert_eq!(sent.value("host"), Some("reports.s3.test"));
    assert_eq!(
        std::fs::read(server.root.join("reports/a b")).unwrap(),
        b"hello"
    );
    let list = front
        .get("/proxy/s3/reports?list-type=2", &token)
        .send()
        .await;
    assert!(list.text().contains("<Key>a b</Key>"), "{}", list.text());
    assert_eq!(tap.last().line(), "GET /?list-type=2 HTTP/1.1");
}
