//! From what a caller asked to a request that goes on: who it is, and what it may do here.
//!
//! A request moves through the types of this module, each of which can only be made from the one before: [`Asked`], whose
//! head is one message in one reading; [`Authenticated`], whose caller is known; [`Admitted`], which may be sent. The last
//! step makes an [`Outgoing`] request of it, from which the corridor goes on.

use std::{mem, sync::Arc, time::SystemTime};

use http::{Request, Version, request::Parts};

use crate::{
    Body, Context,
    body::DrainOnDrop,
    door::intake,
    exchange::Admission,
    forward::{Outgoing, WebSocket},
    limit::{NoPermit, Permits},
    proxy::{
        authorize,
        config::{Config, Snapshot},
        format::Audience,
        mount::{self, Route},
        rules::ServiceRules,
        subject::Sandbox,
        token::{self, Found},
    },
    rejection::Reason,
    service::{Entry, RequestId, TakenOut, dialect},
    token::{Claims, Verified, verify},
    upstream::{PathProblem, headers},
};

/// What all stages of one request work on.
///
/// The snapshot is loaded once: a change at run time shows in the next request, and no request sees half of one.
pub(super) struct Scope {
    pub(super) config: Arc<Config>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) request_id: RequestId,
    /// The version of HTTP that the caller speaks.
    pub(super) version: Version,
}

/// A request that stopped, and whom its refusal is for.
///
/// It carries no headers. Once a credential was injected they hold it, so no refusal may be made of them.
pub(super) struct Refused {
    pub(super) reason: Reason,
    pub(super) audience: Audience,
    pub(super) entry: Option<Arc<Entry>>,
}

/// The message itself, in a box: it is large, and moves through all the others.
struct Message {
    head: Parts,
    body: Body,
    by_host: bool,
    /// When it came, by the proxy's clock.
    now: SystemTime,
    /// The service that was called, if there is one of that name.
    entry: Option<Arc<Entry>>,
}

/// A request of which there is one reading. Its URI is the path below the service, with the query.
pub(super) struct Asked {
    message: Box<Message>,
}

/// Who asks, by a token that was verified, and which of the services that there are.
pub(super) struct Caller {
    token: String,
    claims: Verified<Arc<Claims>>,
    entry: Arc<Entry>,
}

/// A request whose caller is known, to a service that there is.
pub(super) struct Authenticated {
    message: Box<Message>,
    caller: Caller,
}

/// A request that may be sent. It counts among those under way, and its token is out of its URI.
pub(super) struct Admitted {
    message: Box<Message>,
    caller: Caller,
    websocket: Option<Box<WebSocket>>,
    admission: Admission,
}

impl Refused {
    /// Before anybody is known, and with no headers left to choose the words by.
    pub(super) const fn panicked() -> Self {
        Self {
            reason: Reason::Panic,
            audience: Audience::Unverified(None),
            entry: None,
        }
    }

    /// Before anybody is known. The caller's own headers choose the words.
    fn unverified(reason: Reason, head: &Parts, entry: Option<Arc<Entry>>) -> Self {
        Self {
            reason,
            audience: Audience::Unverified(dialect::of(&head.headers)),
            entry,
        }
    }

    pub(super) const fn verified(reason: Reason, entry: Arc<Entry>) -> Self {
        Self {
            reason,
            audience: Audience::Verified,
            entry: Some(entry),
        }
    }
}

