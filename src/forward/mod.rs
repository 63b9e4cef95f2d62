//! From an admitted request to its response, up to the last byte of both bodies.
//!
//! A door hands over an [`Outgoing`] request, from which everything that is the caller's alone was taken, and the [`Rules`]
//! by which something is injected and by which the response comes back. [`forward`] has the order of everything between,
//! for all doors. It knows no door: what differs is asked of the rules.
//!
//! ```text
//!  Outgoing ─▶ ready ─▶ inject ─▶ origin ─▶ seal ─▶ send ─▶ receive ─▶ Reply ─▶ clean ─▶ response
//!              ▲                                                  │
//!              └──────────── once, with something else ◀──────────┘
//! ```
//!
//! | step | holds that |
//! | --- | --- |
//! | ready | what is injected does not have to be waited for while it is put in |
//! | inject | the caller's identity is out by now, so nothing injected is ever taken out again |
//! | origin | scheme, host and port are those of a target, whoever changed the URI |
//! | seal | the framing is that of the body, and a key stands alone under its name |
//! | receive | a response that was not asked for, or could be read in two ways, goes no further |
//! | clean | nothing of what was injected is in the head, and nothing in it acts on the host |
//!
//! The values follow one another, and each is made from the one before: an [`Outgoing`] request needs an
//! [`Admission`](crate::exchange::Admission), a [`Reply`] an outgoing request, a response a reply.

mod outgoing;
mod replay;
mod reply;
mod rules;
mod send;
mod websocket;

use std::pin::pin;

use http::Response;

pub(crate) use self::{
    outgoing::Outgoing,
    rules::Rules,
    send::OutboundService,
    websocket::{WebSocket, is_extended_connect},
};
use crate::{Body, rejection::Reason};

/// Sends a request and brings its response back, in the order that keeps the promises of docs/life-of-a-request.md.
///
/// It borrows, so that its future, which every request allocates, holds nothing twice.
pub(crate) async fn forward<R: Rules>(
    outgoing: &mut Outgoing<R>,
    client: &mut impl OutboundService,
) -> Result<Response<Body>, Reason> {
    let Outgoing {
        request,
        in_flight,
        rules,
    } = outgoing;
    let reply = {
        // Until there is a response, the exchange ends the wait for it: when its subject is revoked, when the door shuts down,
        // and when the upstream stops reading the upload. Dropping the wait gives the connection up.
        let replying = pin!(send::send(request, in_flight, rules, client));
        in_flight.admission.unless_ended(replying).await?
    };
    // Before the exchange counts as responded: a response that is refused here leaves nothing behind.
    let response = reply.into_response(in_flight, rules)?;
    in_flight.admission.responded();
    Ok(response)
}
