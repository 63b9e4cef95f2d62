//! The life of one request under way, and of what ends it before its time.
//!
//! Three kinds of holders stand around one [`Exchange`]. The [`Admission`] is the request itself, until there is a response.
//! A [`Share`] keeps the permits; each body has one, and so does the task of a WebSocket. Whoever merely waits for the end
//! holds the exchange without a share, since a listener must not keep a permit taken.
//!
//! What ends an exchange comes from five sides, and each is heard of in its own way:
//!
//! - The subject's right **expires**: a clock tells nobody, so bodies look at it, at the latest when the time has come.
//! - The right is **revoked**: the subject's channel is notified, and everybody on it asks the subject.
//! - The door **shuts down**: all channels are notified.
//! - The **caller goes** before there is a response: the [`Admission`] is dropped, and notifies its own channel, so that the
//!   upload, which the client may still be sending, ends as well.
//! - A body is **left unread**: its own watcher says so. While there is no response, that ends the wait for one.

use std::{
    future::poll_fn,
    ops::Deref,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicU8, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    Body,
    body::Interrupt,
    exchange::{Exchanges, Subject, interrupts::Channel, shutdown::UnderWay},
    limit::Permit,
    rejection::Reason,
    service::Bounds,
    token::TokenError,
    upstream::{Close, UpstreamError},
};

/// A request under way. The subject stands last, so that one allocation holds all of it whatever the subject is.
pub(crate) struct Exchange<S: ?Sized = dyn Subject> {
    exchanges: Arc<Exchanges>,
    /// In milliseconds since 1970; [`FAR`] for one that does not end by itself.
    ends_at: AtomicU64,
    /// How long it goes on after its subject's right has expired.
    grace: Duration,
    idle_timeout: Duration,
    unread_timeout: Duration,
    stage: AtomicU8,
    channel: Channel,
    /// The count of the channel when it was admitted: whatever was notified before is no news.
    seen: usize,
    /// Resources for as long as anybody has a share. Who merely listens, or waits to be dropped, has none.
    resources: Mutex<Option<Resources>>,
    shares: AtomicUsize,
    subject: S,
}

/// What a request takes up for as long as it is under way, to be given back all at once.
struct Resources {
    _under_way: UnderWay,
    _permits: [Option<Permit>; 2],
}

/// How far an exchange has come, as far as it matters to what ends it.
///
/// It moves forward only: from `Waiting` to any other, and from `Unread` to `Abandoned` or, when the response came at the
/// same moment, to `Responded`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    /// There is no response yet.
    Waiting,
    /// There is none, and the upstream has stopped reading the upload.
    Unread,
    /// There is one, and it may take its time.
    Responded,
    /// There is none, and nobody waits for one any more.
    Abandoned,
}

/// A request that was admitted and has no response yet. Dropped without one, it is abandoned: its permits are free at once,
/// and what is left of its upload goes nowhere.
pub(crate) struct Admission(Share);

/// Keeps the permits of an exchange. When the last share goes, they are free, whoever still listens.
pub(crate) struct Share(Arc<Exchange>);

/// A share that a body has, by which the body ends with the exchange.
///
/// It asks the subject again only when the channel was notified since: to ask is a look-up in a list, and this is asked for
/// every frame.
struct BodyShare {
    share: Share,
    seen: usize,
}

/// The year 9999, in milliseconds since 1970.
const FAR: u64 = 253_402_300_799_000;

