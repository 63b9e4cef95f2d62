//! Tokens that are good no more before they expire. What is remembered is bounded by how long any token lives.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
    time::{Duration, SystemTime},
};

use crate::{
    ConfigError,
    clock::{Clock, unix_seconds},
    token::{
        Claims, TokenError,
        claims::{SANDBOX_ID, SESSION_ID, TOKEN_ID, check_id},
    },
};

/// Takes tokens back before they expire: one, those of a session, or those of a sandbox.
///
/// What is revoked stays so for as long as any token of now could be good; the next request with one is answered with
/// 401, and what is under way ends at once: requests, streams, WebSockets. Clones share what they know and their settings,
/// so one of them goes into every proxy of a process, and one stays with whoever ends sandboxes. It lives in memory: after
/// a restart, or on another machine, say it again.
///
/// # Example
///
/// ```
/// use sallygate::{JwtVerifier, ProxyLayer, Revocations};
///
/// let revocations = Revocations::new();
/// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?.revocations(&revocations);
///
/// revocations.revoke_sandbox("box-1")?;
/// revocations.revoke_session("box-2", "run-7")?;
/// revocations.revoke_token("01JD0Q6XK8")?; // its `jti`: see `Draft::token`
/// # Ok::<(), sallygate::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Revocations {
    shared: Arc<Shared>,
}

struct Shared {
    list: RwLock<List>,
    hashers: [RandomState; 2],
    /// One for each proxy that this is for.
    listeners: Mutex<Vec<Weak<dyn OnRevocation>>>,
}

/// Hears of revocations, and looks at what is under way.
pub(crate) trait OnRevocation: Send + Sync {
    /// Something was revoked of this sandbox, or of any.
    fn revoked(&self, sandbox_id: Option<&str>);
}

struct List {
    max_lifetime: u64,
    clock: Arc<dyn Clock>,
    /// Until when each must be remembered, in seconds since 1970.
    revoked: HashMap<Fingerprint, u64>,
}

/// What was revoked, as a hash under two secret seeds: of one size, however long the ids are.
#[derive(PartialEq, Eq, Hash)]
struct Fingerprint(u64, u64);

#[derive(Hash)]
enum Subject<'a> {
    Sandbox(&'a str),
    Session(&'a str, &'a str),
    Token(&'a str),
}

const DAY: u64 = 24 * 60 * 60;

/// Clocks differ: a token may be this much younger than it seems.
const SKEW: u64 = 60;

const ENTRIES_MAX: usize = 1 << 20;

impl Revocations {
    /// Creates an empty list for tokens that live 24 hours at most.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                list: RwLock::new(List {
                    max_lifetime: DAY,
                    clock: Arc::new(SystemTime::now),
                    revoked: HashMap::new(),
                }),
                hashers: [RandomState::new(), RandomState::new()],
                listeners: Mutex::default(),
            }),
        }
    }

    /// The longest life of a token, in whole seconds: what is revoked from now on is remembered for as long (and a minute,
    /// since clocks differ), and tokens that would live longer are refused from the start. For all clones. Defaults to 24
    /// hours, as [`JwtVerifier::max_lifetime`](crate::JwtVerifier::max_lifetime).
    #[must_use]
    pub fn max_lifetime(self, lifetime: Duration) -> Self {
        self.write().max_lifetime = lifetime.as_secs();
        self
    }

    /// Takes the time from `clock`, the same as the proxy's, for all clones. Defaults to the system's.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        self.write().clock = Arc::new(clock);
        self
    }

    /// Revokes a sandbox: until the longest life of a token has passed, all its tokens are refused, those issued meanwhile
    /// among them. It cannot be taken back.
    ///
    /// # Errors
    ///
    /// When it is no id that a token could bear, or a million others are revoked.
    pub fn revoke_sandbox(&self, sandbox_id: &str) -> Result<(), ConfigError> {
        self.revoke(Subject::Sandbox(sandbox_id))
    }

    /// Revokes one session of a sandbox, in the same way.
    ///
    /// # Errors
    ///
    /// As for a sandbox.
    pub fn revoke_session(&self, sandbox_id: &str, session_id: &str) -> Result<(), ConfigError> {
        self.revoke(Subject::Session(sandbox_id, session_id))
    }

    /// Revokes the token with this id: the claim `jti` of a JWT.
    ///
    /// # Errors
    ///
    /// As for a sandbox.
    pub fn revoke_token(&self, token_id: &str) -> Result<(), ConfigError> {
        self.revoke(Subject::Token(token_id))
    }

    fn revoke(&self, subject: Subject<'_>) -> Result<(), ConfigError> {
        subject.check()?;
        self.add(self.fingerprint(&subject))?;
        match subject {
            Subject::Sandbox(sandbox) | Subject::Session(sandbox, _) => {
                self.notify(Some(sandbox));
            }
            Subject::Token(_) => self.notify(None),
        }
        Ok(())
    }

    fn add(&self, subject: Fingerprint) -> Result<(), ConfigError> {
        let mut list = self.write();
        let now = unix_seconds(list.clock.now());
        let until = list.latest_expiry(now);
        let revoked = &mut list.revoked;
        if !revoked.contains_key(&subject) {
            if revoked.len() == revoked.capacity().min(ENTRIES_MAX) {
                // Before it grows, it forgets what no token is concerned by any more.
                revoked.retain(|_, until| *until > now);
            }
            if revoked.len() >= ENTRIES_MAX {
                return Err(ConfigError::Limit("a million revocations already"));
            }
        }
        revoked.insert(subject, until);
        Ok(())
    }

    /// Refuses what is revoked, and what would live on after its revocation is forgotten.
    pub(crate) fn check(&self, claims: &Claims, now: SystemTime) -> Result<(), TokenError> {
        let now = unix_seconds(now);
        let list = self.read();
        if unix_seconds(claims.expires_at()) > list.latest_expiry(now) {
            return Err(TokenError::Lifetime);
        }
        if self.names(&list, claims, now) {
            return Err(TokenError::Revoked);
        }
        Ok(())
    }

    pub(crate) fn is_revoked(&self, claims: &Claims, now: SystemTime) -> bool {
        self.names(&self.read(), claims, unix_seconds(now))
    }

    fn names(&self, list: &List, claims: &Claims, now: u64) -> bool {
        let sandbox = claims.sandbox_id();
        let session = claims.session_id().map(|id| Subject::Session(sandbox, id));
        let token = claims.token_id().map(Subject::Token);
        let holds = |subject| {
            let until = list.revoked.get(&self.fingerprint(subject));
            until.is_some_and(|until| *until > now)
        };
        let subjects = [Some(Subject::Sandbox(sandbox)), session, token];
        !list.revoked.is_empty() && subjects.iter().flatten().any(holds)
    }

    fn read(&self) -> RwLockReadGuard<'_, List> {
        let list = self.shared.list.read();
        list.unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, List> {
        let list = self.shared.list.write();
        list.unwrap_or_else(PoisonError::into_inner)
    }

    fn fingerprint(&self, subject: &Subject<'_>) -> Fingerprint {
        let [one, other] = &self.shared.hashers;
        Fingerprint(one.hash_one(subject), other.hash_one(subject))
    }

    /// Tells this one from now on, too.
    pub(crate) fn tell(&self, listener: &Arc<impl OnRevocation + 'static>) {
        let mut all = self.listeners();
        all.retain(|other| other.strong_count() > 0);
        let listener: Arc<dyn OnRevocation> = listener.clone();
        all.push(Arc::downgrade(&listener));
    }

    fn notify(&self, sandbox_id: Option<&str>) {
        for listener in self.listeners().iter().filter_map(Weak::upgrade) {
            listener.revoked(sandbox_id);
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Weak<dyn OnRevocation>>> {
        let listeners = self.shared.listeners.lock();
        listeners.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subject<'_> {
    fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Sandbox(id) => check_id(id, SANDBOX_ID),
            Self::Session(sandbox, id) => {
                check_id(sandbox, SANDBOX_ID)?;
                check_id(id, SESSION_ID)
            }
            Self::Token(id) => check_id(id, TOKEN_ID),
        }
    }
}

