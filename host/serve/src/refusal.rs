//! The reason why a request is not answered: its status, and its words as `application/problem+json`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The reason why a request is not answered.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The body is no JSON, or is not UTF-8.
    BadRequest(String),
    /// The token is missing or wrong.
    Unauthorized,
    /// Nothing is there.
    NotFound(String),
    /// The path has other methods.
    MethodNotAllowed,
    /// The client was too slow.
    Timeout(String),
    /// The body is too large.
    TooLarge { most: usize },
    /// The body is JSON that means nothing.
    Unprocessable(String),
    /// Too many requests wait.
    Busy(String),
    /// A plugin failed on something that the answer cannot do without.
    PluginFailed(String),
    /// The request was not answered within its time.
    Late { seconds: u64 },
    /// The service cannot do its work. The reason is for its log: it may tell of the machine.
    Internal(String),
}

/// A refusal as clients read it (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    status: u16,
    /// The place and the reason of the mistake, and the remedy.
    detail: String,
    /// The name of the request in the service's log.
    request_id: String,
}

impl Refusal {
    /// An error of the service itself.
    pub(crate) fn of(error: crate::Error) -> Self {
        Self::Internal(alft_runtime::chain(&error))
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::PluginFailed(_) => StatusCode::BAD_GATEWAY,
            Self::Late { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The whole reason, for the log.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Internal(reason) => reason.clone(),
            other => other.detail(),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::BadRequest(reason) | Self::NotFound(reason) | Self::Timeout(reason) => reason.clone(),
            Self::Unprocessable(reason) | Self::Busy(reason) | Self::PluginFailed(reason) => reason.clone(),
            Self::Unauthorized => "send the service's token as `Authorization: Bearer TOKEN`".into(),
            Self::MethodNotAllowed => "the path has no such method; /openapi.json lists them".into(),
            Self::TooLarge { most } => {
                format!(
                    "the body has more than {most} bytes, the service's `serve.max_body`; send fewer questions at a time"
                )
            }
            Self::Late { seconds } => format!(
                "the request was not answered within {seconds} s, the service's `serve.deadline_s`; with an `Idempotency-Key` \
                 the same request gets the answer once it is there"
            ),
            Self::Internal(_) => "the service cannot do its work now; its log has the reason".into(),
        }
    }

    /// The refusal as an answer to the request with this id.
    pub(crate) fn response(&self, request_id: &str) -> Response {
        let status = self.status();
        let problem = Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: self.detail(),
            request_id: request_id.to_owned(),
        };
        let body = serde_json::to_string(&problem).expect("a problem is plain data");
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let headers = response.headers_mut();
        if matches!(self, Self::Busy(_) | Self::Internal(_)) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if matches!(self, Self::Unauthorized) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The rest of a body that was not read is not worth waiting for.
        if matches!(self, Self::TooLarge { .. } | Self::Timeout(_)) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
