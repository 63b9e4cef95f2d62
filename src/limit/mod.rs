//! How many requests there may be: for now, at a time.
//!
//! A [`Permits`] counts the requests under way in one place, in all and of each subject. A request holds a [`Permit`] from
//! its admission to the last byte of both bodies.

mod permits;

pub(crate) use self::permits::{NoPermit, Permit, Permits};
