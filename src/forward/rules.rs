//! The one trait by which a door tells the corridor what to do with its requests.
//!
//! It is asked in this order, for each attempt to send: [`ready`](Rules::ready), [`inject`](Rules::inject), then
//! [`targets`](Rules::targets) for the origin check; for each response [`refuses_key`](Rules::refuses_key) and
//! [`redacts`](Rules::redacts); and once, for the response that the caller gets, [`clean`](Rules::clean) and
//! [`trailers`](Rules::trailers).

use http::{HeaderMap, Request, Response};

use crate::{
    Body, Outcome, Target,
    body::TrailerRule,
    rejection::Reason,
    service::Bounds,
    upstream::headers::{self, Via},
};

/// What a door decides about one admitted request: what is injected, and what of the response its caller may have.
///
/// The first five methods are a door's own. The others are for what is injected from somewhere that may have another one;
/// by default there is none.
pub(crate) trait Rules: Send + Sync {
    /// How large, how long.
    fn bounds(&self) -> &Bounds;

    /// Our name among the intermediaries.
    fn via(&self) -> &Via;

    /// Where the request may go. One that goes elsewhere after [`inject`](Self::inject) is not sent: 502. The rules on headers
    /// and on references in the response are those of the target that it went to.
    fn targets(&self) -> &[Target];

    /// Puts in what only the upstream may see, or responds in its place.
    ///
    /// What it sets about the framing and the connection is taken back afterwards; a sensitive header value stands alone,
    /// whatever else the caller sent under that name.
    fn inject(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Outcome, Reason>> + Send;

    /// Makes headers that the caller may have of those that `target` sent. The framing was checked, and `Via` is added
    /// behind it.
    fn clean(&self, headers: &mut HeaderMap, target: &Target);

    /// Makes the rule for the trailers of the response. Asked once, and last of all: it outlives the rules, and may take what
    /// it needs out of them. By default, what belongs to a connection goes.
    fn trailers(&self) -> TrailerRule {
        Box::new(|trailers| headers::remove_hop_by_hop(trailers, |_| false))
    }

    /// Waits until what is injected is there. Dropped, and so given up, when the exchange ends.
    fn ready(&self) -> impl Future<Output = Result<(), Reason>> + Send {
        async { Ok(()) }
    }

    /// Whether another one may be had of what is injected, should the upstream refuse it.
    fn may_renew(&self) -> bool {
        false
    }

    /// Whether the upstream refuses, with this response, what was injected.
    fn refuses_key(&self, response: &Response<Body>) -> bool {
        let _ = response;
        false
    }

    /// After a refusal: gets another one, if there is one.
    fn renew(&self) -> impl Future<Output = bool> + Send {
        async { false }
    }

    /// Whether the body of this response is read, and what was injected taken out of it.
    fn redacts(&self, response: &Response<Body>) -> bool {
        let _ = response;
        false
    }

    /// Takes what was injected out of a body.
    fn redact(&self, body: bytes::Bytes) -> bytes::Bytes {
        body
    }
}
