//! How often a trial is made, and what it tells of itself: `proof: name key=value …` on stdout.

use std::fmt::Display;

/// Rounds of a trial: a few in every run, many with `MINI_SOAK=1` in the environment.
pub fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("MINI_SOAK").is_some_and(|value| value == "1") { long } else { short }
}

/// Prints a line of figures for whoever collects them.
pub fn proof(name: &str, figures: &[(&str, &dyn Display)]) {
    let figures: Vec<String> = figures.iter().map(|(key, value)| format!("{key}={value}")).collect();
    println!("proof: {name} {}", figures.join(" "));
}
