use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use tokio::{runtime::Handle, sync::watch};

use crate::credential::{Material, Secret, Source, SourceError};

/// A key from a source: the one there is, and at most one flight for the next.
pub(super) struct Refresher {
    source: Box<dyn Source>,
    current: ArcSwapOption<Version>,
    flights: Mutex<Flights>,
}

struct Version {
    material: Arc<Material>,
    /// From here on another one is fetched.
    refresh_at: Option<SystemTime>,
    expires_at: Option<SystemTime>,
}

#[derive(Default)]
struct Flights {
    airborne: Option<watch::Receiver<Option<Result<(), SourceError>>>>,
    failed: Option<(SourceError, SystemTime)>,
    /// When the upstream last refused a key.
    refused: Option<SystemTime>,
}

/// How long one flight may take.
const FLIGHT: Duration = Duration::from_secs(30);
/// Between a flight that failed and the next one.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two flights because the upstream refused the key: callers can make it do that.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long before its end a key is replaced, at the earliest.
const EARLY: Duration = Duration::from_secs(5 * 60);

impl Refresher {
    pub(super) fn new(source: impl Source) -> Self {
        Self {
            source: Box::new(source),
            current: ArcSwapOption::empty(),
            flights: Mutex::default(),
        }
    }

    /// The key that is good at `now`.
    pub(super) fn current(&self, now: SystemTime) -> Result<Arc<Material>, SourceError> {
        match &*self.current.load() {
            Some(version) if !version.expired(now) => Ok(version.material.clone()),
            _ => {
                let failed = self.flights().failed;
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
        let landing = {
            let flights = self.flights();
            let current = self.current.load();
            let current = current.as_ref();
            if current.is_some_and(|version| version.fresh(now)) {
                return Ok(());
            }
            let landing = self.take_off(flights, now);
            if current.is_some_and(|version| !version.expired(now)) {
                return Ok(());
            }
            landing?
        };
        landed(landing).await
    }

    /// After the upstream refused `used`: whether there is another key.
    pub(super) async fn renew(self: &Arc<Self>, used: &Material, now: SystemTime) -> bool {
        let landing = {
            let mut flights = self.flights();
            if self.has_other_than(used) {
                return true;
            }
            let lately = |at: SystemTime| now < at + PATIENCE;
            if flights.airborne.is_none() && flights.refused.is_some_and(lately) {
                return false;
            }
            flights.refused = Some(now);
            self.take_off(flights, now)
        };
        match landing {
            Ok(landing) => landed(landing).await.is_ok() && self.has_other_than(used),
            Err(_) => false,
        }
    }

    fn has_other_than(&self, used: &Material) -> bool {
        let current = self.current.load();
        current
            .as_ref()
            .is_some_and(|version| version.material.text() != used.text())
    }

    /// Joins the flight that is under way, or starts one.
    fn take_off(
        self: &Arc<Self>,
        mut flights: MutexGuard<'_, Flights>,
        now: SystemTime,
    ) -> Result<watch::Receiver<Option<Result<(), SourceError>>>, SourceError> {
        if let Some(airborne) = &flights.airborne {
            return Ok(airborne.clone());
        }
        match flights.failed {
            Some((error, at)) if at <= now && now < at + PAUSE => return Err(error),
            _ => {}
        }
        let runtime = Handle::try_current().map_err(|_| SourceError::Other)?;
        let (sender, landing) = watch::channel(None);
        flights.airborne = Some(landing.clone());
        let mut flight = Flight {
            refresher: self.clone(),
            now,
            sender,
            outcome: Err(SourceError::Other),
        };
        // A runtime that shuts down drops the flight right here, and it needs the lock to land.
        drop(flights);
        runtime.spawn(async move {
            let fetch = flight.refresher.source.fetch(now);
            let fetched = tokio::time::timeout(FLIGHT, fetch).await;
            flight.outcome = match fetched {
                Ok(secret) => secret.and_then(|secret| Version::new(secret, now)),
                Err(_) => Err(SourceError::Timeout),
            };
            drop(flight);
        });
        Ok(landing)
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn landed(
    mut landing: watch::Receiver<Option<Result<(), SourceError>>>,
) -> Result<(), SourceError> {
    match landing.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.unwrap_or(Err(SourceError::Other)),
        Err(_) => Err(SourceError::Other),
    }
}

/// A fetch under way. It lands when dropped: also when the source panics, or the runtime goes.
struct Flight {
    refresher: Arc<Refresher>,
    now: SystemTime,
    sender: watch::Sender<Option<Result<(), SourceError>>>,
    outcome: Result<Version, SourceError>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Err(SourceError::Other));
        let said = outcome.as_ref().map(|_| ()).map_err(|error| *error);
        {
            let mut flights = self.refresher.flights();
            match outcome {
                Ok(version) => self.refresher.current.store(Some(Arc::new(version))),
                Err(SourceError::Missing) => self.refresher.current.store(None),
                Err(_) => {}
            }
            flights.failed = said.err().map(|error| (error, self.now));
            flights.airborne = None;
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
