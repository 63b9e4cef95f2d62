//! The services of one proxy as a request sees them, and what follows from having them together: which headers nobody may
//! send, and what a 401 asks for. A change makes a new one.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use http::{HeaderMap, HeaderValue, request::Parts};

use crate::{
    ConfigError, extract,
    limit::Permits,
    service::{Bounds, Injection, Limits, Place, Policy, ServiceConfig, ServiceName},
    upstream::headers,
};

/// The services of one proxy, and what follows from having them together. Immutable: a change makes a new one.
#[derive(Clone, Default)]
pub(crate) struct Registry {
    services: BTreeMap<ServiceName, Arc<Entry>>,
    /// Headers that any service injects to, spelled with `-`: no caller's value of them reaches any upstream.
    injected: BTreeSet<String>,
    challenges: Vec<HeaderValue>,
    encoded_slashes: bool,
    limits: Limits,
    bounds: Bounds,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: ServiceName,
    pub(crate) config: Arc<dyn ServiceConfig>,
    pub(crate) policy: Policy,
    pub(crate) injections: Vec<Injection>,
    pub(crate) bounds: Bounds,
    pub(crate) permits: Arc<Permits>,
}

impl Entry {
    /// What the service found; nothing is no token.
    pub(crate) fn token<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
        self.config
            .validate(request)
            .filter(|token| !token.is_empty())
    }

    /// Where nothing of a caller's passes: where keys go, and what the policy names besides.
    fn closed(&self) -> impl Iterator<Item = &Place> {
        let injected = self.injections.iter().map(Injection::place);
        injected.chain(&self.policy.taken_out)
    }

    /// Takes out of lists in headers what stands where nothing of a caller's passes.
    pub(crate) fn remove_items(&self, headers: &mut HeaderMap) {
        self.closed().for_each(|place| place.remove_item(headers));
    }

    /// Whether a parameter of a query stands where nothing of a caller's passes.
    pub(crate) fn takes_out(&self, parameter: &str) -> bool {
        self.closed().any(|place| place.is_parameter(parameter))
    }
}

impl Registry {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Entry>> {
        self.services.get(name)
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Entry> {
        self.services.values().map(|entry| &**entry)
    }

    pub(crate) fn insert(
        &mut self,
        name: ServiceName,
        config: Arc<dyn ServiceConfig>,
        replace: bool,
    ) -> Result<(), ConfigError> {
        if !replace && self.services.contains_key(&name) {
            return Err(ConfigError::DuplicateService(name));
        }
        if !config.targets().contains(config.target()) {
            return Err(ConfigError::Service(
                name,
                "its target is not among its targets",
            ));
        }
        let mut policy = config.policy().clone();
        policy.check()?;
        let injections = config.injections().to_vec();
        if let Err(problem) = check(&policy, &injections) {
            return Err(ConfigError::Service(name, problem));
        }
        // Servers say in errors which URL was wrong.
        let mut places = injections.iter().map(Injection::place);
        policy.redact_errors |= places.any(Place::is_in_uri);
        // Who is under way at the one before is under way at this one.
        let before = self.services.get(&name);
        let permits = before.map(|before| before.permits.clone());
        let entry = Entry {
            name: name.clone(),
            config,
            bounds: Bounds::of_service(&self.limits, policy.own_limits()),
            policy,
            injections,
            permits: permits.unwrap_or_default(),
        };
        self.services.insert(name, Arc::new(entry));
        self.index();
        Ok(())
    }

    /// Sets limits for all services; those that `limits` does not set stay.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits.or(self.limits);
        self.bounds = Bounds::of_proxy(&self.limits);
        for entry in self.services.values_mut() {
            let bounds = Bounds::of_service(&self.limits, entry.policy.own_limits());
            *entry = Arc::new(Entry {
                bounds,
                ..Entry::clone(entry)
            });
        }
    }

    /// What holds before the service is known.
    pub(crate) const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let removed = self.services.remove(name).is_some();
        self.index();
        removed
    }

    /// The token in a request to a service that does not exist: looked for wherever any service would.
    pub(crate) fn any_token<'r>(&self, request: &'r Parts) -> Option<Cow<'r, str>> {
        if self.services.is_empty() {
            return extract::bearer(request);
        }
        self.services
            .values()
            .find_map(|entry| entry.token(request))
    }

    /// Headers that any service injects to, beside the well-known ones; spelled with `-`.
    pub(crate) fn injected(&self) -> &BTreeSet<String> {
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
        let policies = || self.services.values().map(|entry| &entry.policy);
        self.encoded_slashes = policies().any(|policy| policy.encoded_slashes);
        let mut challenges: Vec<_> = policies()
            .filter_map(|policy| policy.challenge.clone())
            .collect();
        challenges.sort();
        challenges.dedup();
        // `Bearer` sorts behind `Basic`, and is what most clients look for first.
        challenges.reverse();
        self.challenges = challenges;
        self.injected = self
            .services
            .values()
            .flat_map(|entry| entry.closed())
            .filter_map(|place| place.in_header())
            .map(|name| headers::plain_name(name).into_owned())
            .filter(|name| !headers::is_credential(name))
            .collect();
    }
}

/// Places may be made of any name; what is done with them here may not.
fn check(policy: &Policy, injections: &[Injection]) -> Result<(), &'static str> {
    let framing = |injection: &Injection| {
        let header = injection.place().in_header();
        header.is_some_and(headers::is_framing)
    };
    if injections.iter().any(framing) {
        return Err("a key goes into a header that frames the message");
    }
    if !policy.taken_out.iter().all(Place::can_be_taken_out) {
        return Err("its policy takes out a part of the path");
    }
    Ok(())
}
