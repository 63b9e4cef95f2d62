//! URLs that a caller has signed with its token as the access key id.

use std::time::{Duration, UNIX_EPOCH};

use super::{REGION, Storage, code};

/// The query of a URL made `ago` seconds ago, by the proxy's clock.
fn query(storage: &Storage, ago: u64, expires: &str) -> String {
    let made = UNIX_EPOCH + Duration::from_secs(storage.scene.stack.clock.seconds() - ago);
    let date = date(made.duration_since(UNIX_EPOCH).unwrap().as_secs());
    let (day, token) = (&date[..8], &storage.scene.token);
    format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={token}%2F{day}%2F{REGION}%2Fs3%2Faws4_request\
         &X-Amz-Date={date}&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host&X-Amz-Signature={}",
        "0".repeat(64)
    )
}

/// `YYYYMMDD'T'HHMMSS'Z'`.
fn date(seconds: u64) -> String {
    let (mut year, mut day) = (1970, seconds / 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 0;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        month += 1;
        if day < days {
            break;
        }
        day -= days;
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!(
        "{year:04}{month:02}{:02}T{hour:02}{minute:02}{second:02}Z",
        day + 1
    )
}

#[tokio::test]
async fn a_presigned_url_puts_and_gets() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let path = format!("/reports/a%20b?{}", query(&storage, 30, "60"));
    let put = storage
        .call("PUT", &path)
        .unauthorized()
        .body("hello")
        .send()
        .await;
    assert_eq!(put.status, 200, "{}", put.text());
    assert_eq!(storage.tap.last().line(), "PUT /reports/a%20b HTTP/1.1");
    let path = format!(
        "/reports/a%20b?response-content-type=text%2Fplain&{}",
        query(&storage, 60, "60")
    );
    let got = storage.call("GET", &path).unauthorized().send().await;
    assert_eq!((got.status, got.text()), (200, "hello"));
    assert_eq!(got.header("content-type"), Some("text/plain"));
    assert_eq!(
        storage.tap.last().line(),
        "GET /reports/a%20b?response-content-type=text%2Fplain HTTP/1.1"
    );
    assert!(storage.tap.last().value("authorization").is_some());
}

#[tokio::test]
async fn a_url_is_good_until_it_expires() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    storage.store("/reports/a", "hello");
    let path = format!("/reports/a?{}", query(&storage, 0, "60"));
    let get = async || storage.call("GET", &path).unauthorized().send().await;
    storage.scene.stack.clock.advance(60);
    assert_eq!(get().await.status, 200);
    storage.scene.stack.clock.advance(1);
    let late = get().await;
    assert_eq!((late.status, code(&late)), (403, "AccessDenied"));
    assert!(
        late.text()
            .contains("<Message>Request has expired</Message>")
    );
    assert_eq!(storage.tap.requests().len(), 1);
    // It is the URL that has expired, not the token.
    storage.is_unharmed("b").await;
}

#[tokio::test]
async fn a_url_says_when_it_was_made_and_for_how_long() {
    let Some(storage) = Storage::new(Ok).await else {
        return;
    };
    let good = query(&storage, 0, "60");
    let wrong = "AuthorizationQueryParametersError";
    for (query, status, expected) in [
        (query(&storage, 0, "0"), 400, wrong),
        (query(&storage, 0, "604801"), 400, wrong),
        (query(&storage, 0, "soon"), 400, wrong),
        (good.replace("&X-Amz-Expires=60", ""), 400, wrong),
        (good.replace("X-Amz-Date=2", "X-Amz-Date=x"), 400, wrong),
        (
            good.replace("X-Amz-Date=2", "X-Amz-Date=3"),
            403,
            "AccessDenied",
        ),
        (
            format!("{good}&X-Amz-Expires=604800"),
            400,
            "InvalidArgument",
        ),
        (good.split("&X-Amz-Date").next().unwrap().into(), 400, wrong),
    ] {
        let call = storage
            .call("GET", &format!("/reports/a?{query}"))
            .unauthorized();
        let answer = call.send().await;
        assert_eq!(
            (answer.status, code(&answer)),
            (status, expected),
            "{query}"
        );
    }
    let unsigned = storage
        .call("GET", "/reports/a?X-Amz-Expires=60")
        .unauthorized()
        .send()
        .await;
    assert_eq!(unsigned.status, 401);
    assert!(storage.tap.requests().is_empty());
    storage.is_unharmed("a").await;
}

#[tokio::test]
async fn headers_in_a_url_are_headers_and_held_to_the_same_rules() {
    let Some(storage) = Storage::limited().await else {
        return;
    };
    storage.store("/reports/secret", "secret");
    let path = |more: &str| {
        format!(
            "/reports/tenants/acme/a?{more}&{}",
            query(&storage, 0, "60")
        )
    };
    let put = storage
        .call("PUT", &path("x-amz-meta-owner=acme%20inc"))
        .unauthorized();
    let put = put.body("hello").send().await;
    assert_eq!(put.status, 200, "{}", put.text());
    assert_eq!(
        storage.tap.last().value("x-amz-meta-owner"),
        Some("acme inc")
    );
    assert_eq!(
        storage.tap.last().line(),
        "PUT /reports/tenants/acme/a HTTP/1.1"
    );
    let sent = storage.tap.requests().len();
    for more in [
        "x-amz-copy-source=reports/secret",
        "X-Amz-Copy-Source=%2Freports%2Fsecret",
    ] {
        let copy = storage
            .call("PUT", &path(more))
            .unauthorized()
            .body("")
            .send()
            .await;
        assert_eq!((copy.status, code(&copy)), (403, "AccessDenied"));
    }
    let twice = storage
        .call("PUT", &path("x-amz-acl=private"))
        .unauthorized();
    let twice = twice.header("x-amz-acl", "private").body("").send().await;
    assert_eq!((twice.status, code(&twice)), (400, "InvalidArgument"));
    assert_eq!(storage.tap.requests().len(), sent);
}
