//! A key that can change: kept while it is good, fetched anew before it ends, and by one task for all requests that
//! want it. What fails is not asked for again at once, so that callers cannot make the source work.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use tokio::{runtime::Handle, sync::watch};

use crate::credential::{Material, Secret, Source, SourceError};

/// A key from a source: the one there is, and at most one refresh in progress for the next.
pub(super) struct Refresher {
    source: Box<dyn Source>,
    current: ArcSwapOption<Version>,
    refreshes: Mutex<Refreshes>,
}

struct Version {
    material: Arc<Material>,
    /// From here on another one is fetched.
    refresh_at: Option<SystemTime>,
    expires_at: Option<SystemTime>,
}

#[derive(Default)]
struct Refreshes {
    in_progress: Option<watch::Receiver<Option<Result<(), SourceError>>>>,
    failed: Option<(SourceError, SystemTime)>,
    /// When the upstream last refused a key.
    refused: Option<SystemTime>,
}

/// How long one refresh may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Between a refresh that failed and the next one.
const PAUSE: Duration = Duration::from_secs(1);
/// The same where the source knew what it said: callers that may have no key can come as often as they like.
const FORBIDDEN_PAUSE: Duration = Duration::from_secs(10);
/// Between two refreshes because the upstream refused the key: callers can make it do that.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);
/// How long before its end a key is replaced, at the earliest.
const EARLY: Duration = Duration::from_secs(5 * 60);

impl Refresher {
    pub(super) fn new(source: impl Source) -> Self {
        Self {
            source: Box::new(source),
            current: ArcSwapOption::empty(),
            refreshes: Mutex::default(),
        }
    }

    /// The key that is good at `now`.
    pub(super) fn current(&self, now: SystemTime) -> Result<Arc<Material>, SourceError> {
        match &*self.current.load() {
            Some(version) if !version.expired(now) => Ok(version.material.clone()),
            _ => {
                let failed = self.refreshes().failed;
                Err(failed.map_or(SourceError::Missing, |(error, _)| error))
            }
        }
    }

    /// Whether there is a key that need not be replaced yet.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        let current = self.current.load();
        current.as_ref().is_some_and(|version| version.fresh(now))
    }

    /// Sees to it that there is a key: waits for one, or fetches the next one in the background.
    pub(super) async fn ready(self: &Arc<Self>, now: SystemTime) -> Result<(), SourceError> {
        let outcome = {
            let refreshes = self.refreshes();
            let current = self.current.load();
            let current = current.as_ref();
            if current.is_some_and(|version| version.fresh(now)) {
                return Ok(());
            }
            let outcome = self.start(refreshes, now);
            if current.is_some_and(|version| !version.expired(now)) {
                return Ok(());
            }
            outcome?
        };
        finished(outcome).await
    }

    /// After the upstream refused `used`: whether there is another key.
    pub(super) async fn renew(self: &Arc<Self>, used: &Material, now: SystemTime) -> bool {
        let outcome = {
            let mut refreshes = self.refreshes();
            if self.has_other_than(used) {
                return true;
            }
            let lately = |at: SystemTime| now < at + REFUSED_PAUSE;
            if refreshes.in_progress.is_none() && refreshes.refused.is_some_and(lately) {
                return false;
            }
            refreshes.refused = Some(now);
            self.start(refreshes, now)
        };
        match outcome {
            Ok(outcome) => finished(outcome).await.is_ok() && self.has_other_than(used),
            Err(_) => false,
        }
    }

    fn has_other_than(&self, used: &Material) -> bool {
        let current = self.current.load();
        current
            .as_ref()
            .is_some_and(|version| version.material.text() != used.text())
    }

    /// Joins the refresh that is in progress, or starts one.
    fn start(
        self: &Arc<Self>,
        mut refreshes: MutexGuard<'_, Refreshes>,
        now: SystemTime,
    ) -> Result<watch::Receiver<Option<Result<(), SourceError>>>, SourceError> {
        if let Some(in_progress) = &refreshes.in_progress {
            return Ok(in_progress.clone());
        }
        match refreshes.failed {
            Some((error, at)) if at <= now && now < at + pause(error) => return Err(error),
            _ => {}
        }
        let runtime = Handle::try_current().map_err(|_| SourceError::Other)?;
        let (sender, outcome) = watch::channel(None);
        refreshes.in_progress = Some(outcome.clone());
        let mut refresh = Refresh {
            refresher: self.clone(),
            now,
            sender,
            outcome: Err(SourceError::Other),
        };
        // A runtime that shuts down drops the refresh right here, and it takes the lock to end.
        drop(refreshes);
        runtime.spawn(async move {
            let fetch = refresh.refresher.source.fetch(now);
            let fetched = tokio::time::timeout(TIMEOUT, fetch).await;
            refresh.outcome = match fetched {
                Ok(secret) => secret.and_then(|secret| Version::new(secret, now)),
                Err(_) => Err(SourceError::Timeout),
            };
            drop(refresh);
        });
        Ok(outcome)
    }

    fn refreshes(&self) -> MutexGuard<'_, Refreshes> {
        self.refreshes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn pause(error: SourceError) -> Duration {
    match error {
        SourceError::Forbidden => FORBIDDEN_PAUSE,
        _ => PAUSE,
    }
}

async fn finished(
    mut outcome: watch::Receiver<Option<Result<(), SourceError>>>,
) -> Result<(), SourceError> {
    match outcome.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.unwrap_or(Err(SourceError::Other)),
        Err(_) => Err(SourceError::Other),
    }
}

/// A fetch in progress. It ends when dropped: also when the source panics, or the runtime goes.
struct Refresh {
    refresher: Arc<Refresher>,
    now: SystemTime,
    sender: watch::Sender<Option<Result<(), SourceError>>>,
    outcome: Result<Version, SourceError>,
}

impl Drop for Refresh {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Err(SourceError::Other));
        let said = outcome.as_ref().map(|_| ()).map_err(|error| *error);
        {
            let mut refreshes = self.refresher.refreshes();
            match outcome {
                Ok(version) => self.refresher.current.store(Some(Arc::new(version))),
                Err(SourceError::Forbidden | SourceError::Missing) => {
                    self.refresher.current.store(None);
                }
                Err(_) => {}
            }
            refreshes.failed = said.err().map(|error| (error, self.now));
            refreshes.in_progress = None;
        }
        if let Err(error) = said {
            tracing::warn!(target: "sallygate::credential", %error, "no new key");
        }
        self.sender.send_replace(Some(said));
    }
}

impl Version {
    fn new(secret: Secret, now: SystemTime) -> Result<Self, SourceError> {
        let Secret { text, expires_at } = secret;
        let refresh_at = match expires_at {
            None => None,
            Some(expires_at) => {
                // One that is over before it begins would be fetched without end.
                let life = expires_at.duration_since(now).unwrap_or_default();
                if life.is_zero() {
                    return Err(SourceError::Malformed);
                }
                Some(expires_at - EARLY.min(life / 4))
            }
        };
        Ok(Self {
            material: Arc::new(Material::new(text).map_err(|_| SourceError::Malformed)?),
            refresh_at,
            expires_at,
        })
    }

    fn fresh(&self, now: SystemTime) -> bool {
        self.refresh_at.is_none_or(|refresh_at| now < refresh_at)
    }

    fn expired(&self, now: SystemTime) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}
