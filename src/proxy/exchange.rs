use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    Body, Policy,
    body::Ending,
    proxy::{
        Reason,
        gate::Gate,
        occupancy::{SandboxPlace, ServicePlace},
        shutdown::UnderWay,
    },
    service::Entry,
    token::{BellOf, Claims, TokenError},
    upstream::{Close, YEAR},
};

/// A request under way, until its answer and its body have ended: the places it takes, and what ends it early.
pub(super) struct Exchange {
    gate: Arc<Gate>,
    claims: Arc<Claims>,
    grace: Duration,
    /// In milliseconds since 1970.
    ends_at: AtomicU64,
    given_up: AtomicBool,
    /// Where it hears of what ends it, and how often that was rung before.
    bell: BellOf,
    rung: usize,
    _under_way: UnderWay,
    _sandbox: Option<SandboxPlace>,
    _service: Option<ServicePlace>,
}

/// What a body, of the request or the answer, has of it.
struct Share {
    exchange: Arc<Exchange>,
    rung: usize,
}

/// How long a request may go on whose token has expired, where the policy says nothing.
const GRACE: Duration = Duration::from_secs(5);

/// The year 9999, in milliseconds since 1970.
const FAR: u64 = 253_402_300_799_000;

impl Exchange {
    /// One more, if there may be one more.
    pub(super) fn enter(
        gate: &Arc<Gate>,
        claims: Arc<Claims>,
        entry: &Entry,
    ) -> Result<Arc<Self>, Reason> {
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
        let bells = gate.shutdown.bells();
        let bell = bells.of(claims.sandbox_id());
        // What is meant by the longest duration there is: no end.
        let grace = entry.policy.expiry_grace.unwrap_or(GRACE).min(YEAR);
        Ok(Arc::new(Self {
            gate: gate.clone(),
            ends_at: AtomicU64::new(after(claims.expires_at(), grace)),
            grace,
            given_up: AtomicBool::new(false),
            bell,
            rung: bells.rung(bell),
            claims,
            _under_way: under_way,
            _sandbox: sandbox,
            _service: service,
        }))
    }

    fn share(self: &Arc<Self>) -> Box<dyn Ending> {
        Box::new(Share {
            exchange: self.clone(),
            rung: self.rung,
        })
    }

    /// Waits for `work`, and gives it up when the token is revoked, or the proxy is at its end.
    pub(super) fn unless_ended<T>(
        self: &Arc<Self>,
        mut work: Pin<&mut impl Future<Output = Result<T, Reason>>>,
    ) -> impl Future<Output = Result<T, Reason>> {
        let mut ended = self.announced();
        poll_fn(move |cx| {
            if ended.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(self.reason()));
            }
            work.as_mut().poll(cx)
        })
    }

    /// Why it ended, if nobody gave it up.
    pub(super) fn reason(&self) -> Reason {
        if self.gate.shutdown.is_over() {
            Reason::ShuttingDown
        } else if self.is_revoked() {
            Reason::Token(TokenError::Revoked)
        } else {
            Reason::Token(TokenError::Expired)
        }
    }

    /// A body of it, which ends with it.
    pub(super) fn watch(self: &Arc<Self>, body: Body, policy: &Policy) -> Body {
        let unread = self.gate.unread_timeout(policy);
        body.idle_timeout(self.gate.idle_timeout(policy))
            .until(|| self.share(), unread)
    }

    /// Its answer is here, and may take its time.
    pub(super) fn answered(&self) {
        let now = self.gate.clock.now();
        let ends_at = after(self.claims.expires_at().max(now), self.grace);
        self.ends_at.store(ends_at, Relaxed);
    }

    /// Nobody waits for it any more: what is left of the caller's body goes nowhere.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Relaxed);
    }

    /// Waits for what ends a WebSocket that its two sides do not end.
    pub(super) async fn socket_ends(&self) -> Close {
        let expired = async {
            while let Some(left) = self.gate.until(self.claims.expires_at()) {
                tokio::time::sleep(left).await;
            }
        };
        let bells = self.gate.shutdown.bells();
        let revoked = bells.until(self.bell, || self.is_revoked());
        tokio::select! {
            () = expired => Close::PolicyViolation,
            () = revoked => Close::PolicyViolation,
            () = self.gate.shutdown.begun() => Close::GoingAway,
        }
    }

    fn announced(self: &Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        let exchange = self.clone();
        Box::pin(async move {
            let is_so = || exchange.gate.shutdown.is_over() || exchange.is_revoked();
            let bells = exchange.gate.shutdown.bells();
            bells.until(exchange.bell, is_so).await;
        })
    }

    fn is_revoked(&self) -> bool {
        let list = self.gate.revocations.as_ref();
        list.is_some_and(|list| list.is_revoked(&self.claims, self.gate.clock.now()))
    }

    fn ends_at(&self) -> SystemTime {
        let ends_at = Duration::from_millis(self.ends_at.load(Relaxed));
        UNIX_EPOCH.checked_add(ends_at).unwrap_or(UNIX_EPOCH)
    }
}

impl Ending for Share {
    fn has_come(&mut self) -> bool {
        let exchange = &self.exchange;
        if exchange.given_up.load(Relaxed)
            || exchange.gate.shutdown.is_over()
            || self.ask_again_in().is_zero()
        {
            return true;
        }
        let rung = exchange.gate.shutdown.bells().rung(exchange.bell);
        rung != self.rung && {
            self.rung = rung;
            exchange.is_revoked()
        }
    }

    fn ask_again_in(&self) -> Duration {
        self.exchange
            .gate
            .until(self.exchange.ends_at())
            .unwrap_or_default()
    }

    fn announced(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        self.exchange.announced()
    }
}

/// In milliseconds since 1970.
fn after(time: SystemTime, grace: Duration) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = since.saturating_add(grace).as_millis();
    // Far enough, and a time that the platform can hold.
    u64::try_from(millis).map_or(FAR, |millis| millis.min(FAR))
}
