use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use sallygate::{
    Credential, async_trait,
    credential::{Secret, Source, SourceError},
};

use super::scene::{Scene, refused};

/// An embedder's own source, which does one thing after the other.
#[derive(Debug)]
struct Steps(Mutex<VecDeque<Step>>);

enum Step {
    Fail(SourceError),
    Give(String, u64),
    Panic,
}

/// Shows no key.
impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Step")
    }
}

#[async_trait]
impl Source for Steps {
    async fn fetch(&self, now: SystemTime) -> Result<Secret, SourceError> {
        let step = self.0.lock().unwrap().pop_front();
        match step.expect("asked once more") {
            Step::Fail(error) => Err(error),
            Step::Give(key, seconds) => {
                Ok(Secret::new(key).expires_at(now + Duration::from_secs(seconds)))
            }
            Step::Panic => panic!("in the embedder's code"),
        }
    }
}

fn steps(scene: &Scene, steps: impl IntoIterator<Item = Step>) -> Credential {
    scene.seen(Steps(Mutex::new(steps.into_iter().collect())))
}

fn key(scene: &Scene) -> String {
    let key = scene.stack.oracle.secret("key of a source");
    scene.ledger.know(key.clone());
    key
}

#[tokio::test]
async fn a_source_that_panics_costs_the_requests_that_wait_and_is_asked_again() {
    let scene = Scene::new().await;
    let credential = steps(&scene, [Step::Panic, Step::Give(key(&scene), 60)]);
    assert_eq!(scene.get_at_once(&credential, 20).await, [503; 20]);
    refused(&scene.get(&credential).await);
    assert_eq!(scene.failure(&credential).await, SourceError::Other);
    scene.stack.clock.advance(1);
    assert_eq!(scene.get(&credential).await.status, 200);
}

#[tokio::test]
async fn a_key_that_is_missing_is_gone_at_once_and_other_failures_leave_it_to_its_end() {
    let scene = Scene::new().await;
    for (error, left) in [
        (SourceError::Missing, false),
        (SourceError::Other, true),
        (SourceError::Malformed, true),
        (SourceError::Refused("so"), true),
        (SourceError::Timeout, true),
        (SourceError::Unreachable, true),
    ] {
        let first = Step::Give(key(&scene), 100);
        let last = Step::Give(key(&scene), 100);
        let credential = steps(&scene, [first, Step::Fail(error), last]);
        assert_eq!(scene.get(&credential).await.status, 200);
        // Three quarters of its life: the next one is fetched, in the background.
        scene.stack.clock.advance(75);
        assert_eq!(scene.get(&credential).await.status, 200);
        // Within a second of the failure nobody asks again.
        let answer = scene.get(&credential).await;
        if left {
            assert_eq!(answer.status, 200, "{error}");
        } else {
            refused(&answer);
            assert_eq!(scene.failure(&credential).await, error);
        }
        let before = scene.received().len();
        scene.stack.clock.advance(25);
        assert_eq!(scene.get(&credential).await.status, 200, "{error}");
        assert_eq!(scene.received().len(), before + 1);
    }
}

#[tokio::test]
async fn a_key_that_is_over_when_it_comes_is_none() {
    let scene = Scene::new().await;
    let credential = steps(
        &scene,
        [Step::Give(key(&scene), 0), Step::Give(key(&scene), 1)],
    );
    refused(&scene.get(&credential).await);
    assert_eq!(scene.failure(&credential).await, SourceError::Malformed);
    scene.stack.clock.advance(1);
    assert_eq!(scene.get(&credential).await.status, 200);
    assert_eq!(scene.received(), [2]);
}
