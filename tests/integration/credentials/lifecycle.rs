use sallygate::credential::SourceError;

use super::{
    endpoint::Mood,
    scene::{FLOWS, Flow, Scene, refused},
};

const CROWD: usize = 1000;

const CROWDED: [Flow; 3] = [Flow::ClientCredentials, Flow::GitHubApp, Flow::GoogleAccess];

#[tokio::test]
async fn each_flow_brings_its_token_to_the_upstream_and_keeps_it() {
    for flow in FLOWS {
        let scene = Scene::new().await;
        let credential = scene.credential(flow);
        assert_eq!(scene.endpoint.calls().len(), 0, "nobody asked yet");
        for _ in 0..2 {
            let answer = scene.get(&credential).await;
            assert_eq!((answer.status, answer.text()), (200, "hello"), "{flow:?}");
        }
        assert_eq!(scene.received(), [1, 1], "{flow:?}");
        assert_eq!(scene.endpoint.calls().len(), 1, "{flow:?}");
    }
}

#[tokio::test]
async fn a_token_is_replaced_in_the_background_before_it_ends() {
    for flow in FLOWS {
        let scene = Scene::new().await;
        let credential = scene.credential(flow);
        assert_eq!(scene.get(&credential).await.status, 200);
        // Five minutes before the hour is over.
        scene.stack.clock.advance(3299);
        assert_eq!(scene.get(&credential).await.status, 200);
        assert_eq!(scene.endpoint.calls().len(), 1, "{flow:?}");

        scene.endpoint.mood(Mood::Hold);
        scene.stack.clock.advance(1);
        for _ in 0..3 {
            assert_eq!(scene.get(&credential).await.status, 200);
            scene.endpoint.until(2).await;
        }
        assert_eq!(scene.received(), [1, 1, 1, 1, 1], "{flow:?}");
        scene.endpoint.mood(Mood::Issue);
        scene.until_received(&credential, 2).await;
        assert_eq!(scene.endpoint.calls().len(), 2, "{flow:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_at_first_use_and_at_expiry_asks_once_each() {
    for flow in CROWDED {
        let scene = Scene::new().await;
        let credential = scene.credential(flow);
        for calls in 1..=2 {
            let statuses = scene.get_at_once(&credential, CROWD).await;
            assert_eq!(statuses, [200; CROWD], "{flow:?}");
            assert_eq!(scene.endpoint.calls().len(), calls, "{flow:?}");
            scene.stack.clock.advance(3600);
        }
        let mut received = scene.received();
        received.dedup();
        assert_eq!(received, [1, 2], "{flow:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_notices_nothing_when_the_upstream_stops_taking_the_token() {
    for flow in CROWDED {
        let scene = Scene::new().await;
        let credential = scene.credential(flow);
        assert_eq!(scene.get(&credential).await.status, 200);
        let statuses = {
            let before = scene.get_at_once(&credential, CROWD / 2);
            let after = async {
                let some = |requests: &[_]| requests.len() > CROWD / 4;
                scene.stack.upstream.until(some).await;
                scene.ledger.revoke();
                scene.get_at_once(&credential, CROWD / 2).await
            };
            let (before, after) = tokio::join!(before, after);
            [before, after].concat()
        };
        assert_eq!(statuses, [200; CROWD], "{flow:?}");
        assert_eq!(scene.endpoint.calls().len(), 2, "{flow:?}");
    }
}

#[tokio::test]
async fn while_the_endpoint_is_down_a_token_serves_to_its_end_and_then_all_is_mended() {
    for flow in FLOWS {
        let scene = Scene::new().await;
        let credential = scene.credential(flow);
        assert_eq!(scene.get(&credential).await.status, 200);
        scene.endpoint.mood(Mood::Down);
        for seconds in [3300, 100, 199] {
            scene.stack.clock.advance(seconds);
            assert_eq!(scene.get(&credential).await.status, 200, "{flow:?}");
        }
        assert_eq!(scene.received(), [1, 1, 1, 1], "{flow:?}");
        scene.stack.clock.advance(1);
        refused(&scene.get(&credential).await);
        assert_eq!(scene.failure(&credential).await, SourceError::Unreachable);
        assert_eq!(scene.received().len(), 4, "the upstream is not asked");

        scene.endpoint.mood(Mood::Issue);
        scene.stack.clock.advance(1);
        assert_eq!(scene.get(&credential).await.status, 200, "{flow:?}");
        assert_eq!(scene.received().last(), Some(&2), "{flow:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_not_asked_more_than_once_a_second() {
    let scene = Scene::new().await;
    let credential = scene.credential(FLOWS[0]);
    scene.endpoint.mood(Mood::Down);
    let statuses = scene.get_at_once(&credential, 50).await;
    assert_eq!(statuses, [503; 50]);
    refused(&scene.get(&credential).await);
    assert_eq!(scene.endpoint.calls().len(), 1);
    scene.stack.clock.advance(1);
    refused(&scene.get(&credential).await);
    assert_eq!(scene.endpoint.calls().len(), 2);
}
