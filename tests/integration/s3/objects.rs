//! What clients do all day, through the whole proxy.

use super::{Storage, code};

#[tokio::test]
async fn objects_are_put_got_listed_copied_and_deleted() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let put = storage
        .call("PUT", "/reports/a/b.txt")
        .header("content-type", "text/plain")
        .header("x-amz-meta-owner", "acme")
        .body("0123456789")
        .send()
        .await;
    assert_eq!(put.status, 200, "{}", put.text());
    assert!(put.header("etag").is_some());
    assert_eq!(storage.stored("/reports/a/b.txt").unwrap(), b"0123456789");
    let sent = storage.tap.last();
    assert_eq!(sent.line(), "PUT /reports/a/b.txt HTTP/1.1");
    assert_eq!(sent.value("host"), Some(&*storage.tap.addr.to_string()));
    assert_eq!(sent.value("content-length"), Some("10"));
    assert_eq!(sent.value("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
    let authorization = sent.value("authorization").unwrap();
    let names = "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-owner";
    assert!(
        authorization.contains(&format!("SignedHeaders={names}, ")),
        "{authorization}"
    );

    let got = storage.get("/reports/a/b.txt").await;
    assert_eq!((got.status, got.text()), (200, "0123456789"));
    assert_eq!(got.header("etag"), put.header("etag"));
    assert_eq!(got.header("x-amz-meta-owner"), Some("acme"));
    let head = storage.call("HEAD", "/reports/a/b.txt").send().await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10"))
    );
    let part = storage
        .call("GET", "/reports/a/b.txt")
        .header("range", "bytes=2-4")
        .send()
        .await;
    assert_eq!((part.status, part.text()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));

    let copy = storage
        .call("PUT", "/reports/copy")
        .header("x-amz-copy-source", "/reports/a/b.txt")
        .body("")
        .send()
        .await;
    assert_eq!(copy.status, 200, "{}", copy.text());
    assert_eq!(storage.stored("/reports/copy").unwrap(), b"0123456789");

    let list = storage
        .get("/reports?list-type=2&prefix=a%2F&delimiter=/")
        .await;
    assert_eq!(list.status, 200, "{}", list.text());
    assert!(list.text().contains("<Key>a/b.txt</Key>") && !list.text().contains("copy"));
    assert_eq!(
        storage.tap.last().line(),
        "GET /reports?list-type=2&prefix=a%2F&delimiter=%2F HTTP/1.1"
    );

    let gone = storage.call("DELETE", "/reports/copy").send().await;
    assert_eq!(gone.status, 204);
    assert!(storage.stored("/reports/copy").is_none());
    let missing = storage.get("/reports/copy").await;
    assert_eq!(
        (missing.status, code_of_the_server(&missing)),
        (404, "NoSuchKey")
    );
}

fn code_of_the_server(answer: &sallygate_test_support::Answer) -> &str {
    let (_, rest) = answer.text().split_once("<Code>").unwrap();
    rest.split_once("</Code>").unwrap().0
}

