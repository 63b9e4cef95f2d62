//! Tokens that were verified already: the next request with one of them costs a look-up instead of a signature. Bounded,
//! and compared as a whole.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use crate::token::Claims;

/// Tokens that were verified, so that the next request with the same one costs a look-up.
///
/// Only good tokens come in. A hit compares the whole token; its expiry is the caller's to check, every time.
/// Bounded: two generations of which the older is dropped when the younger is full. A verifier owns its cache, so
/// a change of keys starts with an empty one.
pub(super) struct Cache {
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    per_generation: usize,
}

#[derive(Default)]
struct Shard {
    young: Generation,
    old: Generation,
}

/// Keyed by the token's hash under a secret seed, which therefore needs no hashing of its own.
type Generation = HashMap<u64, Entry, BuildHasherDefault<Hashed>>;

struct Entry {
    token: Box<str>,
    claims: Arc<Claims>,
}

#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

const SHARDS: usize = 16;

/// Length of an HMAC-SHA256 in base64url.
const SIGNATURE: usize = 43;

impl Cache {
    /// Room for about `capacity` tokens; zero keeps none.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            per_generation: capacity.div_ceil(SHARDS * 2),
        }
    }

    pub(super) fn get(&self, token: &str) -> Option<Arc<Claims>> {
        let hash = self.hash(token);
        let mut shard = self
            .shard(hash)?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = shard
            .young
            .get(&hash)
            .filter(|entry| *entry.token == *token)
        {
            return Some(entry.claims.clone());
        }
        shard
            .old
            .get(&hash)
            .filter(|entry| *entry.token == *token)?;
        let entry = shard.old.remove(&hash)?;
        let claims = entry.claims.clone();
        self.store(&mut shard, hash, entry);
        Some(claims)
    }

    pub(super) fn insert(&self, token: &str, claims: Arc<Claims>) {
        let hash = self.hash(token);
        if let Some(shard) = self.shard(hash) {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            self.store(
                &mut shard,
                hash,
                Entry {
                    token: token.into(),
                    claims,
                },
            );
        }
    }

    fn store(&self, shard: &mut Shard, hash: u64, entry: Entry) {
        if shard.young.len() >= self.per_generation {
            shard.old = mem::take(&mut shard.young);
        }
        shard.young.insert(hash, entry);
    }

    /// The end of a token is its signature, which differs from any other's: no need to hash the rest.
    fn hash(&self, token: &str) -> u64 {
        let start = token.len().saturating_sub(SIGNATURE);
        self.hasher.hash_one(token.as_bytes().get(start..))
    }

    fn shard(&self, hash: u64) -> Option<&Mutex<Shard>> {
        // Bits from the middle: the map places by the low ones and compares the top ones.
        self.shards
            .get((hash >> 32) as usize % SHARDS)
            .filter(|_| self.per_generation > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn claims(id: usize) -> Arc<Claims> {
        let expires_at = SystemTime::now() + Duration::from_secs(60);
        Arc::new(Claims::new(id.to_string(), expires_at).unwrap())
    }

    #[test]
    fn stays_bounded_and_keeps_what_is_used() {
        let cache = Cache::new(1024);
        cache.insert("kept", claims(0));
        for id in 1..100_000 {
            cache.insert(&format!("token-{id}"), claims(id));
            assert_eq!(cache.get("kept").unwrap().sandbox_id(), "0");
        }
        let held: usize = cache
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap())
            .map(|s| s.young.len() + s.old.len())
            .sum();
        assert!((512..=1024 + 2 * SHARDS).contains(&held), "{held}");
        assert!(cache.get("token-1").is_none());
    }

    #[test]
    fn a_hit_is_the_whole_token() {
        let cache = Cache::new(16);
        cache.insert("a.b.c", claims(1));
        assert!(cache.get("a.b.d").is_none());
        assert!(cache.get("a.b.c").is_some());
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let cache = Cache::new(0);
        cache.insert("a.b.c", claims(1));
        assert!(cache.get("a.b.c").is_none());
    }
}
