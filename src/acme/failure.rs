//! Failures of the authority, in words for the owner of a domain.

use std::error::Error as _;

use instant_acme::Problem;

use crate::error::Error;
use crate::model::plain;

/// The kinds of problems that are treated apart (RFC 8555 §6.7).
const DNS: &str = "urn:ietf:params:acme:error:dns";
const UNKNOWN_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Tells whether the authority has no such account: it was made with another one, or before it lost its memory.
pub(super) fn is_unknown_account(err: &instant_acme::Error) -> bool {
    matches!(err, instant_acme::Error::Api(problem) if problem.r#type.as_deref() == Some(UNKNOWN_ACCOUNT))
}

/// Tells whether the authority found no address for the name.
pub(super) fn is_about_dns(problem: &Problem) -> bool {
    problem.r#type.as_deref() == Some(DNS)
}

/// Translates what the client says: `Failed` with the authority's words, `Unavailable` when it did not come to those.
pub(super) fn told(err: instant_acme::Error) -> Error {
    match err {
        instant_acme::Error::Api(problem) => Error::failed(format!("the certificate authority refuses: {}", words(&problem))),
        err => Error::unavailable(format!("the certificate authority cannot be reached: {}", root_of(&err))).because(err),
    }
}

/// The authority looked for the proof in vain.
pub(super) fn unproven(problem: &Problem) -> Error {
    Error::failed(format!("the certificate authority did not find this server there: {}", words(problem)))
        .hint("where the domain is kept, it has to point here, and port 80 or 443 has to be open to everybody")
}

/// As [`unproven`], after the other way had failed with `first`.
pub(super) fn unproven_twice(first: &Error, problem: &Problem) -> Error {
    Error::failed(format!("{}; by TLS-ALPN-01: {}", first.sentence(), words(problem))).maybe_hint(first.next_step())
}

/// The authority's words: a stranger's, so made safe to print.
fn words(problem: &Problem) -> String {
    let own = problem.detail.iter().map(String::as_str);
    let parts = problem.subproblems.iter().filter_map(|part| part.detail.as_deref());
    let all: Vec<&str> = own.chain(parts).collect();
    match (all.is_empty(), problem.r#type.as_deref()) {
        (false, _) => plain(&all.join("; ")),
        (true, Some(kind)) => plain(kind),
        (true, None) => "it does not say why".to_owned(),
    }
}

/// The innermost cause says most: `Connection refused` below `client error (Connect)`.
fn root_of(err: &instant_acme::Error) -> String {
    let mut said = err.to_string();
    let mut cause = err.source();
    while let Some(inner) = cause {
        said = inner.to_string();
        cause = inner.source();
    }
    plain(&said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: &str) -> Problem {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_authoritys_words_are_the_sentence_without_what_a_terminal_would_do() {
        let refused = problem(r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many\u001b[31m orders"}"#);
        let silent = problem(r#"{"type":"urn:ietf:params:acme:error:serverInternal"}"#);
        let in_parts = problem(r#"{"detail":"refused","subproblems":[{"detail":"a.example.com is on a list"}]}"#);

        assert_eq!(told(refused.into()).sentence(), "the certificate authority refuses: too many orders");
        assert_eq!(told(silent.into()).sentence(), "the certificate authority refuses: urn:ietf:params:acme:error:serverInternal");
        assert!(told(in_parts.into()).sentence().ends_with("refused; a.example.com is on a list"));
        assert!(words(&problem("{}")).contains("does not say"));
    }

    #[test]
    fn a_name_that_leads_nowhere_and_an_account_that_is_gone_are_told_apart() {
        let dns = problem(r#"{"type":"urn:ietf:params:acme:error:dns","detail":"NXDOMAIN"}"#);
        let account = problem(r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist"}"#);

        assert!(is_about_dns(&dns) && !is_about_dns(&account));
        assert!(!is_unknown_account(&dns.into()) && is_unknown_account(&account.into()));
    }
}