impl Admission {
    /// Admits one more request, which holds these permits from here on. It may go on for the grace of `bounds` once its
    /// subject's right has expired.
    ///
    /// # Errors
    ///
    /// Once the shutdown has begun.
    pub(crate) fn new(
        exchanges: &Arc<Exchanges>,
        subject: impl Subject,
        permits: [Option<Permit>; 2],
        bounds: &Bounds,
    ) -> Result<Self, Reason> {
        let under_way = exchanges.shutdown.enter().ok_or(Reason::ShuttingDown)?;
        let channel = exchanges.interrupts.channel(subject.id());
        let expires_at = subject.expires_at();
        Ok(Self(Share(Arc::new(Exchange {
            ends_at: AtomicU64::new(expires_at.map_or(FAR, |at| millis(at, bounds.expiry_grace))),
            grace: bounds.expiry_grace,
            idle_timeout: bounds.idle_timeout,
            unread_timeout: bounds.unread_timeout,
            stage: AtomicU8::new(Stage::Waiting as u8),
            channel,
            seen: exchanges.interrupts.count(channel),
            resources: Mutex::new(Some(Resources {
                _under_way: under_way,
                _permits: permits,
            })),
            shares: AtomicUsize::new(1),
            exchanges: exchanges.clone(),
            subject,
        }))))
    }

    /// There is a response: from here on its body decides how long the exchange lasts, and to drop the admission ends nothing
    /// any more.
    pub(crate) fn responded(&self) {
        self.0.0.set_stage(Stage::Responded);
        if let Some(expires_at) = self.subject.expires_at() {
            // One that begins after the expiry has its grace from now on.
            let from = expires_at.max(self.exchanges.now());
            self.ends_at.store(millis(from, self.grace), Relaxed);
        }
    }
}

impl Deref for Admission {
    type Target = Arc<Exchange>;

    fn deref(&self) -> &Arc<Exchange> {
        &self.0.0
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let exchange = &self.0.0;
        if exchange.stage() != Stage::Responded {
            exchange.set_stage(Stage::Abandoned);
            exchange.release();
            exchange.exchanges.interrupts.notify(exchange.channel);
        }
    }
}

