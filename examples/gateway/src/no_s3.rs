use std::fmt;

use http::uri::Authority;
use sallygate::Api;

use crate::{refusal::Refusal, section::Section, upstream::MakeKey};

/// S3, which this build is without.
pub(crate) enum S3 {}

impl S3 {
    pub(crate) fn parse(section: &mut Section) -> Result<Self, Refusal> {
        let expected = "another one: for S3, build the gateway with `--features sigv4`";
        Err(section.refuse("preset", expected))
    }

    pub(crate) fn authorities(&self) -> Vec<Authority> {
        match *self {}
    }

    pub(crate) fn service(&self, _: MakeKey) -> Result<Api, Refusal> {
        match *self {}
    }
}

impl fmt::Display for S3 {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}
