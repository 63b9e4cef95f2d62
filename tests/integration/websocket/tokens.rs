//! Where the token stands in a handshake, and that it goes no further.

use base64::{Engine, engine::general_purpose::STANDARD};
use sallygate::{Api, Credential, Injection, Place};
use sallygate_test_support::{
    Slot,
    websocket::{Server, ask, exchange, field, handshake_at, switching},
};

#[tokio::test]
async fn the_token_is_taken_from_wherever_the_service_says_and_never_reaches_the_upstream() {
    let server = Server::switching("").await;
    let mut scene = server
        .scene()
        .await
        .api(|service| {
            service
                .accept(Place::query("token").unwrap())
                .accept(Place::basic("").unwrap())
                .accept(Place::cookie("session").unwrap())
                .accept(Place::subprotocol("token.").unwrap())
        })
        .start()
        .await;
    let token = scene.token.clone();
    let basic = |token: &str| STANDARD.encode(format!("x:{token}"));
    for (query, fields) in [
        ("", format!("Authorization: Bearer {token}\r\n")),
        (&*format!("&token={token}"), String::new()),
        ("", format!("Authorization: Basic {}\r\n", basic(&token))),
        ("", format!("Cookie: a=b; session={token}\r\n")),
        (
            "",
            format!("Sec-WebSocket-Protocol: realtime, token.{token}, v1\r\n"),
        ),
    ] {
        let request = handshake_at(&format!("/proxy/ws/chat?room=1{query}"), &fields);
        let (answer, mut caller) = ask(scene.front.addr, &request).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{fields}: {answer}");
        let (head, mut upstream) = scene.upstream.next().await;
        assert!(
            head.starts_with("GET /v1/chat?room=1 HTTP/1.1\r\n"),
            "{head}"
        );
        let slot = Slot::Bearer.show(&scene.stack.secret_key);
        assert!(head.contains(&slot), "{head}");
        scene
            .stack
            .oracle
            .saw_request("ws", head.as_bytes(), &[slot]);
        exchange(&mut caller, &mut upstream).await;

        let bad = "no.such.token";
        let request = request
            .replace(&token, bad)
            .replace(&basic(&token), &basic(bad));
        let (answer, _) = ask(scene.front.addr, &request).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{fields}: {answer}");
    }
    assert!(scene.upstream.is_untouched());
}

#[tokio::test]
async fn subprotocols_beside_the_token_are_kept_and_the_one_chosen_is_echoed() {
    let server = Server::switching("Sec-WebSocket-Protocol: v2\r\n").await;
    let mut scene = server
        .scene()
        .await
        .api(|service| service.accept(Place::subprotocol("token.").unwrap()))
        .start()
        .await;
    let token = &scene.token;
    let fields = format!(
        "Sec-WebSocket-Protocol: v1,token.{token}\r\nSec-WebSocket-Protocol:v2 ,, {token}\r\n"
    );
    let (answer, _caller) = ask(scene.front.addr, &handshake_at("/proxy/ws/chat", &fields)).await;
    assert_eq!(field(&answer, "sec-websocket-protocol"), "v2");
    let (head, _upstream) = scene.upstream.next().await;
    let lists = head
        .lines()
        .filter_map(|line| line.strip_prefix("sec-websocket-protocol: "));
    assert_eq!(lists.collect::<Vec<_>>(), ["v1", "v2"]);

    // It was the only one: then there is no list.
    let fields = format!("Sec-WebSocket-Protocol: token.{token}\r\n");
    let request = handshake_at("/proxy/ws/chat", &fields);
    let (_, _caller) = ask(scene.front.addr, &request).await;
    let (head, _upstream) = scene.upstream.next().await;
    assert_eq!(field(&head, "sec-websocket-protocol"), "");
}

