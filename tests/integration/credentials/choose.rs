use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use sallygate::{Credential, credential::SourceError};
use sallygate_test_support::{Answer, Front, assert_refused};
use serde::{Deserialize, Serialize};

use super::{
    endpoint::Mood,
    grants::{Flow, Grants, refused},
};

/// A credential by the name it has in the claims.
#[derive(Clone, Serialize, Deserialize)]
struct Reference {
    credential: String,
}

/// Two tenants: the first token the endpoint issues is the one's, the second the other's.
async fn tenants(grants: &Grants) -> HashMap<&'static str, Credential> {
    let tenants = HashMap::from([
        ("one", grants.credential(Flow::ClientCredentials)),
        ("other", grants.credential(Flow::GitHubApp)),
    ]);
    for name in ["one", "other"] {
        assert_eq!(grants.get(&tenants[name]).await.status, 200);
    }
    tenants
}

async fn front(grants: &Grants, credential: &Credential) -> Front {
    let layer = grants.layer(credential);
    let handle = layer.handle();
    handle.set_verifier(grants.stack.verifier().claims::<Reference>());
    grants.stack.serve(layer.into_service()).await
}

async fn get(grants: &Grants, front: &Front, sandbox: &str, reference: &str) -> Answer {
    let own = Reference {
        credential: reference.into(),
    };
    let token = grants.stack.issuer.issue(sandbox).claims(&own).sign();
    let token = grants.stack.watched(token.unwrap());
    front.get("/proxy/svc/a", &token).send().await
}

#[tokio::test]
async fn each_tenant_gets_its_own_key_by_a_reference_in_its_claims() {
    let grants = Grants::new().await;
    let tenants = tenants(&grants).await;
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
    grants.stack.oracle.saw_debug(&credential);
    let front = front(&grants, &credential).await;
    for (number, tenant) in [(1, "one"), (2, "other"), (1, "one")] {
        assert_eq!(get(&grants, &front, "box", tenant).await.status, 200);
        assert_eq!(grants.received().last(), Some(&number), "{tenant}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3, "once for each request");

    let passed = grants.received().len();
    refused(&get(&grants, &front, "box", "nobody").await);
    refused(&get(&grants, &front, "one", "").await);
    let answer = get(&grants, &front, "one", "forbidden").await;
    assert_refused(&answer, 403, "PROXY_FORBIDDEN");
    assert_eq!(grants.received().len(), passed);

    let many = (0..200).map(|index| {
        let tenant = if index % 2 == 0 { "one" } else { "other" };
        get(&grants, &front, "box", tenant)
    });
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer.status, 200);
    }
    let received = grants.received();
    for number in [1, 2] {
        let count = received[passed..]
            .iter()
            .filter(|got| **got == number)
            .count();
        assert_eq!(count, 100);
    }
    assert_eq!(grants.endpoint.calls().len(), 2, "what was fetched is kept");
}

#[tokio::test]
async fn the_key_at_the_upstream_is_the_callers_own_also_after_it_was_refused() {
    let grants = Grants::new().await;
    let tenants = tenants(&grants).await;
    let credential = Credential::choose(move |ctx| {
        let tenant = tenants.get(ctx.claims().sandbox_id()).cloned();
        tenant.ok_or(SourceError::Missing)
    });
    let front = front(&grants, &credential).await;
    grants.ledger.revoke();
    let bodies = async |sandbox| {
        let before = grants.stack.upstream.requests().len();
        assert_eq!(get(&grants, &front, sandbox, "-").await.status, 200);
        let requests = grants.stack.upstream.requests();
        assert_eq!(requests.len(), before + 2);
    };
    bodies("one").await;
    bodies("other").await;
    assert_eq!(grants.received()[2..], [1, 3, 2, 4]);
    let kinds: Vec<_> = grants
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
    let grants = Grants::new().await;
    let tenants = tenants(&grants).await;
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
    let front = front(&grants, &credential).await;
    let answer = get(&grants, &front, "panic", "-").await;
    assert_refused(&answer, 500, "PROXY_INTERNAL");
    refused(&get(&grants, &front, "again", "-").await);
    assert_eq!(grants.received(), [1, 2]);
    assert_eq!(get(&grants, &front, "fine", "-").await.status, 200);
    assert_eq!(grants.received(), [1, 2, 1]);
}

#[tokio::test]
async fn a_tenant_whose_source_fails_does_not_harm_another() {
    let grants = Grants::new().await;
    let tenants = tenants(&grants).await;
    let credential = Credential::choose(move |ctx| {
        let tenant = tenants.get(ctx.claims().sandbox_id()).cloned();
        tenant.ok_or(SourceError::Missing)
    });
    let front = front(&grants, &credential).await;
    grants.ledger.live(60);
    grants.stack.clock.advance(3600);
    grants.endpoint.mood(Mood::Down);
    refused(&get(&grants, &front, "one", "-").await);
    grants.endpoint.mood(Mood::Issue);
    assert_eq!(get(&grants, &front, "other", "-").await.status, 200);
    assert_eq!(grants.received(), [1, 2, 3]);
}
