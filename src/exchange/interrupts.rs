//! How requests under way hear of what may end them.
//!
//! Each request listens on the channel of its subject. Whoever ends something (a revocation, a shutdown, a caller that gave
//! up) notifies that channel, and every listener looks for itself whether it is meant. Channels are shared by subjects
//! whose hash is the same, so a notification says no more than "look again".

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;

use crate::token::OnRevocation;

/// The channels on which requests under way listen.
///
/// A notification is counted as well as sent. Whoever looks only now and then, as a body does with each frame, compares the
/// count with the one it saw last; whoever waits is woken.
pub(crate) struct Interrupts {
    hasher: RandomState,
    channels: Box<[Listeners]>,
}

/// Those who listen on one channel.
#[derive(Default)]
struct Listeners {
    notified: AtomicUsize,
    waiting: Notify,
}

/// One of the channels.
#[derive(Clone, Copy)]
pub(crate) struct Channel(usize);

/// Few enough to be notified all at once, many enough that a subject wakes few others.
const CHANNELS: usize = 64;

impl Interrupts {
    /// The channel of a subject. The hash is seeded, so that nobody can choose ids that share one.
    pub(crate) fn channel(&self, subject: &str) -> Channel {
        Channel(self.hasher.hash_one(subject) as usize % CHANNELS)
    }

    /// How often the channel was notified. One that has not changed since spares a look.
    pub(crate) fn count(&self, channel: Channel) -> usize {
        self.listeners(channel).notified.load(SeqCst)
    }

    /// Waits until `is_so`, which is asked now and after every notification.
    pub(crate) async fn wait(&self, channel: Channel, is_so: impl Fn() -> bool) {
        wait_until(&self.listeners(channel).waiting, is_so).await;
    }

    /// Tells everybody on a channel to look again, after the change that they are to see.
    pub(crate) fn notify(&self, channel: Channel) {
        let listeners = self.listeners(channel);
        // Counted before anybody is woken, or somebody could look at the old count.
        listeners.notified.fetch_add(1, SeqCst);
        listeners.waiting.notify_waiters();
    }

    /// Tells everybody, where it is not known whom a change concerns.
    pub(crate) fn notify_all(&self) {
        (0..CHANNELS).for_each(|channel| self.notify(Channel(channel)));
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a channel is below the number of channels"
    )]
    fn listeners(&self, Channel(channel): Channel) -> &Listeners {
        &self.channels[channel % CHANNELS]
    }
}

impl OnRevocation for Interrupts {
    fn revoked(&self, sandbox_id: Option<&str>) {
        match sandbox_id {
            Some(sandbox_id) => self.notify(self.channel(sandbox_id)),
            None => self.notify_all(),
        }
    }
}

impl Default for Interrupts {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            channels: (0..CHANNELS).map(|_| Listeners::default()).collect(),
        }
    }
}

/// Waits until `is_so`, which changes before each notification.
pub(super) async fn wait_until(notify: &Notify, is_so: impl Fn() -> bool) {
    loop {
        let mut notified = pin!(notify.notified());
        // Listening before looking, or a change in between would go unnoticed.
        notified.as_mut().enable();
        if is_so() {
            return;
        }
        notified.await;
    }
}