impl Exchange {
    /// Another share of it.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        self.shares.fetch_add(1, Relaxed);
        Share(self.clone())
    }

    /// Makes a body one of its own: it ends with the exchange, when nothing comes for too long, and when nobody reads it.
    ///
    /// A body that is in memory has no time in which anything could end it, and keeps no share: its permits are free as soon
    /// as the others are.
    pub(crate) fn guard(self: &Arc<Self>, body: Body) -> Body {
        let interrupt = || -> Box<dyn Interrupt> {
            Box::new(BodyShare {
                share: self.share(),
                seen: self.seen,
            })
        };
        body.idle_timeout(self.idle_timeout)
            .interrupted_by(interrupt, self.unread_timeout)
    }

    /// Waits for `work`, and gives it up when the subject's right is revoked, the door is at its end, or nobody reads the
    /// upload. The expiry alone does not end the wait for a response.
    pub(crate) fn unless_ended<T>(
        self: &Arc<Self>,
        mut work: Pin<&mut impl Future<Output = Result<T, Reason>>>,
    ) -> impl Future<Output = Result<T, Reason>> {
        let mut ended = self.ended(true);
        poll_fn(move |cx| {
            if ended.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(self.reason()));
            }
            work.as_mut().poll(cx)
        })
    }

    /// Why it ended, if its caller did not give it up.
    pub(crate) fn reason(&self) -> Reason {
        if self.exchanges.shutdown.is_over() {
            Reason::ShuttingDown
        } else if self.stage() == Stage::Unread {
            Reason::Upstream(UpstreamError::Timeout)
        } else if self.is_revoked() {
            Reason::Token(TokenError::Revoked)
        } else {
            Reason::Token(TokenError::Expired)
        }
    }

    /// How long nothing may move before it is given up.
    pub(crate) const fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Waits for what ends a WebSocket that its two sides do not end. It has no grace.
    pub(crate) async fn websocket_end(&self) -> Close {
        let expired = async {
            match self.subject.expires_at() {
                None => std::future::pending().await,
                Some(at) => {
                    while let Some(left) = self.exchanges.until(at) {
                        tokio::time::sleep(left).await;
                    }
                }
            }
        };
        let interrupts = &self.exchanges.interrupts;
        let revoked = interrupts.wait(self.channel, || self.is_revoked());
        tokio::select! {
            () = expired => Close::PolicyViolation,
            () = revoked => Close::PolicyViolation,
            () = self.exchanges.shutdown.begun() => Close::GoingAway,
        }
    }

    /// Waits for an end that somebody tells of: a revocation, a shutdown, a caller that went, and if asked for, an upload that
    /// is not read. Holds no share: who waits does not keep the permits.
    fn ended(self: &Arc<Self>, or_unread: bool) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        let exchange = self.clone();
        Box::pin(async move {
            let is_so = || {
                let stage = exchange.stage();
                exchange.exchanges.shutdown.is_over()
                    || stage == Stage::Abandoned
                    || or_unread && stage == Stage::Unread
                    || exchange.is_revoked()
            };
            let interrupts = &exchange.exchanges.interrupts;
            interrupts.wait(exchange.channel, is_so).await;
        })
    }

    /// As of now, by the door's clock: a revocation is forgotten once no token that it names can be good.
    fn is_revoked(&self) -> bool {
        self.subject.is_revoked(self.exchanges.now())
    }

    /// How long until the clock must be looked at again; zero once its time is over.
    fn time_left(&self) -> Duration {
        match self.ends_at.load(Relaxed) {
            FAR => Duration::MAX,
            millis => {
                let ends_at = UNIX_EPOCH.checked_add(Duration::from_millis(millis));
                let left = self.exchanges.until(ends_at.unwrap_or(UNIX_EPOCH));
                left.unwrap_or_default()
            }
        }
    }

    fn stage(&self) -> Stage {
        match self.stage.load(Acquire) {
            stage if stage == Stage::Waiting as u8 => Stage::Waiting,
            stage if stage == Stage::Unread as u8 => Stage::Unread,
            stage if stage == Stage::Responded as u8 => Stage::Responded,
            _ => Stage::Abandoned,
        }
    }

    /// Moves on. What it was before does not matter to those who call this.
    fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Release);
    }

    /// A reader has left its body unread. That matters to the wait for a response; one that is there only loses its body.
    fn set_unread(&self) {
        let waiting = Stage::Waiting as u8;
        let unread = Stage::Unread as u8;
        if self
            .stage
            .compare_exchange(waiting, unread, AcqRel, Acquire)
            .is_ok()
        {
            self.exchanges.interrupts.notify(self.channel);
        }
    }

    /// Gives the permits back. Called when the last share goes, and before that by an admission that is abandoned: nobody
    /// waits for its response, so nothing is held for it while its upload still drains.
    fn release(&self) {
        let resources = self.resources.lock();
        drop(resources.unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Deref for Share {
    type Target = Arc<Exchange>;

    fn deref(&self) -> &Arc<Exchange> {
        &self.0
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.0.shares.fetch_sub(1, AcqRel) == 1 {
            self.0.release();
        }
    }
}

impl Interrupt for BodyShare {
    fn has_come(&mut self) -> bool {
        let exchange = &self.share.0;
        if exchange.stage() == Stage::Abandoned
            || exchange.exchanges.shutdown.is_over()
            || exchange.time_left().is_zero()
        {
            return true;
        }
        let count = exchange.exchanges.interrupts.count(exchange.channel);
        count != self.seen && {
            self.seen = count;
            exchange.is_revoked()
        }
    }

    fn check_again_in(&self) -> Duration {
        self.share.time_left()
    }

    fn notified(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        self.share.ended(false)
    }

    fn on_unread(&mut self) {
        self.share.set_unread();
    }
}

/// A time and some grace, in milliseconds since 1970: at most the year 9999, which every platform can hold.
fn millis(time: SystemTime, grace: Duration) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = since.saturating_add(grace).as_millis();
    u64::try_from(millis).map_or(FAR, |millis| millis.min(FAR))
}
