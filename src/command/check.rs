//! What `doctor` finds, one check at a time, and how a person reads it.

use serde::{Deserialize, Serialize};

use crate::model::plain;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What this is about: `engine`, `disk`, …
    pub name: String,
    pub verdict: Verdict,
    /// What was seen, in one line.
    pub seen: String,
    /// What mends it: there for everything that is bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Good,
    /// It may be meant so, or could not be looked at.
    Doubtful,
    /// Something does not work, or is open that should be closed.
    Bad,
}

// === impl Check ===

impl Check {
    /// Writes it in one line, with what mends it on a second one.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mark = match self.verdict {
            Verdict::Good => '✓',
            Verdict::Doubtful => '!',
            Verdict::Bad => '✗',
        };
        let mend: Vec<String> = self.mend.iter().flat_map(|mend| mend.lines()).map(|line| format!("\n    {}", plain(line))).collect();
        format!("{mark} {:<10}  {}{}", self.name, plain(&self.seen), mend.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_check_says_what_mends_it_on_a_line_of_its_own() {
        let check = Check {
            name: "engine".into(),
            verdict: Verdict::Bad,
            seen: "no Docker Engine answers\x1b[2J".into(),
            mend: Some("start Docker: systemctl start docker".into()),
        };

        assert_eq!(check.in_words(), "✗ engine      no Docker Engine answers\n    start Docker: systemctl start docker");
        assert_eq!(Check { verdict: Verdict::Good, mend: None, ..check }.in_words(), "✓ engine      no Docker Engine answers");
    }
}
