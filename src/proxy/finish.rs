use std::{mem, sync::Arc};

use http::{Response, StatusCode};

use crate::{
    Body, Context,
    proxy::{
        Reason, answer,
        exchange::Exchange,
        passage::Passage,
        send::{Outbound, Sent},
        websocket,
    },
    service::Entry,
    upstream::Rewrite,
};

impl Passage {
    /// An error without the key in it, where the policy wants that.
    pub(super) async fn redact<'e>(
        &self,
        sent: Sent<'e>,
        entry: &Entry,
        context: &Context,
    ) -> Result<Sent<'e>, Reason> {
        match sent {
            Sent::Received(answer, target) => {
                let timeout = self.gate.idle_timeout(&entry.policy);
                let answer = answer.map(|body| body.idle_timeout(timeout));
                let answer = answer::redact(answer, context).await?;
                Ok(Sent::Received(answer, target))
            }
            answered => Ok(answered),
        }
    }

    /// From the head of an answer to one that the caller may have, or to a WebSocket.
    pub(super) fn finish(
        &self,
        sent: Sent<'_>,
        outbound: Outbound<'_>,
        exchange: Arc<Exchange>,
    ) -> Result<Response<Body>, Reason> {
        let Outbound {
            entry,
            context,
            websocket,
            ..
        } = outbound;
        exchange.answered();
        let idle_timeout = self.gate.idle_timeout(&entry.policy);
        let watched = |body: Body| {
            let unread = self.gate.unread_timeout(&entry.policy);
            body.idle_timeout(idle_timeout)
                .until(|| exchange.share(), unread)
        };
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
        let (policy, used) = (&entry.policy, context.into_used());
        let mut answer = answer::clean(answer, policy, used, rewrite, &self.gate.via)?;
        match upstream {
            None => {
                let body = mem::take(answer.body_mut());
                *answer.body_mut() = watched(body);
                Ok(answer)
            }
            Some((websocket, upstream)) => {
                websocket.splice(answer, upstream, idle_timeout, exchange, self.request_id)
            }
        }
    }
}
