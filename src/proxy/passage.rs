use std::{mem, sync::Arc};

use http::{Request, Response, Version, request::Parts};

use crate::{
    Body,
    proxy::{
        Reason,
        exchange::Hold,
        gate::{Gate, State},
        rejection::Refusal,
        request::{self, Found},
        route,
    },
    service::{Entry, RequestId},
};

/// One request on its way through, and the snapshot it works on.
pub(super) struct Passage {
    pub(super) gate: Arc<Gate>,
    pub(super) state: Arc<State>,
    pub(super) request_id: RequestId,
    pub(super) version: Version,
    pub(super) entry: Option<Arc<Entry>>,
    pub(super) exchange: Option<Hold>,
    pub(super) by_host: bool,
    /// Whether the caller may know that there is such a service.
    pub(super) verified: bool,
    /// As it stands: what the caller sent, what goes out, and nothing while it is elsewhere.
    pub(super) request: Request<Body>,
}

impl Drop for Passage {
    /// Refused, or left by its caller: unless there is an answer, this is the end of the exchange, wherever its body is.
    fn drop(&mut self) {
        if let Some(exchange) = &self.exchange {
            exchange.give_up();
        }
    }
}

impl Passage {
    /// The stages before anybody is known. What they refuse is answered without the service's help.
    pub(super) fn open(&mut self) -> Result<Found, Reason> {
        let (mut parts, body) = mem::take(&mut self.request).into_parts();
        let found = self.find_token(&mut parts);
        self.request = Request::from_parts(parts, body);
        found
    }

    fn find_token(&mut self, parts: &mut Parts) -> Result<Found, Reason> {
        let registry = &self.state.registry;
        route::check_method(parts)?;
        route::check_headers(parts, registry.bounds())?;
        let asked = mem::take(&mut parts.uri);
        let route = self.gate.route(&asked, &parts.headers)?;
        route::check_path(route.rest, asked.query(), registry.encoded_slashes())?;
        parts.uri = route.uri(asked.query())?;
        self.by_host = route.by_host;
        self.entry = registry.get(&route.service).cloned();
        route::keep_authority(&mut parts.headers, &asked);
        if self.version >= Version::HTTP_2 {
            route::join_cookies(&mut parts.headers);
        }
        route::check_credentials(parts, registry)?;
        request::extract(registry, self.entry.as_deref(), parts)
    }

    pub(super) fn reject(&self, reason: Reason) -> Response<Body> {
        // Where it is unclear how the request was framed, the next one on this connection cannot be trusted.
        let in_doubt = matches!(
            reason,
            Reason::Header(_) | Reason::BodyBroken | Reason::BodyTooLarge
        );
        let refusal = Refusal {
            request_id: self.request_id,
            service: self.entry.as_deref(),
            verified: self.verified,
            caller: self.request.headers(),
            challenges: self.state.registry.challenges(),
            close: in_doubt && self.version < Version::HTTP_2,
        };
        refusal.into_response(reason)
    }
}
