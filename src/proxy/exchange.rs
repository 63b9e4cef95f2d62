use std::{
    future::poll_fn,
    ops::Deref,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Relaxed},
        },
    },
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    Body,
    body::Ending,
    proxy::{
        Reason,
        gate::Gate,
        occupancy::{SandboxPlace, ServicePlace},
        shutdown::UnderWay,
    },
    service::{Bounds, Entry},
    token::{BellOf, Claims, TokenError},
    upstream::{Close, UpstreamError},
};

/// A request under way, until its answer and its body have ended: the places it takes, and what ends it early.
pub(super) struct Exchange {
    gate: Arc<Gate>,
    claims: Arc<Claims>,
    grace: Duration,
    /// In milliseconds since 1970.
    ends_at: AtomicU64,
    answered: AtomicBool,
    given_up: AtomicBool,
    /// The upstream does not read the upload.
    unread: AtomicBool,
    /// Where it hears of what ends it, and how often that was rung before.
    bell: BellOf,
    rung: usize,
    /// Taken for as long as somebody holds it. What merely listens, or waits to be dropped, holds nothing.
    places: Mutex<Option<Places>>,
    holders: AtomicUsize,
}

struct Places {
    _under_way: UnderWay,
    _sandbox: Option<SandboxPlace>,
    _service: Option<ServicePlace>,
}

/// Keeps the places of an exchange.
pub(super) struct Hold(Arc<Exchange>);

/// What a body, of the request or the answer, has of it.
struct Share {
    hold: Hold,
    rung: usize,
}

/// The year 9999, in milliseconds since 1970.
const FAR: u64 = 253_402_300_799_000;

impl Exchange {
    /// One more, if there may be one more.
    pub(super) fn enter(
        gate: &Arc<Gate>,
        claims: Arc<Claims>,
        entry: &Entry,
        proxy: &Bounds,
    ) -> Result<Hold, Reason> {
        let under_way = gate.shutdown.enter();
        let sandbox = match proxy.concurrent_per_sandbox {
            None => None,
            Some(limit) => {
                let place = gate.occupancy.enter(claims.sandbox_id(), limit);
                Some(place.ok_or(Reason::Busy)?)
            }
        };
        let service = match entry.bounds.concurrent {
            None => None,
            Some(limit) => {
                let place = ServicePlace::take(&entry.count, limit);
                Some(place.ok_or(Reason::ServiceBusy)?)
            }
        };
        let bells = gate.shutdown.bells();
        let bell = bells.of(claims.sandbox_id());
        let grace = entry.bounds.expiry_grace;
        Ok(Hold(Arc::new(Self {
            gate: gate.clone(),
            ends_at: AtomicU64::new(after(claims.expires_at(), grace)),
            grace,
            answered: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            bell,
            rung: bells.rung(bell),
            claims,
            places: Mutex::new(Some(Places {
                _under_way: under_way,
                _sandbox: sandbox,
                _service: service,
            })),
            holders: AtomicUsize::new(1),
        })))
    }

    pub(super) fn hold(self: &Arc<Self>) -> Hold {
        self.holders.fetch_add(1, Relaxed);
        Hold(self.clone())
    }

    fn share(self: &Arc<Self>) -> Box<dyn Ending> {
        Box::new(Share {
            hold: self.hold(),
            rung: self.rung,
        })
    }

    fn leave(&self) {
        let places = self.places.lock();
        drop(places.unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Waits for `work`, and gives it up when the token is revoked, the proxy is at its end, or nobody reads the upload.
    pub(super) fn unless_ended<T>(
        self: &Arc<Self>,
        mut work: Pin<&mut impl Future<Output = Result<T, Reason>>>,
    ) -> impl Future<Output = Result<T, Reason>> {
        let mut ended = self.announced(true);
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
        } else if self.unread.load(Relaxed) {
            Reason::Upstream(UpstreamError::Timeout)
        } else if self.is_revoked() {
            Reason::Token(TokenError::Revoked)
        } else {
            Reason::Token(TokenError::Expired)
        }
    }

    /// A body of it, which ends with it.
    pub(super) fn watch(self: &Arc<Self>, body: Body, bounds: &Bounds) -> Body {
        body.idle_timeout(bounds.idle_timeout)
            .until(|| self.share(), bounds.unread_timeout)
    }

    /// Its answer is here, and may take its time.
    pub(super) fn answered(&self) {
        let now = self.gate.clock.now();
        let ends_at = after(self.claims.expires_at().max(now), self.grace);
        self.ends_at.store(ends_at, Relaxed);
        self.answered.store(true, Relaxed);
    }

    /// Nobody waits for its answer any more, if there is none: what is left of the caller's body goes nowhere.
    pub(super) fn give_up(&self) {
        if !self.answered.load(Relaxed) && !self.given_up.swap(true, Relaxed) {
            self.leave();
            self.gate.shutdown.bells().ring(self.bell);
        }
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

    fn announced(
        self: &Arc<Self>,
        or_unread: bool,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        let exchange = self.clone();
        Box::pin(async move {
            let is_so = || {
                exchange.gate.shutdown.is_over()
                    || exchange.given_up.load(Relaxed)
                    || or_unread && exchange.unread.load(Relaxed)
                    || exchange.is_revoked()
            };
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

impl Deref for Hold {
    type Target = Arc<Exchange>;

    fn deref(&self) -> &Arc<Exchange> {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.0.holders.fetch_sub(1, AcqRel) == 1 {
            self.0.leave();
        }
    }
}

impl Ending for Share {
    fn has_come(&mut self) -> bool {
        let exchange = &self.hold;
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
        self.hold
            .gate
            .until(self.hold.ends_at())
            .unwrap_or_default()
    }

    fn announced(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        self.hold.announced(false)
    }

    fn left_unread(&mut self) {
        self.hold.unread.store(true, Relaxed);
        self.hold.gate.shutdown.bells().ring(self.hold.bell);
    }
}

/// In milliseconds since 1970.
fn after(time: SystemTime, grace: Duration) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = since.saturating_add(grace).as_millis();
    // Far enough, and a time that the platform can hold.
    u64::try_from(millis).map_or(FAR, |millis| millis.min(FAR))
}