impl List {
    /// When a token that is good now has expired in any case.
    const fn latest_expiry(&self, now: u64) -> u64 {
        now.saturating_add(self.max_lifetime).saturating_add(SKEW)
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering::Relaxed},
        time::UNIX_EPOCH,
    };

    use super::*;

    fn scene(lifetime: u64) -> (Revocations, Arc<AtomicU64>) {
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let time = clock.clone();
        let revocations = Revocations::new()
            .max_lifetime(Duration::from_secs(lifetime))
            .clock(move || UNIX_EPOCH + Duration::from_secs(time.load(Relaxed)));
        (revocations, clock)
    }

    fn check(revocations: &Revocations, now: u64, expires_at: u64) -> Result<(), TokenError> {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let claims = Claims::new("box", at(expires_at)).unwrap();
        revocations.check(&claims, at(now))
    }

    #[test]
    fn a_revocation_is_remembered_for_as_long_as_a_token_could_be_good() {
        let (revocations, clock) = scene(900);
        revocations.revoke_sandbox("box").unwrap();
        let last = 1_000_000 + 900 + SKEW;
        assert_eq!(
            check(&revocations, last - 1, last),
            Err(TokenError::Revoked)
        );
        // A sweep forgets it no earlier.
        clock.store(last - 1, Relaxed);
        for id in 0..2000 {
            revocations.revoke_token(&format!("token-{id}")).unwrap();
        }
        assert_eq!(
            check(&revocations, last - 1, last),
            Err(TokenError::Revoked)
        );
        assert_eq!(check(&revocations, last, last + 1), Ok(()));
    }

    #[test]
    fn a_token_that_would_outlive_its_revocation_is_refused_from_the_start() {
        let (revocations, _) = scene(900);
        let longest = 1_000_000 + 900 + SKEW;
        assert_eq!(check(&revocations, 1_000_000, longest), Ok(()));
        assert_eq!(
            check(&revocations, 1_000_000, longest + 1),
            Err(TokenError::Lifetime)
        );
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_over_makes_room() {
        let (revocations, clock) = scene(900);
        for id in 0..ENTRIES_MAX {
            revocations.revoke_session("box", &id.to_string()).unwrap();
        }
        let full = revocations.revoke_token("one too many").unwrap_err();
        assert_eq!(full.to_string(), "limit: a million revocations already");
        revocations.revoke_session("box", "0").unwrap();
        clock.fetch_add(900 + SKEW, Relaxed);
        revocations.revoke_token("one too many").unwrap();
        assert_eq!(revocations.read().revoked.len(), 1);
    }
}
