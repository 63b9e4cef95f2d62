use sallygate::{Api, Credential, Place};
use sallygate_test_support::{Reply, Slot, Stack};

use super::{
    basic,
    places::{Gate, field, header, invalid},
};

#[tokio::test]
async fn several_at_once() {
    const SECOND: &str = "second-0123456789";
    const THIRD: &str = "third-0123456789";
    let gate = Gate::with("\r\nx-app: COOKED\r\n", |stack| {
        let second = Credential::new(SECOND).unwrap();
        let third = Credential::new(THIRD).unwrap();
        Api::header(stack.target(), header("x-app"), stack.key.clone())
            .inject(sallygate::Injection::new(
                Place::query("key").unwrap(),
                second,
            ))
            .inject(sallygate::Injection::new(
                Place::path("/acct/{key}").unwrap(),
                third,
            ))
            .accept(Place::query("key").unwrap())
    })
    .await;
    for (query, fields) in [
        ("?b=2", vec![field("x-app", "TOKEN")]),
        ("?b=2&key=TOKEN", vec![]),
        (
            "?key=theirs&b=2&KEY=theirs",
            vec![field("x-app", "TOKEN"), field("X_App", "theirs")],
        ),
    ] {
        let arrived = gate.passes(&format!("/acct//a{query}"), &fields).await;
        let line = format!("GET /v1/acct/{THIRD}/a?b=2&key={SECOND} HTTP/1.1");
        assert_eq!(arrived.line(), line);
        assert_eq!(arrived.values("x-app").len(), 1);
        assert!(!arrived.head.contains("theirs"), "{}", arrived.head);
    }
    let bad = gate.refuses("/acct//a?key=TOKENx", &[]).await;
    assert_eq!(bad, invalid());
}

/// Each with a key that needs escaping, as its place writes it.
#[tokio::test]
async fn a_key_is_escaped_as_its_place_demands() {
    const KEY: &str = "a/b?c#d%2e&e=f+g h;i\\j\"k@l:m";
    let in_path = "a%2Fb%3Fc%23d%252e%26e=f+g%20h%3Bi%5Cj%22k@l:m";
    let in_query = "a%2Fb%3Fc%23d%252e%26e%3Df%2Bg%20h%3Bi%5Cj%22k%40l%3Am";
    let pair = basic(&format!("ada:{KEY}"));
    for (place, slot) in [
        (
            Place::path("/v3/{key}").unwrap(),
            format!("GET /v1/v3/{in_path}/a HTTP/1.1\r\n"),
        ),
        (
            Place::query("k").unwrap(),
            format!("GET /v1/v3//a?k={in_query} HTTP/1.1\r\n"),
        ),
        (
            Place::basic("ada").unwrap(),
            format!("\r\nauthorization: {pair}\r\n"),
        ),
        (
            Place::header(header("x-app")),
            format!("\r\nx-app: {KEY}\r\n"),
        ),
        (
            Place::prefixed(header("x-app"), "k=").unwrap(),
            format!("\r\nx-app: k={KEY}\r\n"),
        ),
    ] {
        let gate = Gate::with("", |stack| {
            stack.upstream.accept(slot);
            Api::new(
                stack.target(),
                sallygate::Injection::new(place, Credential::new(KEY).unwrap()),
            )
        })
        .await;
        let bearer = [field("authorization", "Bearer TOKEN")];
        let arrived = gate.passes("/v3//a", &bearer).await;
        assert_eq!(arrived.fields().len(), arrived.head.lines().count() - 2);
    }
}

#[tokio::test]
async fn a_key_that_its_place_cannot_hold_is_sent_nowhere() {
    let path = || Place::path("/v3/{key}").unwrap();
    let cookie = || Place::cookie("s").unwrap();
    for (place, key) in [
        (path(), "."),
        (path(), ".."),
        (path(), "%2e%2e"),
        (path(), "..;a"),
        (path(), "..\\.."),
        (path(), "../.."),
        (cookie(), "a;b=c"),
        (cookie(), "a b"),
        (cookie(), "a,b"),
        (cookie(), "a\"b"),
        (Place::basic_user(), "a:b"),
    ] {
        let gate = Gate::with("", |stack| {
            Api::new(
                stack.target(),
                sallygate::Injection::new(place, Credential::new(key).unwrap()),
            )
        })
        .await;
        let bearer = [field("authorization", "Bearer TOKEN")];
        let refused = gate.refuses("/v3//a", &bearer).await;
        assert_eq!(refused, (502, "PROXY_TRANSFORM_ERROR".into()), "{key}");
        let answer = gate.front.get("/proxy/other/a", &gate.token).send().await;
        assert_eq!(answer.text(), "other");
    }
    for (place, key, line) in [
        (path(), "...", "GET /v1/v3/.../a HTTP/1.1"),
        (path(), ".a", "GET /v1/v3/.a/a HTTP/1.1"),
        (
            Place::path("/v3/bot{key}").unwrap(),
            "..",
            "GET /v1/v3/bot../a HTTP/1.1",
        ),
    ] {
        let gate = Gate::with("", |stack| {
            stack.upstream.accept(line.to_owned());
            Api::new(
                stack.target(),
                sallygate::Injection::new(place, Credential::new(key).unwrap()),
            )
        })
        .await;
        let path = line.split(' ').nth(1).unwrap().replace("/v1", "");
        let asked = path.replacen(key, "TOKEN", 1);
        assert_eq!(gate.passes(&asked, &[]).await.line(), line);
    }
}

/// An upstream that names itself names the key, if it stands in its URL.
#[tokio::test]
async fn what_an_answer_shows_of_the_key_is_redacted() {
    let stack = Stack::answering(|request| {
        let line = request.line().to_owned();
        let path = line.split(' ').nth(1).unwrap();
        let here = format!("http://{}{path}", request.values("host")[0]);
        let plain = path.replace("%2F", "/");
        let head = format!(
            "302 Found\nlocation: {here}/file\ncontent-location: {path}\n\
             link: <{here}?page=2>; rel=next\nx-self: {plain}\nx-count: 3"
        );
        Reply::response(&head, "")
    })
    .await;
    let key = stack.secret_key.replace('/', "%2F");
    let query = Slot::Query("key").show(&stack.secret_key);
    for slot in [format!("/v1/bot{key}"), query] {
        stack.upstream.accept(slot);
    }
    let path = Place::path("/bot{key}").unwrap();
    let query = Api::query(stack.target(), "key", stack.key.clone()).unwrap();
    let layer = stack
        .layer_with(
            "path",
            Api::new(
                stack.target(),
                sallygate::Injection::new(path, stack.key.clone()),
            ),
        )
        .service("query", query)
        .unwrap();
    let front = stack.serve(layer.into_service()).await;
    let token = stack.token();
    for target in [
        format!("/proxy/path/bot{token}/a"),
        format!("/proxy/query/a?key={token}"),
    ] {
        let answer = front.request("GET", &target).send().await;
        assert_eq!(answer.status, 302);
        for name in ["location", "content-location", "link", "x-self"] {
            assert_eq!(answer.header(name), Some("[redacted]"), "{target} {name}");
        }
        assert_eq!(answer.header("x-count"), Some("3"));
    }
}
