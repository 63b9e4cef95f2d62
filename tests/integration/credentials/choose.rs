use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use sallygate::{Credential, credential::SourceError};
use sallygate_test_support::{Answer, Front};
use serde::{Deserialize, Serialize};

use super::{
    endpoint::Mood,
    scene::{Flow, Scene, refused},
};

/// A credential by the name it has in the claims.
#[derive(Clone, Serialize, Deserialize)]
struct Reference {
    credential: String,
}

/// Two tenants: the first token the endpoint issues is the one's, the second the other's.
async fn tenants(scene: &Scene) -> HashMap<&'static str, Credential> {
    let tenants = HashMap::from([
        ("one", scene.credential(Flow::ClientCredentials)),
        ("other", scene.credential(Flow::GitHubApp)),
    ]);
    for name in ["one", "other"] {
        assert_eq!(scene.get(&tenants[name]).await.status, 200);
    }
    tenants
}

async fn front(scene: &Scene, credential: &Credential) -> Front {
    let layer = scene.layer(credential);
    let handle = layer.handle();
    handle.set_verifier(scene.stack.verifier().claims::<Reference>());
    scene.stack.serve(layer.into_service()).await
}

async fn get(scene: &Scene, front: &Front, sandbox: &str, reference: &str) -> Answer {
    let own = Reference {
        credential: reference.into(),
    };
    let token = scene.stack.issuer.issue(sandbox).claims(&own).sign();
    let token = scene.stack.watched(token.unwrap());
    front.get("/proxy/svc/a", &token).send().await
}

#[tokio::test]
async fn each_tenant_gets_its_own_key_by_a_reference_in_its_claims() {
    let scene = Scene::new().await;
    let tenants = tenants(&scene).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let credential = Credential::choose({
        let asked = asked.clone();
        move |ctx| {
            asked.fetch_add(1, Ordering::SeqCst);
            let reference: &Reference = ctx.claims().get().ok_or(SourceError::Missing)?;
            let tenant = tenants.get(&*reference.credential).cloned();
            tenant.ok_or(match &*reference.credential {
                "forbidden" => SourceError::Forbidden,
                _ => SourceError::Missing,
            })
        }
    });
    scene.stack.oracle.saw_debug(&credential);
    let front = front(&scene, &credential).await;
    for (number, tenant) in [(1, "one"), (2, "other"), (1, "one")] {
        assert_eq!(get(&scene, &front, "box", tenant).await.status, 200);
        assert_eq!(scene.received().last(), Some(&number), "{tenant}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3, "once for each request");

    let passed = scene.received().len();
    refused(&get(&scene, &front, "box", "nobody").await);
    refused(&get(&scene, &front, "one", "").await);
    let answer = get(&scene, &front, "one", "forbidden").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "PROXY_FORBIDDEN")
    );
    assert_eq!(scene.received().len(), passed);

    let many = (0..200).map(|index| {
        let tenant = if index % 2 == 0 { "one" } else { "other" };
        get(&scene, &front, "box", tenant)
    });
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer.status, 200);
    }
    let received = scene.received();
    for number in [1, 2] {
        let count = received[passed..]
            .iter()
            .filter(|got| **got == number)
            .count();
        assert_eq!(count, 100);
    }
    assert_eq!(scene.endpoint.calls().len(), 2, "what was fetched is kept");
}

#[tokio::test]
async fn the_key_at_the_upstream_is_the_callers_own_also_after_it_was_refused() {
    let scene = Scene::new().await;
    let tenants = tenants(&scene).await;
    let credential = Credential::choose(move |ctx| {
        let tenant = tenants.get(ctx.claims().sandbox_id()).cloned();
        tenant.ok_or(SourceError::Missing)
    });
    let front = front(&scene, &credential).await;
    scene.ledger.revoke();
    let bodies = async |sandbox| {
        let before = scene.stack.upstream.requests().len();
        assert_eq!(get(&scene, &front, sandbox, "-").await.status, 200);
        let requests = scene.stack.upstream.requests();
        assert_eq!(requests.len(), before + 2);
    };
    bodies("one").await;
    bodies("other").await;
    assert_eq!(scene.received()[2..], [1, 3, 2, 4]);
    let kinds: Vec<_> = scene
        .endpoint
        .calls()
        .iter()
        .map(|call| call.line.clone())
        .collect();
    assert_eq!(kinds[2], "POST /token");
    assert!(kinds[3].ends_with("/access_tokens"));
}

#[tokio::test]
async fn a_chooser_that_panics_costs_one_request_and_one_that_leads_on_is_none() {
    let scene = Scene::new().await;
    let tenants = tenants(&scene).await;
    let one = tenants["one"].clone();
    let again = Credential::choose({
        let one = one.clone();
        move |_| Ok(one.clone())
    });
    let credential = Credential::choose(move |ctx| match ctx.claims().sandbox_id() {
        "panic" => panic!("in the embedder's code"),
        "again" => Ok(again.clone()),
        _ => Ok(one.clone()),
    });
    let front = front(&scene, &credential).await;
    let answer = get(&scene, &front, "panic", "-").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (500, "PROXY_INTERNAL")
    );
    refused(&get(&scene, &front, "again", "-").await);
    assert_eq!(scene.received(), [1, 2]);
    assert_eq!(get(&scene, &front, "fine", "-").await.status, 200);
    assert_eq!(scene.received(), [1, 2, 1]);
}

#[tokio::test]
async fn a_tenant_whose_source_fails_does_not_harm_another() {
    let scene = Scene::new().await;
    let tenants = tenants(&scene).await;
    let credential = Credential::choose(move |ctx| {
        let tenant = tenants.get(ctx.claims().sandbox_id()).cloned();
        tenant.ok_or(SourceError::Missing)
    });
    let front = front(&scene, &credential).await;
    scene.ledger.live(60);
    scene.stack.clock.advance(3600);
    scene.endpoint.mood(Mood::Down);
    refused(&get(&scene, &front, "one", "-").await);
    scene.endpoint.mood(Mood::Issue);
    assert_eq!(get(&scene, &front, "other", "-").await.status, 200);
    assert_eq!(scene.received(), [1, 2, 3]);
}