#[tokio::test]
async fn the_credential_is_put_among_the_subprotocols_in_place_of_what_the_caller_has_there() {
    let server = Server::switching("Sec-WebSocket-Protocol: realtime\r\n").await;
    let mut scene = server.scene().await.start().await;
    let place = Place::subprotocol("openai-insecure-api-key.").unwrap();
    let key = scene.stack.oracle.listable_secret();
    let credential = Credential::new(&key).unwrap();
    let service = Api::new(
        scene.upstream.target(),
        Injection::new(place.clone(), credential),
    );
    let layer = scene.stack.layer_with("ws", service);
    let front = scene.stack.serve(layer.into_service()).await;
    let token = scene.token.clone();
    let slot = format!("openai-insecure-api-key.{key}");
    for fields in [
        format!("Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{token}, beta\r\n"),
        format!(
            "Sec-WebSocket-Protocol: realtime, OpenAI-Insecure-Api-Key.mine, beta\r\n\
             Authorization: Bearer {token}\r\n"
        ),
        format!(
            "Sec-WebSocket-Protocol: realtime\r\nSec-WebSocket-Protocol: beta\r\n\
             Sec_WebSocket_Protocol: other\r\nAuthorization: Bearer {token}\r\n"
        ),
    ] {
        let (answer, mut caller) = ask(front.addr, &handshake_at("/proxy/ws/chat", &fields)).await;
        assert_eq!(
            field(&answer, "sec-websocket-protocol"),
            "realtime",
            "{answer}"
        );
        let (head, mut upstream) = scene.upstream.next().await;
        assert_eq!(
            field(&head, "sec-websocket-protocol"),
            format!("realtime, beta, {slot}"),
            "{head}"
        );
        assert!(!head.contains("mine") && !head.contains("other"), "{head}");
        let oracle = &scene.stack.oracle;
        oracle.saw_request("ws", head.as_bytes(), std::slice::from_ref(&slot));
        exchange(&mut caller, &mut upstream).await;
    }
    // One that has no place in such a list.
    let service = Api::new(
        scene.upstream.target(),
        Injection::new(place, scene.stack.key.clone()),
    );
    let broken = format!("{}/,", &key[..20]);
    scene.stack.key.rotate(broken).unwrap();
    let layer = scene.stack.layer_with("ws", service);
    let front = scene.stack.serve(layer.into_service()).await;
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let (answer, _) = ask(front.addr, &handshake_at("/proxy/ws/chat", &bearer)).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(scene.upstream.is_untouched());
    for wrong in ["", "a b.", "a,b"] {
        assert!(Place::subprotocol(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn an_upstream_that_echoes_the_credential_as_a_subprotocol_does_not_show_it() {
    let server = Server::answering(|head| {
        let list = field(head, "sec-websocket-protocol");
        let last = list.rsplit(", ").next().unwrap();
        switching(head, &format!("Sec-WebSocket-Protocol: {last}\r\n"))
    })
    .await;
    let place = Place::subprotocol("key.").unwrap();
    let scene = server.scene().await.start().await;
    let credential = Credential::new(scene.stack.oracle.listable_secret()).unwrap();
    let service = Api::new(scene.upstream.target(), Injection::new(place, credential));
    let layer = scene.stack.layer_with("ws", service);
    let front = scene.stack.serve(layer.into_service()).await;
    let fields = format!("Sec-WebSocket-Protocol: key.{}\r\n", scene.token);
    let (answer, _) = ask(front.addr, &handshake_at("/proxy/ws/chat", &fields)).await;
    scene.stack.oracle.saw("answer", answer.clone());
    assert!(!answer.contains("key."), "{answer}");
}

#[tokio::test]
async fn with_a_token_in_a_cookie_only_pages_of_the_same_site_open_one() {
    let server = Server::switching("").await;
    let mut scene = server
        .scene()
        .await
        .api(|service| service.accept(Place::cookie("session").unwrap()))
        .start()
        .await;
    let cookie = format!("Cookie: session={}\r\n", scene.token);
    let bearer = format!("Authorization: Bearer {}\r\n", scene.token);
    for (token, fields, status) in [
        (&cookie, "", 101),
        (&cookie, "Origin: http://gate.test\r\n", 101),
        (&cookie, "Sec-Fetch-Site: same-origin\r\n", 101),
        (&cookie, "Origin: http://evil.test\r\n", 403),
        (&cookie, "Origin: null\r\n", 403),
        (
            &cookie,
            "Sec-Fetch-Site: cross-site\r\nOrigin: http://gate.test\r\n",
            403,
        ),
        (
            &cookie,
            "Sec-Fetch-Site: same-site\r\nOrigin: http://a.gate.test\r\n",
            403,
        ),
        // No browser adds this one by itself.
        (&bearer, "Origin: http://evil.test\r\n", 101),
    ] {
        let request = handshake_at("/proxy/ws/chat", &format!("{token}{fields}"));
        let (answer, _caller) = ask(scene.front.addr, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{fields}: {answer}"
        );
        if status == 101 {
            let (head, _) = scene.upstream.next().await;
            assert_eq!(field(&head, "cookie"), "");
            assert_eq!(field(&head, "origin"), "");
        }
        assert!(scene.upstream.is_untouched(), "{fields}");
    }
}

/// Pages in browsers can set no header of a WebSocket, so this API takes key, organization and project from the list of
/// subprotocols, too. The key may come there instead of the token; none of them is the caller's choice.
#[tokio::test]
async fn the_caller_of_a_websocket_chooses_neither_the_account_nor_another_key() {
    let server = Server::switching("Sec-WebSocket-Protocol: realtime\r\n").await;
    let mut scene = server.scene().await.start().await;
    let openai = Api::openai(scene.stack.key.clone()).with_target(scene.upstream.target());
    let layer = scene.stack.layer_with("ws", openai);
    let front = scene.stack.serve(layer.into_service()).await;
    let token = scene.token.clone();
    let mut wrong = Vec::new();
    for (kept, more) in [
        ("realtime", ""),
        ("realtime", ", openai-insecure-api-key.sk-theirs"),
        ("realtime", ", openai-organization.org-theirs"),
        ("realtime", ", openai-project.proj_theirs"),
        (
            "realtime, openai-beta.realtime-v1",
            ", openai-project.proj_theirs",
        ),
    ] {
        for own in [
            format!("Authorization: Bearer {token}\r\nSec-WebSocket-Protocol: {kept}{more}\r\n"),
            format!("Sec-WebSocket-Protocol: {kept}, openai-insecure-api-key.{token}{more}\r\n"),
        ] {
            let request = handshake_at("/proxy/ws/v1/realtime?model=m", &own);
            let (answer, _caller) = ask(front.addr, &request).await;
            assert!(answer.starts_with("HTTP/1.1 101 "), "{own}: {answer}");
            let (head, _upstream) = scene.upstream.next().await;
            let slot = Slot::Bearer.show(&scene.stack.secret_key);
            assert!(head.contains(&slot), "{head}");
            if field(&head, "sec-websocket-protocol") != kept {
                wrong.push(field(&head, "sec-websocket-protocol").to_owned());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
