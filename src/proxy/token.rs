//! The caller's token: where it stands, and how it is taken out.
//!
//! It is found where the service's clients put their key, and taken out by its value wherever it stands: whoever can read a
//! request at the upstream must not be able to call the proxy in the sandbox's name.

use http::{
    HeaderMap, Uri,
    header::{COOKIE, SEC_WEBSOCKET_PROTOCOL},
    request::Parts,
};

use crate::{
    door::intake,
    proxy::mount::path_and_query,
    rejection::Reason,
    service::{Entry, Registry},
    upstream::{PathProblem, headers},
};

/// What stands where a token is looked for.
pub(super) struct Found {
    pub(super) token: String,
    /// It is where another service takes it: no token for this one, however good it is.
    pub(super) elsewhere: bool,
}

/// Finds the token. A service that does not exist looks for it wherever any service would, and "missing" means that
/// none of them finds one: without a token, the two cannot be told apart.
pub(super) fn find(
    registry: &Registry,
    entry: Option<&Entry>,
    parts: &Parts,
) -> Result<Found, Reason> {
    let own = entry.and_then(|entry| entry.token(parts));
    let elsewhere = own.is_none() && entry.is_some();
    let token = own
        .or_else(|| registry.any_token(parts))
        .ok_or(Reason::TokenMissing)?;
    Ok(Found {
        token: token.into_owned(),
        elsewhere,
    })
}

/// Takes the token out of path and query, and out of the query what stands where the service puts its key.
pub(super) fn remove_from_uri(uri: &mut Uri, token: &str, entry: &Entry) -> Result<(), Reason> {
    let holds = |text: &str| headers::contains(text.as_bytes(), token);
    let injected = |parameter: &str| entry.takes_out(parameter);
    let goes = |parameter: &str| holds(parameter) || injected(parameter);
    let query_goes = uri
        .query()
        .is_some_and(|query| holds(query) || query.split('&').any(injected));
    if !holds(uri.path()) && !query_goes {
        return Ok(());
    }
    let segments = uri
        .path()
        .split('/')
        .filter(|segment| !holds(segment) || segment.contains(token));
    let mut path = segments
        .map(|segment| segment.replace(token, ""))
        .collect::<Vec<_>>()
        .join("/");
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    let query = uri
        .query()
        .map(|query| {
            query
                .split('&')
                .filter(|parameter| !goes(parameter))
                .collect::<Vec<_>>()
        })
        .filter(|kept| !kept.is_empty())
        .map(|kept| kept.join("&"));
    // What is left may close up into another path, or into the token again.
    intake::check_path(&path, query.as_deref(), entry.policy.encoded_slashes)?;
    if holds(&path) || query.as_deref().is_some_and(holds) {
        return Err(Reason::Path(PathProblem::Token));
    }
    *uri = path_and_query(&path, query.as_deref())?.into();
    Ok(())
}

/// A credential header that is there twice, or is no text, could be read differently by the service and by us.
pub(super) fn check_credentials(parts: &Parts, registry: &Registry) -> Result<(), Reason> {
    for name in parts.headers.keys() {
        let text = name.as_str();
        let counts = *name != COOKIE
            && (headers::is_credential(text)
                || (!registry.injected().is_empty() && registry.injected().contains(text)));
        if !counts {
            continue;
        }
        let mut values = parts.headers.get_all(name).iter();
        if values.next().is_some_and(|value| value.to_str().is_err()) {
            return Err(Reason::Header("a credential header is not text"));
        }
        if values.next().is_some() {
            return Err(Reason::Header("a credential header is there twice"));
        }
    }
    Ok(())
}

/// Takes the token out of the list of subprotocols, where browsers have to put it.
pub(super) fn remove_from_subprotocols(headers: &mut HeaderMap, token: &str) {
    let holds = |text: &[u8]| headers::contains(text, token);
    let mut lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    if lists.any(|list| holds(list.as_bytes())) {
        headers::retain_items(headers, &SEC_WEBSOCKET_PROTOCOL, ',', |item| {
            !holds(item.as_bytes())
        });
    }
}