#[tokio::test]
async fn an_upload_in_parts_arrives_whole() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let begun = storage
        .call("POST", "/reports/big?uploads")
        .body("")
        .send()
        .await;
    assert_eq!(begun.status, 200, "{}", begun.text());
    let (_, rest) = begun.text().split_once("<UploadId>").unwrap();
    let upload = rest.split_once("</UploadId>").unwrap().0;
    let mut parts = String::new();
    for number in 1..=2 {
        let path = format!("/reports/big?partNumber={number}&uploadId={upload}");
        let part = storage.put(&path, vec![b'0' + number; 5 << 20]).await;
        assert_eq!(part.status, 200, "{}", part.text());
        let etag = part.header("etag").unwrap();
        parts += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let listed = storage
        .get(&format!("/reports/big?uploadId={upload}"))
        .await;
    assert_eq!(listed.text().matches("<PartNumber>").count(), 2);
    let done = storage
        .call("POST", &format!("/reports/big?uploadId={upload}"))
        .body(format!(
            "<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        ))
        .send()
        .await;
    assert_eq!(done.status, 200, "{}", done.text());
    let whole = [vec![b'1'; 5 << 20], vec![b'2'; 5 << 20]].concat();
    assert!(storage.stored("/reports/big").unwrap() == whole);
    let got = storage.get("/reports/big").await;
    assert!(got.body == whole);
}

#[tokio::test]
async fn keys_of_every_kind_are_signed_as_servers_read_them() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    for (path, sent, file) in [
        ("/a%20b", "/a%20b", "a b"),
        ("/a%2Bb", "/a%2Bb", "a+b"),
        ("/a+c", "/a%2Bc", "a+c"),
        ("/%C3%A9%E2%82%AC", "/%C3%A9%E2%82%AC", "é€"),
        ("/(a)!*'", "/%28a%29%21%2A%27", "(a)!*'"),
        (
            "/a:b@c=d&e;f,g$h",
            "/a%3Ab%40c%3Dd%26e%3Bf%2Cg%24h",
            "a:b@c=d&e;f,g$h",
        ),
        ("/100%25", "/100%25", "100%"),
        ("/%7Etilde/.hidden", "/~tilde/.hidden", "~tilde/.hidden"),
        ("/d%2Fe", "/d/e", "d/e"),
    ] {
        let put = storage.put(&format!("/reports{path}"), path).await;
        assert_eq!(put.status, 200, "{path}: {}", put.text());
        assert_eq!(
            storage.tap.last().line(),
            format!("PUT /reports{sent} HTTP/1.1")
        );
        assert_eq!(
            storage.stored(&format!("/reports/{file}")).unwrap(),
            path.as_bytes()
        );
        let got = storage.get(&format!("/reports{sent}")).await;
        assert_eq!((got.status, got.text()), (200, path));
    }
    // A file system has no such names, but the signature is right.
    let twice = storage.get("/reports//a//b/").await;
    assert_eq!(storage.tap.last().line(), "GET /reports//a//b/ HTTP/1.1");
    assert_eq!(
        (twice.status, code_of_the_server(&twice)),
        (500, "InternalError")
    );
}

#[tokio::test]
async fn metadata_may_have_any_name_but_only_ascii_in_it() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let put = async |name: &str, value: &str| {
        let call = storage.call("PUT", "/reports/a").header(name, value);
        call.body("hello").send().await
    };
    let odd = put("x-amz-meta-my_own.name", "two  spaces").await;
    assert_eq!(odd.status, 200, "{}", odd.text());
    assert_eq!(
        storage.tap.last().value("x-amz-meta-my_own.name"),
        Some("two  spaces")
    );
    let foreign = put("x-amz-meta-name", "é").await;
    assert_eq!((foreign.status, code(&foreign)), (400, "InvalidArgument"));
    storage.is_unharmed("a").await;
}

#[tokio::test]
async fn a_request_without_a_bucket_is_refused_in_the_words_of_s3() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    for path in [
        "",
        "/",
        "/?list-type=2",
        "/ab",
        "/re%70orts/k",
        "/arn:aws:s3:::x/k",
    ] {
        let answer = storage.get(path).await;
        assert_eq!(
            (answer.status, code(&answer)),
            (400, "InvalidBucketName"),
            "{path}"
        );
    }
    for (method, path, status, expected) in [
        ("PATCH", "/reports/a", 405, "MethodNotAllowed"),
        ("GET", "/reports?prefix=a&prefix=b", 400, "InvalidArgument"),
        ("GET", "/reports?prefix=%ff", 400, "InvalidURI"),
    ] {
        let answer = storage.call(method, path).send().await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(code(&answer), expected, "{path}");
    }
    // Refused before the token is looked at: the words are the proxy's own.
    for path in [
        "/reports/a/../b",
        "/reports/a/%2e%2e/b",
        "/reports/a%2F..%2Fb",
    ] {
        let answer = storage.get(path).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "PROXY_PATH_INVALID".into())
        );
    }
    assert!(storage.tap.requests().is_empty());
    storage.is_unharmed("a").await;
}

