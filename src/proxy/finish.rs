use std::mem;

use http::{Response, StatusCode};

use crate::{
    Body, Context,
    body::Held,
    proxy::{
        Reason, answer,
        passage::Passage,
        send::Sent,
        websocket::{self, Until, WebSocket},
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
                let answer = answer.map(|body| self.watched(body, entry));
                Ok(Sent::Received(
                    answer::redact(answer, context).await?,
                    target,
                ))
            }
            answered => Ok(answered),
        }
    }

    /// From the head of an answer to one that the caller may have, or to a WebSocket.
    pub(super) fn finish(
        &self,
        sent: Sent<'_>,
        entry: &Entry,
        context: Box<Context>,
        websocket: Option<Box<WebSocket>>,
        under_way: Held,
    ) -> Result<Response<Body>, Reason> {
        let (mut answer, target) = match sent {
            Sent::Answered(response) => {
                return Ok(response.map(|body| self.watched(body, entry).hold(under_way)));
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
        let expires_at = context.claims().expires_at();
        let rewrite = || Rewrite {
            target,
            public: self.gate.public_prefix(&entry.name, self.by_host),
        };
        let (policy, used) = (&entry.policy, context.into_used());
        let mut answer = answer::clean(answer, policy, used, rewrite, &self.gate.via)?;
        match upstream {
            None => {
                let body = mem::take(answer.body_mut());
                *answer.body_mut() = self.watched(body, entry).hold(under_way);
                Ok(answer)
            }
            Some((websocket, upstream)) => {
                let until = Until {
                    expires_at,
                    clock: self.gate.clock.clone(),
                    shutdown: self.gate.shutdown.clone(),
                    idle_timeout: self.gate.idle_timeout(policy),
                };
                websocket.splice(answer, upstream, until, under_way, self.request_id)
            }
        }
    }

    /// A body that ends when it does not move, and with the proxy.
    fn watched(&self, body: Body, entry: &Entry) -> Body {
        body.idle_timeout(self.gate.idle_timeout(&entry.policy))
            .cut_by(self.gate.shutdown.over())
    }
}
