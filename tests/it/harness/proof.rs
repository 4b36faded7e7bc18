//! How often a trial is made, and what it has proven, said so that `tests/soak` can put it into its report.

use std::fmt::Display;
use std::time::Duration;

/// Rounds of a trial: a few in every run, many with `MINI_SOAK=1` in the environment.
pub fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("MINI_SOAK").is_some_and(|value| value == "1") { long } else { short }
}

/// Returns how often a test is to do what it does: `usual`, unless `tests/soak` asks for more by this variable.
pub fn asked(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |number| number.parse().unwrap())
}

/// Prints a line of figures: `proof: name key=value …`.
pub fn proof(name: &str, figures: &[(&str, &dyn Display)]) {
    let figures: Vec<String> = figures.iter().map(|(key, value)| format!("{key}={value}")).collect();
    println!("proof: {name} {}", figures.join(" "));
}

/// Prints the figures of a test that kills: its rounds, all of which left the server whole, and the longest start that followed, where
/// that was measured.
pub fn proven(rounds: usize, slowest_start: Option<Duration>) {
    let name = std::thread::current().name().unwrap_or("main").to_owned();
    let slowest_start = slowest_start.map(|time| time.as_millis());
    let start: Option<(&str, &dyn Display)> = slowest_start.as_ref().map(|millis| ("slowest_start_ms", millis as &dyn Display));
    proof(&name, &[("rounds", &rounds as &dyn Display)].into_iter().chain(start).collect::<Vec<_>>());
}

/// The median and the longest of some times, in milliseconds.
pub fn median_and_worst(times: &[Duration]) -> (u128, u128) {
    let mut millis: Vec<u128> = times.iter().map(Duration::as_millis).collect();
    millis.sort_unstable();
    (millis[millis.len() / 2], millis[millis.len() - 1])
}
