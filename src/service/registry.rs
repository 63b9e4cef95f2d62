use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use http::{HeaderValue, request::Parts};

use crate::{
    ConfigError,
    service::{ServiceConfig, ServiceName},
    upstream::headers,
};

/// The services of one proxy, and what follows from having them together. Immutable: a change makes a new one.
#[derive(Clone, Default)]
pub(crate) struct Registry {
    services: HashMap<ServiceName, Arc<Entry>>,
    /// Headers that any service injects to, spelled with `-`: no caller's value of them reaches any upstream.
    injected: HashSet<String>,
    challenges: Vec<HeaderValue>,
    encoded_slashes: bool,
}

pub(crate) struct Entry {
    pub(crate) name: ServiceName,
    pub(crate) config: Arc<dyn ServiceConfig>,
}

impl Registry {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Entry>> {
        self.services.get(name)
    }

    pub(crate) fn insert(
        &mut self,
        name: ServiceName,
        config: Arc<dyn ServiceConfig>,
    ) -> Result<(), ConfigError> {
        if !config.targets().contains(config.target()) {
            return Err(ConfigError::Service(
                name,
                "its target is not among its targets",
            ));
        }
        self.services
            .insert(name.clone(), Arc::new(Entry { name, config }));
        self.index();
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let removed = self.services.remove(name).is_some();
        self.index();
        removed
    }

    /// Whether any service finds something that could be its token: what tells a missing token from a bad one must
    /// not tell a missing service from one that exists.
    pub(crate) fn finds_token(&self, request: &Parts) -> bool {
        self.services
            .values()
            .any(|entry| entry.config.validate(request).is_some())
    }

    /// The token in a request to a service that does not exist.
    pub(crate) fn any_token(&self, request: &Parts) -> Option<String> {
        self.services
            .values()
            .find_map(|entry| entry.config.validate(request))
            .map(std::borrow::Cow::into_owned)
    }

    /// Headers that any service injects to, beside the well-known ones; spelled with `-`.
    pub(crate) fn injected(&self) -> &HashSet<String> {
        &self.injected
    }

    /// What a 401 asks with: every service's way, whichever was called.
    pub(crate) fn challenges(&self) -> &[HeaderValue] {
        &self.challenges
    }

    /// Whether any service takes encoded slashes.
    pub(crate) fn encoded_slashes(&self) -> bool {
        self.encoded_slashes
    }

    fn index(&mut self) {
        let policies = || self.services.values().map(|entry| entry.config.policy());
        self.encoded_slashes = policies().any(|policy| policy.encoded_slashes);
        let mut challenges: Vec<_> = policies().map(|policy| policy.challenge.clone()).collect();
        challenges.sort();
        challenges.dedup();
        // `Bearer` sorts behind `Basic`, and is what most clients look for first.
        challenges.reverse();
        self.challenges = challenges;
        self.injected = self
            .services
            .values()
            .flat_map(|entry| &entry.config.policy().places)
            .filter_map(|place| place.header())
            .map(|name| name.as_str().replace('_', "-"))
            .filter(|name| !headers::is_credential(name))
            .collect();
    }
}
