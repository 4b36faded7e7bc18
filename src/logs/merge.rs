//! Several logs as one, by time.

use super::LogLine;

/// Merges logs and keeps the last `n` lines by time; lines of the same moment stay in the order of their logs.
#[must_use]
pub fn merge(logs: Vec<Vec<LogLine>>, n: usize) -> Vec<LogLine> {
    let mut lines: Vec<LogLine> = logs.into_iter().flatten().collect();
    lines.sort_by_key(|line| line.at);
    lines.split_off(lines.len().saturating_sub(n))
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;
    use crate::model::Stamp;

    #[test]
    fn logs_are_merged_by_time_and_otherwise_left_in_order() {
        let line = |at, text| LogLine::new(Stamp::from_millis(at), Source::app("web.1"), text);
        let logs = vec![vec![line(1, "a"), line(3, "b"), line(3, "c")], vec![line(2, "d"), line(3, "e")]];

        let merged = merge(logs, 4);

        assert_eq!(merged.iter().map(LogLine::text).collect::<Vec<_>>(), ["d", "b", "c", "e"]);
    }
}
