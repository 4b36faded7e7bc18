//! What `.dockerignore` leaves out of a context, with Docker's own rules (they are not git's).

use super::pattern::Pattern;
use crate::error::{Error, Result};

/// More than this is no list that a person keeps, and every file is held against every pattern.
const MAX_PATTERNS: usize = 1000;
const MAX_PATTERN_BYTES: usize = 1024;

/// The rules of one `.dockerignore`: root-anchored, the last match wins, `!` takes back, also below a folder left out.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    takes_back: bool,
    pattern: Pattern,
}

// === impl Ignore ===

impl Ignore {
    /// Reads the file; a malformed pattern is refused with its line, as Docker does.
    pub fn parse(text: &str) -> Result<Ignore> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if let Some(rule) = rule(line).map_err(|Malformed| malformed(index + 1, line))? {
                rules.push(rule);
            }
        }
        if rules.len() > MAX_PATTERNS {
            return Err(Error::failed(format!("`.dockerignore` has more than {MAX_PATTERNS} patterns")));
        }
        Ok(Ignore { rules })
    }

    /// Tells whether `path`, relative and without a trailing slash, is left out.
    #[must_use]
    pub fn excludes(&self, path: &str) -> bool {
        let mut excluded = false;
        for rule in &self.rules {
            // A rule that could change nothing is not asked.
            if rule.takes_back == excluded && rule.pattern.matches(path) {
                excluded = !rule.takes_back;
            }
        }
        excluded
    }

    /// Tells whether nothing is left out.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Tells whether everything below an excluded folder is excluded too, so that it need not be walked.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.rules.iter().all(|rule| !rule.takes_back)
    }
}

struct Malformed;

/// Reads a line; comments and blank lines have no rule.
fn rule(line: &str) -> Result<Option<Rule>, Malformed> {
    let text = line.trim();
    if line.starts_with('#') || text.is_empty() {
        return Ok(None);
    }
    let (takes_back, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest.trim()));
    if text.is_empty() || text.len() > MAX_PATTERN_BYTES {
        return Err(Malformed);
    }
    let pattern = Pattern::compile(&clean(text)).ok_or(Malformed)?;
    Ok(Some(Rule { takes_back, pattern }))
}

/// Cleans a pattern as a path: one slash between names, no `.`, `..` taken back, no slash at either end.
fn clean(text: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in text.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => _ = names.pop(),
            ".." if text.starts_with('/') => {}
            _ => names.push(name),
        }
    }
    names.join("/")
}

fn malformed(number: usize, line: &str) -> Error {
    let shown: String = line.chars().take(80).collect();
    Error::failed(format!("line {number} of `.dockerignore` is not a pattern: `{}`", shown.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patterns, separated by spaces, with what they leave out and what they keep.
    const CASES: &[(&str, &[&str], &[&str])] = &[
        ("", &[], &["a", "a/b"]),
        ("a", &["a", "a/b", "a/b/c"], &["ab", "b/a"]),
        ("a/", &["a", "a/b"], &["ab"]),
        ("/a", &["a", "a/b"], &["b/a"]),
        ("./a", &["a"], &["b/a"]),
        ("a//b", &["a/b"], &["a"]),
        ("a/../b", &["b", "b/c"], &["a", "a/b"]),
        ("../a", &[], &["a"]),
        ("/../a", &["a"], &["b"]),
        (".", &[], &["a", ".a"]),
        ("/", &[], &["a"]),
        ("*", &["a", ".a", "a/b"], &[]),
        ("*.log", &["x.log", ".log", "x.log/y"], &["a/x.log", "x.logs"]),
        ("*/*.log", &["a/x.log"], &["x.log", "a/b/x.log"]),
        ("**/*.log", &["x.log", "a/x.log", "a/b/x.log"], &["x.logs"]),
        ("**", &["a", "a/b"], &[]),
        ("**/a", &["a", "b/a", "b/c/a", "b/a/c"], &["ba", "b/ca"]),
        ("**a", &["a", "ba", "b/ca"], &["ab"]),
        ("**a*", &["a", "ab", "c/ab"], &["ca", "c/da"]),
        ("a/**", &["a/b", "a/b/c"], &["a", "ab"]),
        ("a**", &["a", "ab", "ab/c"], &["b"]),
        ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a", "ab", "a/xb"]),
        ("*/**", &["a/b", "a/b/c"], &["a"]),
        ("a?c", &["abc"], &["ac", "a/c", "abbc"]),
        ("a[bc]d", &["abd", "acd"], &["aed", "ad"]),
        ("a[b-d]", &["ab", "ac", "ad"], &["ae", "a"]),
        ("a[^b-d]e", &["aee", "a/e"], &["abe", "ae"]),
        ("[a-z]*.[ch]", &["main.c", "x.h"], &["Main.c", "main.o"]),
        ("\\!a", &["!a"], &["a"]),
        ("\\*", &["*"], &["a"]),
        ("a.c", &["a.c"], &["abc"]),
        ("a+(b)|{c}$", &["a+(b)|{c}$"], &["aab"]),
        ("* !a", &["b", "b/c"], &["a", "a/b"]),
        ("a !a/b", &["a", "a/c"], &["a/b", "a/b/c"]),
        ("a !a/b a/b/c", &["a", "a/b/c", "a/b/c/d"], &["a/b", "a/b/d"]),
        ("!a a", &["a"], &["b"]),
        ("a !a", &[], &["a", "a/b"]),
        ("**/node_modules !**/keep", &["node_modules", "x/node_modules/y"], &["node_modules/keep", "x/node_modules/keep/z"]),
        ("*.md !README*.md README-secret.md", &["a.md", "README-secret.md"], &["README.md", "README-x.md"]),
        ("!/a/ * ", &["a", "b"], &[]),
        ("* !/a/", &["b"], &["a", "a/b"]),
        ("Ünï*", &["Ünïx"], &["ünïx"]),
    ];

    #[test]
    fn dockers_rules_hold() {
        for (patterns, left_out, kept) in CASES {
            let ignore = Ignore::parse(&patterns.replace(' ', "\n")).unwrap();

            for path in *left_out {
                assert!(ignore.excludes(path), "{patterns:?} kept {path:?}");
            }
            for path in *kept {
                assert!(!ignore.excludes(path), "{patterns:?} left {path:?} out");
            }
        }
    }

    #[test]
    fn comments_blanks_and_a_byte_order_mark_are_no_patterns() {
        let ignore = Ignore::parse("\u{feff}# all\r\n\n  \n  a  \r\n! b\n #c\n").unwrap();

        assert!(ignore.excludes("a"));
        assert!(ignore.excludes("#c"), "only a # in the first column starts a comment");
        assert!(!ignore.excludes("b") && !ignore.is_final());
    }

    #[test]
    fn a_malformed_pattern_is_refused_with_its_line() {
        for line in ["!", "[", "a[]", "a[b", "a[-b]", "a[b-]", "a\\"] {
            let err = Ignore::parse(&format!("fine\n{line}")).unwrap_err();

            assert!(err.sentence().starts_with("line 2 of `.dockerignore` is not a pattern"), "{err}");
        }
    }

    #[test]
    fn stars_cannot_make_the_matcher_slow() {
        let ignore = Ignore::parse(&"*a".repeat(500)).unwrap();
        let start = std::time::Instant::now();

        assert!(!ignore.excludes(&format!("{}b", "a".repeat(4000))));
        assert!(start.elapsed() < std::time::Duration::from_secs(5));
    }
}