#[tokio::test]
async fn a_key_that_the_server_refuses_is_not_the_callers_affair() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let wrong = sallygate::Credential::new(format!("{}:wrong", storage.server.id)).unwrap();
    let target = format!("http://{}", storage.tap.addr);
    let target = sallygate::Target::dangerous_plaintext(&target).unwrap();
    let s3 = sallygate::service::S3::new(target, super::REGION, wrong).unwrap();
    let front = storage
        .scene
        .stack
        .serve(storage.scene.stack.layer_with("s3", s3).into_service())
        .await;
    let answer = front
        .get("/proxy/s3/reports/a", &storage.scene.token)
        .send()
        .await;
    assert_eq!(answer.status, 403);
    storage.is_unharmed("a").await;

    for text in ["no-colon-in-it", ":secret-without-id", "id-without-secret:"] {
        let target = sallygate::Target::dangerous_plaintext("http://127.0.0.1:1").unwrap();
        let key = sallygate::Credential::new(text).unwrap();
        let s3 = sallygate::service::S3::new(target, super::REGION, key).unwrap();
        let front = storage
            .scene
            .stack
            .serve(storage.scene.stack.layer_with("s3", s3).into_service())
            .await;
        let answer = front
            .get("/proxy/s3/reports/a", &storage.scene.token)
            .send()
            .await;
        assert_eq!((answer.status, code(&answer)), (503, "ServiceUnavailable"));
    }
}

#[tokio::test]
async fn without_a_good_token_nothing_is_sent() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let bad = format!("{}x", storage.scene.token);
    let missing = storage
        .call("GET", "/reports/a")
        .unauthorized()
        .send()
        .await;
    assert_eq!(
        (missing.status, missing.code()),
        (401, "PROXY_TOKEN_MISSING".into())
    );
    for authorization in [
        format!("Bearer {bad}"),
        super::signed(&bad),
        format!("AWS {}:sig", storage.scene.token),
    ] {
        let call = storage.call("GET", "/reports/a").unauthorized();
        let answer = call.header("authorization", authorization).send().await;
        assert_eq!(answer.status, 401);
    }
    assert!(storage.tap.requests().is_empty());
    let signed = storage.call("GET", "/reports/a").signed().send().await;
    assert_eq!(code_of_the_server(&signed), "NoSuchKey");
    storage.is_unharmed("a").await;
}

#[tokio::test]
async fn a_session_token_goes_with_the_signature_and_comes_back_in_no_header() {
    let (id, session) = (
        "AKIAIOSFODNN7EXAMPLE",
        "FwoGZXIvYXdzEXAMPLEsession+token/==",
    );
    let stack = sallygate_test_support::Stack::answering(move |_| {
        let head =
            format!("200 OK\nx-amz-echo: {session}\nx-amz-other: key {id}\nx-amz-id-2: kept");
        sallygate_test_support::Reply::response(&head, "hello")
    })
    .await;
    stack.upstream.accept(format!("Credential={id}/"));
    let target = sallygate::Target::dangerous_plaintext(&format!("http://{}", stack.upstream.addr));
    let secret = stack.oracle.secret("secret access key");
    let key = sallygate::Credential::new(format!("{id}:{secret}:{session}")).unwrap();
    let s3 = sallygate::service::S3::new(target.unwrap(), super::REGION, key).unwrap();
    let front = stack.serve(stack.layer_with("s3", s3).into_service()).await;
    let call = front.get("/proxy/s3/reports/a", &stack.token());
    let call = call.header("x-amz-security-token", "the caller's own");
    let answer = call.header("x-amz-date", "20200101T000000Z").send().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(answer.header("x-amz-echo"), Some("[redacted]"));
    assert_eq!(answer.header("x-amz-other"), Some("[redacted]"));
    assert_eq!(answer.header("x-amz-id-2"), Some("kept"));
    let sent = stack.upstream.last();
    assert_eq!(sent.values("x-amz-security-token"), [session]);
    assert_eq!(sent.values("x-amz-date").len(), 1);
    assert!(!sent.head.contains("20200101"));
    let signed = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, ";
    assert!(
        sent.values("authorization")[0].contains(signed),
        "{}",
        sent.head
    );
}
