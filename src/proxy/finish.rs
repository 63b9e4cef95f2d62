use http::{Response, StatusCode};

use crate::{
    Body,
    proxy::{
        Reason, answer,
        passage::Passage,
        send::{Outbound, Sent},
        websocket,
    },
    upstream::Rewrite,
};

impl Passage {
    /// From the head of an answer to one that the caller may have, or to a WebSocket.
    pub(super) fn finish(
        &self,
        sent: Sent<'_>,
        outbound: Outbound<'_>,
    ) -> Result<Response<Body>, Reason> {
        let Outbound {
            entry,
            context,
            exchange,
            websocket,
            ..
        } = outbound;
        let watched = |body| exchange.watch(body, &entry.bounds);
        let (mut answer, target) = match sent {
            Sent::Answered(response) => {
                return Ok(response.map(watched));
            }
            Sent::Received(answer, target) => (answer, target),
        };
        let upstream = match (websocket, answer.status()) {
            (Some(websocket), StatusCode::SWITCHING_PROTOCOLS) => {
                let upstream = websocket::of_upstream(answer.extensions_mut())?;
                Some((websocket, upstream))
            }
            _ => None,
        };
        let rewrite = || Rewrite {
            target,
            public: self.gate.public_prefix(&entry.name, self.by_host),
        };
        let (policy, used) = (&entry.policy, context.into_injected());
        let answer = answer::clean(
            answer,
            policy,
            entry.bounds.response_bytes,
            used,
            rewrite,
            &self.gate.via,
        )?;
        match upstream {
            None => Ok(answer.map(watched)),
            Some((websocket, upstream)) => {
                let idle_timeout = entry.bounds.idle_timeout;
                let exchange = exchange.hold();
                websocket.splice(answer, upstream, idle_timeout, exchange, self.request_id)
            }
        }
    }
}
