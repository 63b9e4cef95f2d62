use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use crate::{
    body::Ending,
    proxy::{
        Reason,
        gate::Gate,
        occupancy::{SandboxPlace, ServicePlace},
        shutdown::UnderWay,
    },
    service::Entry,
    token::{Claims, TokenError},
    upstream::{Close, YEAR},
};

/// A request under way, until its answer has ended: the places it takes, and what ends it early.
pub(super) struct Exchange {
    gate: Arc<Gate>,
    claims: Arc<Claims>,
    ends_at: SystemTime,
    /// Where revocations are heard of that may concern the claims.
    revocations: Option<watch::Receiver<()>>,
    _under_way: UnderWay,
    _sandbox: Option<SandboxPlace>,
    _service: Option<ServicePlace>,
}

/// How long an answer may go on whose token has expired, where the policy says nothing.
const GRACE: Duration = Duration::from_secs(5);

/// A timer does not know of a machine that slept, or of a clock that was set.
const LOOK: Duration = Duration::from_secs(60);

impl Exchange {
    /// One more, if there may be one more.
    pub(super) fn enter(
        gate: &Arc<Gate>,
        claims: Arc<Claims>,
        entry: &Entry,
    ) -> Result<Box<Self>, Reason> {
        let under_way = gate.shutdown.enter();
        let sandbox = match gate.limits.concurrent_per_sandbox {
            None => None,
            Some(limit) => {
                let place = gate.occupancy.enter(claims.sandbox_id(), limit);
                Some(place.ok_or(Reason::Busy)?)
            }
        };
        let service = match entry.policy.concurrent {
            None => None,
            Some(limit) => {
                let place = ServicePlace::take(&entry.count, limit);
                Some(place.ok_or(Reason::ServiceBusy)?)
            }
        };
        Ok(Box::new(Self {
            gate: gate.clone(),
            ends_at: claims.expires_at(),
            revocations: gate.revocations.as_ref().map(|list| list.listen(&claims)),
            claims,
            _under_way: under_way,
            _sandbox: sandbox,
            _service: service,
        }))
    }

    /// Waits for `work`, and gives it up when the token is revoked meanwhile.
    pub(super) fn unless_revoked<T>(
        &self,
        mut work: Pin<&mut impl Future<Output = Result<T, Reason>>>,
    ) -> impl Future<Output = Result<T, Reason>> {
        let mut revoked = self
            .revocations
            .clone()
            .map(|line| Box::pin(revoked(self.gate.clone(), self.claims.clone(), line)));
        poll_fn(move |cx| {
            if revoked
                .as_mut()
                .is_some_and(|revoked| revoked.as_mut().poll(cx).is_ready())
            {
                return Poll::Ready(Err(Reason::Token(TokenError::Revoked)));
            }
            work.as_mut().poll(cx)
        })
    }

    /// Its answer is here, and may take its time.
    pub(super) fn answered(&mut self, grace: Option<Duration>) {
        // What is meant by the longest duration there is: no end.
        let grace = grace.unwrap_or(GRACE).min(YEAR);
        let from = self.claims.expires_at().max(self.gate.clock.now());
        self.ends_at = from.checked_add(grace).unwrap_or(from);
    }

    /// Waits for what ends a WebSocket that its two sides do not end.
    pub(super) async fn socket_ends(&self) -> Close {
        let expired = async {
            while let Some(left) = left(&self.gate, self.claims.expires_at()) {
                tokio::time::sleep(left).await;
            }
        };
        let revoked = async {
            match self.revocations.clone() {
                Some(line) => revoked(self.gate.clone(), self.claims.clone(), line).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = expired => Close::PolicyViolation,
            () = revoked => Close::PolicyViolation,
            () = self.gate.shutdown.begun() => Close::GoingAway,
        }
    }
}

impl Ending for Exchange {
    fn has_come(&mut self) -> bool {
        if self.gate.shutdown.is_over() || left(&self.gate, self.ends_at).is_none() {
            return true;
        }
        match &mut self.revocations {
            Some(line) if line.has_changed().unwrap_or(false) => {
                line.mark_unchanged();
                is_revoked(&self.gate, &self.claims)
            }
            _ => false,
        }
    }

    fn left(&self) -> Duration {
        left(&self.gate, self.ends_at).unwrap_or_default()
    }

    fn called(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        let (gate, claims) = (self.gate.clone(), self.claims.clone());
        match self.revocations.clone() {
            None => Box::pin(async move { gate.shutdown.over().await }),
            Some(line) => Box::pin(async move {
                tokio::select! {
                    () = gate.shutdown.over() => {}
                    () = revoked(gate.clone(), claims, line) => {}
                }
            }),
        }
    }
}

/// How long to wait before looking at the clock again; `None` once the time has come.
fn left(gate: &Gate, ends_at: SystemTime) -> Option<Duration> {
    let left = ends_at.duration_since(gate.clock.now()).ok()?;
    Some(left.min(LOOK)).filter(|left| !left.is_zero())
}

async fn revoked(gate: Arc<Gate>, claims: Arc<Claims>, mut line: watch::Receiver<()>) {
    while !is_revoked(&gate, &claims) {
        // It fails only when nobody is left who could revoke anything.
        if line.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn is_revoked(gate: &Gate, claims: &Claims) -> bool {
    let list = gate.revocations.as_ref();
    list.is_some_and(|list| list.check(claims, gate.clock.now()) == Err(TokenError::Revoked))
}
