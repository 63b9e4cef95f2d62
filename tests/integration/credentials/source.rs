use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use sallygate::{
    Credential, async_trait,
    credential::{Secret, Source, SourceError},
};

use super::grants::{Grants, refused};

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

fn steps(grants: &Grants, steps: impl IntoIterator<Item = Step>) -> Credential {
    grants.seen(Steps(Mutex::new(steps.into_iter().collect())))
}

fn key(grants: &Grants) -> String {
    let key = grants.stack.oracle.secret("key of a source");
    grants.ledger.know(key.clone());
    key
}

#[tokio::test]
async fn a_source_that_panics_costs_the_requests_that_wait_and_is_asked_again() {
    let grants = Grants::new().await;
    let credential = steps(&grants, [Step::Panic, Step::Give(key(&grants), 60)]);
    assert_eq!(grants.get_at_once(&credential, 20).await, [503; 20]);
    refused(&grants.get(&credential).await);
    assert_eq!(grants.failure(&credential).await, SourceError::Other);
    grants.stack.clock.advance(1);
    assert_eq!(grants.get(&credential).await.status, 200);
}

#[tokio::test]
async fn a_key_that_is_missing_is_gone_at_once_and_other_failures_leave_it_to_its_end() {
    let grants = Grants::new().await;
    for (error, left) in [
        (SourceError::Missing, false),
        (SourceError::Other, true),
        (SourceError::Malformed, true),
        (SourceError::Refused("so"), true),
        (SourceError::Timeout, true),
        (SourceError::Unreachable, true),
    ] {
        let first = Step::Give(key(&grants), 100);
        let last = Step::Give(key(&grants), 100);
        let credential = steps(&grants, [first, Step::Fail(error), last]);
        assert_eq!(grants.get(&credential).await.status, 200);
        // Three quarters of its life: the next one is fetched, in the background.
        grants.stack.clock.advance(75);
        assert_eq!(grants.get(&credential).await.status, 200);
        // Within a second of the failure nobody asks again.
        let answer = grants.get(&credential).await;
        if left {
            assert_eq!(answer.status, 200, "{error}");
        } else {
            refused(&answer);
            assert_eq!(grants.failure(&credential).await, error);
        }
        let before = grants.received().len();
        grants.stack.clock.advance(25);
        assert_eq!(grants.get(&credential).await.status, 200, "{error}");
        assert_eq!(grants.received().len(), before + 1);
    }
}

#[tokio::test]
async fn a_key_that_is_over_when_it_comes_is_none() {
    let grants = Grants::new().await;
    let credential = steps(
        &grants,
        [Step::Give(key(&grants), 0), Step::Give(key(&grants), 1)],
    );
    refused(&grants.get(&credential).await);
    assert_eq!(grants.failure(&credential).await, SourceError::Malformed);
    grants.stack.clock.advance(1);
    assert_eq!(grants.get(&credential).await.status, 200);
    assert_eq!(grants.received(), [2]);
}