impl Caller {
    pub(super) const fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl Asked {
    /// Reads the head of a request. What two parsers could read differently is refused.
    pub(super) fn read(
        request: Request<Body>,
        route: Option<Route>,
        scope: &Scope,
    ) -> Result<Self, Refused> {
        let (mut head, body) = request.into_parts();
        let body = body.unguarded();
        // Drained when it is refused: a caller that is still sending would not see the response.
        let body = body.drain_on_drop(DrainOnDrop::of(head.version, &head.headers));
        let mut entry = None;
        match Self::check(&mut head, route.as_ref(), scope, &mut entry) {
            Err(reason) => Err(Refused::unverified(reason, &head, entry)),
            Ok(()) => Ok(Self {
                message: Box::new(Message {
                    head,
                    body,
                    by_host: matches!(route, Some(Route::ByHost(_))),
                    now: scope.config.exchanges.now(),
                    entry,
                }),
            }),
        }
    }

    /// Checks a head, and reduces its URI to what the service sees. On the way it finds the service, for the log.
    fn check(
        head: &mut Parts,
        route: Option<&Route>,
        scope: &Scope,
        entry: &mut Option<Arc<Entry>>,
    ) -> Result<(), Reason> {
        let registry = &scope.snapshot.registry;
        // Before everything else: no service may ever have these.
        intake::check_method(head)?;
        // Before the path: where the framing is in doubt, nothing else in the message means anything.
        intake::check_headers(head, registry.bounds())?;
        // Without a route it is not below the mount. A layer lets that through to the application; here there is none.
        let route = match route {
            Some(route) => route,
            None if head.uri.path().starts_with('/') => return Err(Reason::NotFound),
            None => return Err(Reason::Path(PathProblem::Unroutable)),
        };
        let asked = mem::take(&mut head.uri);
        let (service, rest) = route.split(asked.path())?;
        // As lenient as the most lenient service: by the service called, the response would tell which there are.
        intake::check_path(rest, asked.query(), registry.encoded_slashes())?;
        *entry = registry.get(service).cloned();
        // A service sees the same URI wherever it is mounted.
        head.uri = mount::reduced(rest, asked.query())?;
        intake::keep_authority(&mut head.headers, &asked);
        if scope.version >= Version::HTTP_2 {
            intake::join_cookies(&mut head.headers);
        }
        // Behind the cookies, which HTTP/2 may send in pieces; before the token is looked for among these.
        token::check_credentials(head, registry)
    }

    /// Finds the token and verifies it. It borrows, so that its future does not hold the request once more.
    pub(super) async fn verify(&self, scope: &Scope) -> Result<Caller, Refused> {
        let verified = self.find_and_verify(scope).await;
        verified.map_err(|reason| {
            Refused::unverified(reason, &self.message.head, self.message.entry.clone())
        })
    }

    /// The two belong together: a token that is missing is told from one that is bad, and nothing else is.
    async fn find_and_verify(&self, scope: &Scope) -> Result<Caller, Reason> {
        let message = &*self.message;
        let Snapshot { registry, verifier } = &*scope.snapshot;
        let Found { token, elsewhere } =
            token::find(registry, message.entry.as_deref(), &message.head)?;
        let revocations = scope.config.revocations.as_ref();
        let claims = verify(&**verifier, revocations, &token, message.now).await;
        let claims = claims.map_err(Reason::Token)?;
        // Behind the verification, which takes as long for either: a token in another service's place is no token here.
        if elsewhere {
            return Err(Reason::TokenElsewhere);
        }
        let entry = message.entry.clone().ok_or(Reason::ServiceUnknown)?;
        Ok(Caller {
            token,
            claims,
            entry,
        })
    }

    /// Joins what was asked with who asks.
    pub(super) fn authenticated_as(self, caller: Caller) -> Authenticated {
        Authenticated {
            message: self.message,
            caller,
        }
    }
}

impl Authenticated {
    /// Lets the request in, if there is room for it and the service takes it.
    pub(super) fn admit(mut self, scope: &Scope) -> Result<Admitted, Reason> {
        let Config {
            exchanges,
            permits,
            revocations,
            via,
            ..
        } = &*scope.config;
        let Caller {
            token,
            claims,
            entry,
            ..
        } = &self.caller;
        let head = &mut self.message.head;
        let proxy = scope.snapshot.registry.bounds();
        let acquire = |permits: &Arc<Permits>, bounds, busy| {
            let permit = permits.acquire(claims.sandbox_id(), bounds);
            permit.map_err(|none| match none {
                NoPermit::OfAll => busy,
                NoPermit::OfSubject => Reason::Busy,
            })
        };
        // Before anything is done for it: a request that is one too many costs no more than this.
        let permits = [
            acquire(permits, proxy, Reason::Overloaded)?,
            acquire(&entry.permits, &entry.bounds, Reason::ServiceBusy)?,
        ];
        let sandbox = Sandbox::new(Arc::clone(claims), revocations.clone());
        let admission = Admission::new(exchanges, sandbox, permits, &entry.bounds)?;
        // Before the method is looked at: over HTTP/2 it is `CONNECT`, and means `GET`.
        let websocket = WebSocket::take_handshake(head)?;
        // While the token still stands in its cookie.
        authorize::check_site(head, token, websocket.is_some())?;
        // Before the path is looked at, which must be the path that is sent.
        token::remove_from_uri(&mut head.uri, token, entry)?;
        authorize::check_policy(head, entry, proxy)?;
        if via.is_in(&head.headers) {
            return Err(Reason::Loop);
        }
        Ok(Admitted {
            message: self.message,
            caller: self.caller,
            websocket,
            admission,
        })
    }
}

impl Admitted {
    /// Takes out what is the caller's alone, and makes the request that goes on: to the target, its path and query below the
    /// target's base path, byte for byte.
    pub(super) fn prepare(self, scope: &Scope) -> Result<Outgoing<ServiceRules>, Reason> {
        let Self {
            message,
            caller,
            websocket,
            admission,
        } = self;
        let Message {
            mut head,
            body,
            by_host,
            now,
            ..
        } = *message;
        let Caller {
            token,
            claims,
            entry,
        } = caller;
        let below = head.uri.path_and_query().ok_or(Reason::Origin)?;
        let joined = entry.config.target().join(below);
        let joined = joined.map_err(|_| Reason::UriTooLong)?;
        if websocket.is_some() {
            token::remove_from_subprotocols(&mut head.headers, &token);
        }
        entry.remove_items(&mut head.headers);
        let injected = scope.snapshot.registry.injected();
        let split = headers::split_request(
            mem::take(&mut head.headers),
            &entry.policy,
            injected,
            &token,
        );
        let taken = TakenOut {
            uri: mem::replace(&mut head.uri, joined),
            headers: split.taken,
            host: split.host,
            extensions: mem::take(&mut head.extensions),
        };
        let context = Context::new(claims, entry.clone(), scope.request_id, now, taken);
        head.headers = split.passed;
        let rules = ServiceRules::new(scope.config.clone(), entry, context, by_host);
        let snapshot = &scope.snapshot;
        // Trailers are held to the same rules as headers.
        let body = body.filter_trailers(|| {
            let snapshot = snapshot.clone();
            Box::new(move |trailers| {
                headers::clean_request_trailers(trailers, snapshot.registry.injected(), &token);
            })
        });
        let request = Request::from_parts(head, body);
        Ok(Outgoing::new(
            admission,
            request,
            websocket,
            scope.request_id,
            rules,
        ))
    }
}
