use std::{num::NonZeroUsize, time::Duration};

use sallygate::{Policy, proxy::Limits};

use crate::{refusal::Refusal, section::Section};

/// How much, how long and how many at a time, of one service.
pub(crate) struct Bounds {
    body_bytes: Option<u64>,
    response_bytes: Option<u64>,
    response_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    concurrent: Option<NonZeroUsize>,
}

const BYTES: &str = "a number of bytes";

impl Bounds {
    pub(crate) const KEYS: [&str; 5] = [
        "body_bytes",
        "response_bytes",
        "response_timeout",
        "idle_timeout",
        "concurrent",
    ];

    pub(crate) fn parse(section: &mut Section) -> Result<Self, Refusal> {
        Ok(Self {
            body_bytes: section.number("body_bytes", BYTES)?,
            response_bytes: section.number("response_bytes", BYTES)?,
            response_timeout: section.duration("response_timeout")?,
            idle_timeout: section.duration("idle_timeout")?,
            concurrent: count(section, "concurrent")?,
        })
    }

    pub(crate) fn apply(&self, mut policy: Policy) -> Policy {
        if let Some(bytes) = self.body_bytes {
            policy = policy.body_bytes(bytes);
        }
        if let Some(bytes) = self.response_bytes {
            policy = policy.response_bytes(bytes);
        }
        if let Some(timeout) = self.response_timeout {
            policy = policy.response_timeout(timeout);
        }
        if let Some(timeout) = self.idle_timeout {
            policy = policy.idle_timeout(timeout);
        }
        if let Some(requests) = self.concurrent {
            policy = policy.concurrent(requests);
        }
        policy
    }
}

/// Those of the gateway as a whole.
pub(crate) fn limits(mut section: Section) -> Result<Limits, Refusal> {
    section.only(&["body_bytes", "idle_timeout", "concurrent_per_sandbox"])?;
    let mut limits = Limits::new();
    if let Some(bytes) = section.number("body_bytes", BYTES)? {
        limits = limits.body_bytes(bytes);
    }
    if let Some(timeout) = section.duration("idle_timeout")? {
        limits = limits.idle_timeout(timeout);
    }
    if let Some(requests) = count(&mut section, "concurrent_per_sandbox")? {
        limits = limits.concurrent_per_sandbox(requests);
    }
    Ok(limits)
}

fn count(section: &mut Section, key: &str) -> Result<Option<NonZeroUsize>, Refusal> {
    const EXPECTED: &str = "a number of requests, at least 1";
    let Some(number) = section.number(key, EXPECTED)? else {
        return Ok(None);
    };
    let number = usize::try_from(number).ok().and_then(NonZeroUsize::new);
    number
        .map(Some)
        .ok_or_else(|| section.refuse(key, EXPECTED))
}
