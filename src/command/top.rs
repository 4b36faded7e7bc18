//! How requests went, as a table for people: figures per second, and times in the unit that they are read in.

use super::answer::TopRow;
use super::look::Look;
use super::table::table;
use crate::model::size::in_words;

const HEAD: [&str; 9] = ["APP", "REQ/S", "ERR/S", "P50", "P99", "IN FLIGHT", "WEBSOCKETS", "IN/S", "OUT/S"];

pub(super) fn top(rows: &[TopRow], look: &Look) -> String {
    if rows.is_empty() {
        return "no apps yet: git push mini main makes one\n".into();
    }
    table(look, &HEAD, rows.iter().map(cells))
}

fn cells(row: &TopRow) -> Vec<String> {
    let rate = |count: u64| tenths(count.saturating_mul(10_000) / row.span_ms.max(1));
    let bytes = |count: u64| in_words(count.saturating_mul(1000) / row.span_ms.max(1));
    vec![
        row.app.to_string(),
        rate(row.requests),
        rate(row.errors),
        length(row.p50_us),
        length(row.p99_us),
        row.in_flight.to_string(),
        row.websockets.to_string(),
        bytes(row.received_bytes),
        bytes(row.sent_bytes),
    ]
}

fn length(micros: Option<u64>) -> String {
    match micros {
        None => "-".to_owned(),
        Some(micros @ ..10_000) => format!("{}ms", tenths(micros / 100)),
        Some(micros @ ..10_000_000) => format!("{}ms", micros / 1000),
        Some(micros) => format!("{}s", micros / 1_000_000),
    }
}

fn tenths(count: u64) -> String {
    format!("{}.{}", count / 10, count % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_per_second_and_in_their_unit() {
        let row = TopRow {
            app: "blog".parse().unwrap(),
            span_ms: 58_000,
            requests: 5_805,
            errors: 3,
            p50_us: Some(1_250),
            p99_us: Some(81_920),
            received_bytes: 0,
            sent_bytes: 58 << 20,
            in_flight: 2,
            websockets: 1,
        };
        let quiet = TopRow {
            app: "shop".parse().unwrap(),
            span_ms: 0,
            requests: 0,
            errors: 0,
            p50_us: None,
            p99_us: Some(70_000_000),
            ..row.clone()
        };

        let (busy, quiet) = (cells(&row), cells(&quiet));

        assert_eq!(busy, ["blog", "100.0", "0.0", "1.2ms", "81ms", "2", "1", &in_words(0), &in_words(1 << 20)]);
        assert_eq!(quiet[1..5], ["0.0", "0.0", "-", "70s"]);
    }
}
