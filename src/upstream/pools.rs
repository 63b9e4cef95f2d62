use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use hyper_util::client::legacy;

use crate::{Body, upstream::connector::Connector};

pub(super) type Pool = legacy::Client<Connector, Body>;

/// Pools of connections, of which each has so many requests under way.
///
/// To each origin that speaks HTTP/2, a pool has one connection. Its server takes so many streams on it, and further
/// requests would wait for one of them to end: behind responses that stream, for minutes.
pub(super) struct Pools {
    new: Box<dyn Fn() -> Pool + Send + Sync>,
    members: ArcSwap<Vec<Arc<Member>>>,
}

struct Member {
    pool: Pool,
    under_way: AtomicUsize,
}

/// A request's place in a pool, until its response has ended.
pub(super) struct Place(Arc<Member>);

/// No server should take fewer (RFC 9113 §6.5.2), and many take no more.
const STREAMS: usize = 100;

impl Pools {
    pub(super) fn new(new: impl Fn() -> Pool + Send + Sync + 'static) -> Self {
        let first = Arc::new(Member::new(new()));
        Self {
            new: Box::new(new),
            members: ArcSwap::from_pointee(vec![first]),
        }
    }

    /// A place in the first pool that has one, so that those behind it fall idle again.
    pub(super) fn enter(&self) -> Place {
        loop {
            let members = self.members.load();
            if let Some(member) = members.iter().find(|member| member.enter()) {
                return Place(member.clone());
            }
            let further = Arc::new(Member::new((self.new)()));
            self.members.rcu(|now| {
                let mut now = Vec::clone(now);
                // Unless another request was faster.
                if now.len() == members.len() {
                    now.push(further.clone());
                }
                now
            });
        }
    }
}

impl Member {
    const fn new(pool: Pool) -> Self {
        Self {
            pool,
            under_way: AtomicUsize::new(0),
        }
    }

    fn enter(&self) -> bool {
        let entered = self.under_way.fetch_add(1, Ordering::Relaxed) < STREAMS;
        if !entered {
            self.leave();
        }
        entered
    }

    fn leave(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Place {
    pub(super) fn pool(&self) -> &Pool {
        &self.0.pool
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}
