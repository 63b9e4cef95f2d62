use std::{num::NonZeroUsize, time::Duration};

use sallygate::{Limits, Policy};

use crate::{refusal::Refusal, section::Section};

/// How much, how long and how many at a time, of one service.
pub(crate) struct Bounds {
    body_bytes: Option<u64>,
    header_bytes: Option<u32>,
    header_fields: Option<usize>,
    response_bytes: Option<u64>,
    connect_timeout: Option<Duration>,
    response_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    unread_timeout: Option<Duration>,
    expiry_grace: Option<Duration>,
    concurrent: Option<NonZeroUsize>,
}

const BYTES: &str = "a number of bytes";

impl Bounds {
    pub(crate) const KEYS: [&str; 10] = [
        "body_bytes",
        "header_bytes",
        "header_fields",
        "response_bytes",
        "connect_timeout",
        "response_timeout",
        "idle_timeout",
        "unread_timeout",
        "expiry_grace",
        "concurrent",
    ];

    pub(crate) fn parse(section: &mut Section) -> Result<Self, Refusal> {
        Ok(Self {
            body_bytes: section.number("body_bytes", BYTES)?,
            header_bytes: header_bytes(section)?,
            header_fields: header_fields(section)?,
            response_bytes: section.number("response_bytes", BYTES)?,
            connect_timeout: section.duration("connect_timeout")?,
            response_timeout: section.duration("response_timeout")?,
            idle_timeout: section.duration("idle_timeout")?,
            unread_timeout: section.duration("unread_timeout")?,
            expiry_grace: section.duration("expiry_grace")?,
            concurrent: count(section, "concurrent")?,
        })
    }

    pub(crate) fn apply(&self, policy: Policy) -> Policy {
        let mut limits = Limits::new();
        if let Some(bytes) = self.body_bytes {
            limits = limits.body_bytes(bytes);
        }
        if let Some(bytes) = self.header_bytes {
            limits = limits.header_bytes(bytes as usize);
        }
        if let Some(fields) = self.header_fields {
            limits = limits.header_fields(fields);
        }
        if let Some(bytes) = self.response_bytes {
            limits = limits.response_bytes(bytes);
        }
        if let Some(timeout) = self.connect_timeout {
            limits = limits.connect_timeout(timeout);
        }
        if let Some(timeout) = self.response_timeout {
            limits = limits.response_timeout(timeout);
        }
        if let Some(timeout) = self.idle_timeout {
            limits = limits.idle_timeout(timeout);
        }
        if let Some(timeout) = self.unread_timeout {
            limits = limits.unread_timeout(timeout);
        }
        if let Some(grace) = self.expiry_grace {
            limits = limits.expiry_grace(grace);
        }
        if let Some(requests) = self.concurrent {
            limits = limits.concurrent(requests);
        }
        policy.limits(limits)
    }
}

/// Those of the gateway as a whole.
#[derive(Default)]
pub(crate) struct Whole {
    pub(crate) limits: Limits,
    pub(crate) heads: Heads,
}

/// What the file says of heads: larger ones than its server takes do not come as far as the proxy.
#[derive(Clone, Copy, Default)]
pub(crate) struct Heads {
    pub(crate) bytes: Option<u32>,
    pub(crate) fields: Option<usize>,
}

impl Whole {
    pub(crate) fn parse(mut section: Section) -> Result<Self, Refusal> {
        section.only(&[
            "body_bytes",
            "header_bytes",
            "header_fields",
            "idle_timeout",
            "unread_timeout",
            "concurrent_per_sandbox",
        ])?;
        let mut limits = Limits::new();
        let heads = Heads {
            bytes: header_bytes(&mut section)?,
            fields: header_fields(&mut section)?,
        };
        if let Some(bytes) = section.number("body_bytes", BYTES)? {
            limits = limits.body_bytes(bytes);
        }
        if let Some(bytes) = heads.bytes {
            limits = limits.header_bytes(bytes as usize);
        }
        if let Some(fields) = heads.fields {
            limits = limits.header_fields(fields);
        }
        if let Some(timeout) = section.duration("idle_timeout")? {
            limits = limits.idle_timeout(timeout);
        }
        if let Some(timeout) = section.duration("unread_timeout")? {
            limits = limits.unread_timeout(timeout);
        }
        if let Some(requests) = count(&mut section, "concurrent_per_sandbox")? {
            limits = limits.concurrent_per_sandbox(requests);
        }
        Ok(Self { limits, heads })
    }
}

fn header_bytes(section: &mut Section) -> Result<Option<u32>, Refusal> {
    // With the longest URI, that is less than HTTP/1.1 holds of a head.
    const EXPECTED: &str = "a number of bytes, from 1 to 262144";
    match section.number("header_bytes", EXPECTED)? {
        None => Ok(None),
        Some(bytes @ 1..=262_144) => Ok(Some(bytes as u32)),
        Some(_) => Err(section.refuse("header_bytes", EXPECTED)),
    }
}

fn header_fields(section: &mut Section) -> Result<Option<usize>, Refusal> {
    const EXPECTED: &str = "a number of header fields, from 1 to 1000";
    match section.number("header_fields", EXPECTED)? {
        None => Ok(None),
        Some(fields @ 1..=1000) => Ok(Some(fields as usize)),
        Some(_) => Err(section.refuse("header_fields", EXPECTED)),
    }
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
