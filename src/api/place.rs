//! What a path of the API names.

/// Where a request wants to go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `/v1/server`: which server this is. The one place that needs no token.
    Server,
    /// `/v1`: the list of words.
    Words,
    /// `/v1/apps:create`, `/v1/apps%3Acreate` or `/v1/apps/create`: a word, which may not exist.
    Word(String),
    Nowhere,
}

// === impl Place ===

impl Place {
    pub fn of(path: &str) -> Place {
        let Some(rest) = path.strip_prefix("/v1") else { return Place::Nowhere };
        let plain = rest.replace("%3A", ":").replace("%3a", ":");
        match plain.trim_start_matches('/').split('/').collect::<Vec<_>>().as_slice() {
            [""] => Place::Words,
            ["server"] => Place::Server,
            [word] => Place::Word((*word).to_owned()),
            [noun, verb] if !noun.is_empty() && !verb.is_empty() => Place::Word(format!("{noun}:{verb}")),
            _ => Place::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_may_be_written_in_three_ways() {
        for path in ["/v1/apps:create", "/v1/apps%3Acreate", "/v1/apps%3acreate", "/v1/apps/create"] {
            assert_eq!(Place::of(path), Place::Word("apps:create".into()), "{path}");
        }
        assert_eq!(Place::of("/v1/logs"), Place::Word("logs".into()));
    }

    #[test]
    fn the_rest_is_the_server_the_list_or_nowhere() {
        assert_eq!(Place::of("/v1"), Place::Words);
        assert_eq!(Place::of("/v1/"), Place::Words);
        assert_eq!(Place::of("/v1/server"), Place::Server);
        for path in ["/v1/a/b/c", "/v1/apps/", "/v2", "/", "/v1/a//b"] {
            assert_eq!(Place::of(path), Place::Nowhere, "{path}");
        }
    }
}
