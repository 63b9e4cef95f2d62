//! Errors in S3's XML, which its clients read.

use http::StatusCode;

use super::refusal::Refusal;
use crate::{
    rejection::{Reason, Rejection},
    service::ErrorBody,
};

/// An error as S3 words it ("REST error responses"): its clients show the message, and go by the code.
pub(super) fn body(rejection: &Rejection) -> ErrorBody {
    let own = match rejection.reason() {
        Reason::Transform(error) => Refusal::of(error).copied(),
        Reason::BodyBroken => Some(Refusal {
            code: "IncompleteBody",
            message: "The request body is not what was announced",
        }),
        _ => None,
    };
    let Refusal { code, message } = own.unwrap_or(Refusal {
        code: code(rejection.status()),
        message: rejection.message(),
    });
    let request_id = rejection.request_id();
    // Constant words, without a character that XML would escape.
    ErrorBody::xml(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>{request_id}</RequestId></Error>"
    ))
}

fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "AccessDenied",
        StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
        StatusCode::PAYLOAD_TOO_LARGE => "EntityTooLarge",
        StatusCode::TOO_MANY_REQUESTS => "SlowDown",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => "ServiceUnavailable",
        status if status.is_server_error() => "InternalError",
        _ => "InvalidRequest",
    }
}
