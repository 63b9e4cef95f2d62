//! Revocations: whom they name, how many there may be, and when they take effect.

use std::{sync::Arc, time::Duration};

use sallygate::Policy;
use sallygate_test_support::{Answer, PATIENCE, Recorded, SOON, assert_refused, within};

use crate::streaming::scene::{post, served};

/// Head and body, but for the id and what goes with its length.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let fields = answer.fields.iter().filter(|(name, _)| name != "date");
    (answer.status, fields.cloned().collect(), answer.constant())
}

#[tokio::test]
async fn a_clock_that_is_put_back_does_not_undo_a_revocation() {
    for back in [0, 120] {
        let scene = served(Policy::new()).await;
        let token = scene.token_of("box-1");
        let (mut wire, mut answer) = post(&scene, "/proxy/svc/event", &token).await;
        assert!(wire.read_body(&mut answer).await);
        scene.stack.clock.advance(0_u64.wrapping_sub(back));
        scene.revocations.revoke_sandbox("box-1").unwrap();
        assert!(!within(SOON, async { wire.read_body(&mut answer).await }).await);
        assert!(!answer.complete);
        scene.is_good().await;
    }
}

#[tokio::test]
async fn a_revoked_token_is_answered_like_any_other_bad_one() {
    let scene = served(Policy::new()).await;
    let token = scene.token_of("box-1");
    // Verified once, and known from then on.
    let good = scene.front.get("/proxy/svc/a", &token).send().await;
    assert_eq!(good.status, 200);
    let mut wire = scene.front.connect().await;
    wire.send(scene.front.get("/proxy/svc/silence", &token).bytes())
        .await;
    scene.stack.upstream.until(|all| all.len() == 2).await;
    scene.revocations.revoke_sandbox("box-1").unwrap();
    let under_way = told(&wire.answer().await);
    let bad = scene.front.get("/proxy/svc/a", "x.y.z").send().await;
    assert_refused(&bad, 401, "PROXY_TOKEN_INVALID");
    assert_eq!(under_way, told(&bad));
    for service in ["svc", "other", "nothing"] {
        let path = format!("/proxy/{service}/a");
        let answer = scene.front.get(&path, &token).send().await;
        assert_eq!(told(&answer), told(&bad), "{service}");
    }
    assert_eq!(scene.stack.upstream.requests().len(), 2);
}

