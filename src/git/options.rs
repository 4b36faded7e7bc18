//! The `-o` options of a push.

/// The longest message kept, in characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// What the options of a push ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// `-o nocache`: build without the cache.
    pub no_cache: bool,
    /// `-o detach`: go on when the pusher leaves.
    pub detach: bool,
    /// `-o message=…`: stands beside the release, instead of the commit's first line.
    pub message: Option<String>,
    /// One line for each option that `mini` does not know.
    pub warnings: Vec<String>,
}

// === impl PushOptions ===

impl PushOptions {
    /// Reads the options in their order; a later message replaces an earlier one.
    #[must_use]
    pub fn parse(options: &[String]) -> PushOptions {
        let mut parsed = PushOptions::default();
        for option in options {
            match option.split_once('=') {
                None if option == "nocache" => parsed.no_cache = true,
                None if option == "detach" => parsed.detach = true,
                Some(("message", message)) => parsed.message = plain(message, MAX_MESSAGE_CHARS),
                _ => parsed.warnings.push(unknown(option)),
            }
        }
        parsed
    }
}

fn unknown(option: &str) -> String {
    let name = plain(option, 40).unwrap_or_default();
    format!("option `{name}` is unknown and ignored; mini knows nocache, detach and message=…")
}

fn plain(text: &str, chars: usize) -> Option<String> {
    let plain: String = text.chars().filter(|c| !c.is_control()).take(chars).collect();
    let plain = plain.trim();
    (!plain.is_empty()).then(|| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> PushOptions {
        PushOptions::parse(&options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn known_options_are_understood() {
        let options = parse(&["nocache", "detach", "message=first", "message= fix = it\u{1b} "]);

        assert_eq!(options, PushOptions { no_cache: true, detach: true, message: Some("fix = it".into()), warnings: Vec::new() });
    }

    #[test]
    fn each_unknown_option_is_one_line() {
        let options = parse(&["no-cache", "nocache=1", "x\ny"]);

        assert_eq!(options.warnings.len(), 3);
        assert_eq!(options.warnings[2], "option `xy` is unknown and ignored; mini knows nocache, detach and message=…");
        assert!(!options.no_cache && parse(&["message="]).message.is_none());
    }
}
