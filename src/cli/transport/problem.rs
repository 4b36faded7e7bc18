//! An answer that is no success: problem details (RFC 9457) as the server's error, or what a stranger on the way said.

use hyper::StatusCode;
use serde::Deserialize;

use crate::error::{Error, Kind};

#[derive(Deserialize)]
struct Problem {
    detail: String,
    kind: Option<Kind>,
    hint: Option<String>,
    #[serde(default)]
    details: Vec<String>,
}

/// Reads the body of an answer with this status. What is not ours is told by its status alone.
pub fn error_of(status: StatusCode, body: &[u8]) -> Error {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else { return foreign(status) };
    Error::new(problem.kind.unwrap_or(kind_of(status)), problem.detail).details(problem.details).maybe_hint(problem.hint)
}

fn kind_of(status: StatusCode) -> Kind {
    match status.as_u16() {
        400 => Kind::Usage,
        401 | 403 => Kind::NotAllowed,
        404 => Kind::NotFound,
        409 => Kind::Busy,
        502..=504 => Kind::Unavailable,
        _ => Kind::Failed,
    }
}

fn foreign(status: StatusCode) -> Error {
    Error::new(kind_of(status), format!("the answer was {} and did not come from mini", status.as_u16()))
        .hint("is this the address of the server itself, and not of an app? see: mini hosts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_the_servers_own_error() {
        let body = br#"{"type":"about:blank","title":"Not Found","status":404,"detail":"app `blog` does not exist","kind":"not-found","code":3,"hint":"see: mini apps"}"#;

        let err = error_of(StatusCode::NOT_FOUND, body);

        assert_eq!((err.exit_code(), err.sentence(), err.next_step()), (3, "app `blog` does not exist", Some("see: mini apps")));
    }

    #[test]
    fn a_strangers_page_is_not_shown() {
        let err = error_of(StatusCode::BAD_GATEWAY, b"<html>\x1b[31mboo");

        assert!(err.sentence().contains("502") && !err.sentence().contains("boo"), "{err}");
        assert_eq!(error_of(StatusCode::FORBIDDEN, b"{}").exit_code(), 4);
    }
}