#[tokio::test]
async fn the_id_of_a_token_is_a_string_or_the_token_is_none() {
    let scene = served(Policy::new()).await;
    let now = scene.stack.clock.seconds();
    let long = "i".repeat(257);
    for (jti, status) in [
        (String::new(), 200),
        (r#","jti":"é/\"\u0061 ""#.into(), 200),
        (format!(r#","jti":"{}""#, &long[1..]), 200),
        (format!(r#","jti":"{long}""#), 401),
        (r#","jti":"""#.into(), 401),
        (r#","jti":"a\u0000""#.into(), 401),
        (r#","jti":7"#.into(), 401),
        (r#","jti":["a"]"#.into(), 401),
        (r#","jti":"a","jti":"b""#.into(), 401),
    ] {
        let exp = now + 60;
        let claims = format!(r#"{{"sandboxId":"box-1","iat":{now},"exp":{exp}{jti}}}"#);
        let header = r#"{"alg":"HS256","typ":"JWT"}"#;
        let token = scene.stack.watched(scene.stack.sign(header, claims));
        let answer = scene.front.get("/proxy/svc/a", &token).send().await;
        assert_eq!(answer.status, status, "{jti}");
        if jti.contains("u0061") {
            scene.revocations.revoke_token("é/\"a ").unwrap();
            let answer = scene.front.get("/proxy/svc/a", &token).send().await;
            assert_eq!(answer.status, 401, "{jti}");
        }
    }
    for id in ["", "a\u{0}", "\u{85}", &long] {
        assert!(scene.revocations.revoke_token(id).is_err());
        assert!(scene.revocations.revoke_sandbox(id).is_err());
        assert!(scene.revocations.revoke_session("box-1", id).is_err());
    }
}

#[tokio::test]
async fn thousands_of_revocations_end_what_they_name_and_nothing_else() {
    const STREAMS: usize = 200;
    let scene = served(Policy::new()).await;
    let mut wires = Vec::new();
    for number in 0..STREAMS {
        let token = scene.token_of(&format!("box-{number}"));
        wires.push(post(&scene, "/proxy/svc/event", &token).await);
    }
    for number in 0..2000 {
        scene
            .revocations
            .revoke_token(&format!("id-{number}"))
            .unwrap();
        scene
            .revocations
            .revoke_session(&format!("box-{}", number % STREAMS), "run")
            .unwrap();
    }
    for (wire, _) in &mut wires {
        wire.send("1\r\nb\r\n").await;
    }
    let alive = |all: &[Recorded]| all.iter().filter(|one| one.body == b"ab").count();
    scene
        .stack
        .upstream
        .until(|all| alive(all) == STREAMS)
        .await;
    for number in 0..STREAMS {
        scene
            .revocations
            .revoke_sandbox(&format!("box-{number}"))
            .unwrap();
    }
    scene.stack.upstream.until_deserted(SOON).await;
    for (wire, answer) in &mut wires {
        while wire.read_body(answer).await {}
        assert!(!answer.complete);
    }
    scene.is_good().await;
}

/// Requests and revocations at once: whatever stage a request is in, nothing goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_at_any_moment_ends_the_request() {
    let scene = Arc::new(served(Policy::new()).await);
    let mut running = Vec::new();
    for number in 0..200_u64 {
        let sandbox = format!("box-{number}");
        let token = scene.token_of(&sandbox);
        let revocations = scene.revocations.clone();
        let scene = scene.clone();
        running.push(tokio::spawn(async move {
            let mut wire = scene.front.connect().await;
            let request = scene
                .front
                .request("POST", "/proxy/svc/event")
                .token(&token);
            let request = request.header("transfer-encoding", "chunked");
            wire.send(request.bytes()).await;
            tokio::time::sleep(Duration::from_micros(number * 37 % 3000)).await;
            revocations.revoke_sandbox(&sandbox).unwrap();
            wire.send("1\r\na\r\n").await;
            let head = wire.raw_head().await;
            (head, wire.rest().await)
        }));
    }
    let mut refused = 0;
    for one in running {
        let (head, body) = within(PATIENCE, one).await.unwrap();
        if head.starts_with("HTTP/1.1 401 ") {
            refused += 1;
        } else {
            // An answer may be broken off before its head is out.
            assert!(
                head.starts_with("HTTP/1.1 200 ") || head.is_empty(),
                "{head}"
            );
            assert!(!body.ends_with(b"0\r\n\r\n"));
        }
    }
    assert!(refused > 0);
    scene.stack.upstream.until_deserted(SOON).await;
    scene.is_good().await;
}

/// Otherwise one of them could revoke for a shorter time than tokens live.
#[tokio::test]
async fn clones_of_revocations_have_their_settings_in_common() {
    let scene = served(Policy::new()).await;
    let token = scene.token_of("box-1");
    let status = async || scene.front.get("/proxy/svc/a", &token).send().await.status;
    assert_eq!(status().await, 200);
    let clone = scene.revocations.clone();
    let clone = clone.max_lifetime(Duration::from_secs(60));
    // It would outlive what a revocation is good for.
    assert_eq!(status().await, 401);
    let clone = clone.max_lifetime(Duration::from_secs(15 * 60));
    assert_eq!(status().await, 200);
    clone.revoke_sandbox("box-1").unwrap();
    scene.stack.clock.advance(121);
    assert_eq!(status().await, 401);
    scene.is_good().await;
}
