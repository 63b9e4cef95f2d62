//! The APIs that are known by name: one file and one line in [`KNOWN`] each. What goes over all of them (the words in
//! which a caller is refused, the tables in `docs/services.md`, the tests) goes over that list.

mod anthropic;
mod gemini;
mod github;
mod openai;
mod slack;
mod stripe;
#[cfg(test)]
mod tables;

use crate::{
    Credential,
    rejection::Rejection,
    service::{Api, ErrorBody, SandboxSetup, SetupScope, Target},
};

/// By name.
pub(super) static KNOWN: [&Known; 6] = [
    &anthropic::KNOWN,
    &gemini::KNOWN,
    &github::KNOWN,
    &openai::KNOWN,
    &slack::KNOWN,
    &stripe::KNOWN,
];

/// What is known of an API beside where it is and what passes, which are in the [`Api`] that it makes.
pub(super) struct Known {
    /// As a service of it is usually called, and its file.
    pub(super) name: &'static str,
    /// The whole API, with its policy.
    pub(super) api: fn(Credential) -> Api,
    /// A header that all requests of its own clients bear, and those of no other in this list before it.
    pub(super) client: Option<&'static str>,
    /// An error as its clients read it.
    pub(super) error: fn(&Rejection) -> ErrorBody,
    /// What its clients want in a sandbox, for the API at these targets.
    pub(super) setup: fn(&SetupScope<'_>, &[Target]) -> SandboxSetup,
    /// For the page: as its makers write it, and what a reader of the set-up has to know.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tables are made by a test"))]
    pub(super) title: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "the tables are made by a test"))]
    pub(super) remark: &'static str,
}

impl Api {
    /// The API of this name, one of [`known_names`](Self::known_names): for a program that reads the name somewhere. In
    /// code, [`Api::anthropic`] and its like cannot be misspelt.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{Api, Credential};
    ///
    /// let key = Credential::new("sk-0123456789")?;
    /// assert!(Api::known("openai", key.clone()).is_some());
    /// assert!(Api::known("closedai", key).is_none());
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn known(name: &str, key: Credential) -> Option<Self> {
        let known = KNOWN.iter().find(|known| known.name == name)?;
        Some((known.api)(key))
    }

    /// The names of the APIs that are known, in alphabetical order.
    pub fn known_names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|known| known.name)
    }
}
