//! Who asks: the token in `Authorization: Bearer`, and nothing else, makes a Caller.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::failures::Failures;
use super::problem::Problem;
use crate::model::{Caller, Token};
use crate::platform::{Bearer, Platform};

const HOW: &str = "send `Authorization: Bearer mini_…`; make a key with: ssh mini tokens:create NAME";

/// Finds the caller. What is wrong with a token is told in the same way on every path, and counted by address.
pub(super) async fn identify(
    platform: &Platform,
    failures: &Failures,
    headers: &HeaderMap,
    address: Option<IpAddr>,
) -> Result<Caller, Problem> {
    let Some(token) = token_in(headers) else { return Err(Problem::unauthorized("an API key is needed", HOW)) };
    let sentence = match token.parse::<Token>() {
        Err(err) => err.sentence().to_owned(),
        Ok(token) => match platform.bearer(token).await? {
            Bearer::Known(caller) => return Ok(caller),
            Bearer::Expired => "this API key has expired".to_owned(),
            Bearer::Unknown => "this API key is unknown or was revoked".to_owned(),
        },
    };
    match address.and_then(|address| failures.count(address)) {
        Some(wait) => Err(Problem::too_many_failures(wait)),
        None => Err(Problem::unauthorized(&sentence, HOW)),
    }
}

/// Returns what stands behind `Bearer` (RFC 6750 §2.1) in the one `Authorization` that there is.
fn token_in(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use hyper::header::{COOKIE, HeaderValue};

    use super::*;

    #[test]
    fn only_one_bearer_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("token=mini_x"));
        assert_eq!(token_in(&headers), None);

        for (value, token) in
            [("Bearer mini_x", Some("mini_x")), ("bearer  mini_x ", Some("mini_x")), ("Basic bWluaQ==", None), ("mini_x", None)]
        {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(token_in(&headers), token, "{value}");
        }
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer mini_y"));
        assert_eq!(token_in(&headers), None);
    }
}
