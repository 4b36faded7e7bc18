//! Friendly names for apps that nobody named: `blue-sky`.

use crate::model::AppName;

const FIRST: &[&str] = &[
    "amber", "autumn", "blue", "brave", "bright", "calm", "clear", "cool", "dawn", "deep", "early", "fair", "fresh", "gentle", "golden",
    "green", "happy", "hidden", "icy", "jolly", "kind", "late", "light", "lively", "lucky", "mild", "misty", "noble", "patient", "plain",
    "proud", "quick", "quiet", "rapid", "red", "round", "rustic", "shy", "silent", "silver", "small", "snowy", "soft", "still", "sunny",
    "swift", "tall", "warm",
];

const SECOND: &[&str] = &[
    "bay", "bird", "breeze", "brook", "cloud", "coast", "creek", "dew", "dune", "elm", "feather", "fern", "field", "fire", "flower",
    "forest", "fox", "garden", "glade", "grove", "harbor", "hill", "island", "lake", "leaf", "meadow", "moon", "moss", "oak", "ocean",
    "owl", "path", "pine", "pond", "rain", "reef", "ridge", "river", "sea", "shore", "sky", "snow", "star", "stone", "stream", "sun",
    "tree", "valley", "wave", "wind",
];

/// Makes up a two-word name; whether it is free is for the store to say.
#[must_use]
pub fn friendly_name() -> AppName {
    let mut dice = [0; 2];
    aws_lc_rs::rand::fill(&mut dice).expect("the operating system has random bytes");
    let pick = |words: &[&'static str], die: u8| words[usize::from(die) % words.len()];
    format!("{}-{}", pick(FIRST, dice[0]), pick(SECOND, dice[1])).parse().expect("two plain words are an app name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_words_is_an_app_name() {
        for first in FIRST {
            for second in SECOND {
                assert!(format!("{first}-{second}").parse::<AppName>().is_ok(), "{first}-{second}");
            }
        }
    }
}
