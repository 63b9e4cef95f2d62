use sallygate::credential::SourceError;

use super::{
    endpoint::Mood,
    grants::{FLOWS, Flow, Grants, refused},
};

const CROWD: usize = 1000;

const CROWDED: [Flow; 3] = [Flow::ClientCredentials, Flow::GitHubApp, Flow::GoogleAccess];

#[tokio::test]
async fn each_flow_brings_its_token_to_the_upstream_and_keeps_it() {
    for flow in FLOWS {
        let grants = Grants::new().await;
        let credential = grants.credential(flow);
        assert_eq!(grants.endpoint.calls().len(), 0, "nobody asked yet");
        for _ in 0..2 {
            let answer = grants.get(&credential).await;
            assert_eq!((answer.status, answer.text()), (200, "hello"), "{flow:?}");
        }
        assert_eq!(grants.received(), [1, 1], "{flow:?}");
        assert_eq!(grants.endpoint.calls().len(), 1, "{flow:?}");
    }
}

#[tokio::test]
async fn a_token_is_replaced_in_the_background_before_it_ends() {
    for flow in FLOWS {
        let grants = Grants::new().await;
        let credential = grants.credential(flow);
        assert_eq!(grants.get(&credential).await.status, 200);
        // Five minutes before the hour is over.
        grants.stack.clock.advance(3299);
        assert_eq!(grants.get(&credential).await.status, 200);
        assert_eq!(grants.endpoint.calls().len(), 1, "{flow:?}");

        grants.endpoint.mood(Mood::Hold);
        grants.stack.clock.advance(1);
        for _ in 0..3 {
            assert_eq!(grants.get(&credential).await.status, 200);
            grants.endpoint.until(2).await;
        }
        assert_eq!(grants.received(), [1, 1, 1, 1, 1], "{flow:?}");
        grants.endpoint.mood(Mood::Issue);
        grants.until_received(&credential, 2).await;
        assert_eq!(grants.endpoint.calls().len(), 2, "{flow:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_at_first_use_and_at_expiry_asks_once_each() {
    for flow in CROWDED {
        let grants = Grants::new().await;
        let credential = grants.credential(flow);
        for calls in 1..=2 {
            let statuses = grants.get_at_once(&credential, CROWD).await;
            assert_eq!(statuses, [200; CROWD], "{flow:?}");
            assert_eq!(grants.endpoint.calls().len(), calls, "{flow:?}");
            grants.stack.clock.advance(3600);
        }
        let mut received = grants.received();
        received.dedup();
        assert_eq!(received, [1, 2], "{flow:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_notices_nothing_when_the_upstream_stops_taking_the_token() {
    for flow in CROWDED {
        let grants = Grants::new().await;
        let credential = grants.credential(flow);
        assert_eq!(grants.get(&credential).await.status, 200);
        let statuses = {
            let before = grants.get_at_once(&credential, CROWD / 2);
            let after = async {
                let some = |requests: &[_]| requests.len() > CROWD / 4;
                grants.stack.upstream.until(some).await;
                grants.ledger.revoke();
                grants.get_at_once(&credential, CROWD / 2).await
            };
            let (before, after) = tokio::join!(before, after);
            [before, after].concat()
        };
        assert_eq!(statuses, [200; CROWD], "{flow:?}");
        assert_eq!(grants.endpoint.calls().len(), 2, "{flow:?}");
    }
}

#[tokio::test]
async fn while_the_endpoint_is_down_a_token_serves_to_its_end_and_then_all_is_mended() {
    for flow in FLOWS {
        let grants = Grants::new().await;
        let credential = grants.credential(flow);
        assert_eq!(grants.get(&credential).await.status, 200);
        grants.endpoint.mood(Mood::Down);
        for seconds in [3300, 100, 199] {
            grants.stack.clock.advance(seconds);
            assert_eq!(grants.get(&credential).await.status, 200, "{flow:?}");
        }
        assert_eq!(grants.received(), [1, 1, 1, 1], "{flow:?}");
        grants.stack.clock.advance(1);
        refused(&grants.get(&credential).await);
        assert_eq!(grants.failure(&credential).await, SourceError::Unreachable);
        assert_eq!(grants.received().len(), 4, "the upstream is not asked");

        grants.endpoint.mood(Mood::Issue);
        grants.stack.clock.advance(1);
        assert_eq!(grants.get(&credential).await.status, 200, "{flow:?}");
        assert_eq!(grants.received().last(), Some(&2), "{flow:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_not_asked_more_than_once_a_second() {
    let grants = Grants::new().await;
    let credential = grants.credential(FLOWS[0]);
    grants.endpoint.mood(Mood::Down);
    let statuses = grants.get_at_once(&credential, 50).await;
    assert_eq!(statuses, [503; 50]);
    refused(&grants.get(&credential).await);
    assert_eq!(grants.endpoint.calls().len(), 1);
    grants.stack.clock.advance(1);
    refused(&grants.get(&credential).await);
    assert_eq!(grants.endpoint.calls().len(), 2);
}
