//! Rows for people: aligned columns, or one field a line where the columns do not fit.

use unicode_width::UnicodeWidthStr;

use super::look::Look;
use super::paint::Paint;
use crate::model::plain;

/// Between two columns.
const GAP: &str = "  ";

/// Aligns rows below their head. Rows wider than the reader's terminal become blocks of `HEAD  value` lines instead: nothing is cut.
pub(super) fn table(look: &Look, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    // Some cells hold what somebody else wrote, and this is somebody's terminal.
    let rows: Vec<Vec<String>> = rows.map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let widths: Vec<usize> = (0..head.len()).map(|at| column_width(head[at], &rows, at)).collect();
    let total = widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
    if look.width.is_some_and(|room| total > room) {
        return blocks(look, head, &rows);
    }
    let paint = Paint::of(look);
    let heading = aligned(head.iter().map(|name| (paint.heading(name), name.width())), &widths);
    let lines = rows.iter().map(|row| aligned(row.iter().map(|cell| (paint.state(cell), cell.width())), &widths));
    std::iter::once(heading).chain(lines).collect()
}

/// Lays names and values out in two columns.
pub(super) fn pairs(look: &Look, rows: &[(&str, String)]) -> String {
    let paint = Paint::of(look);
    let width = rows.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| aligned([(paint.heading(name), name.width()), (paint.state(value), value.width())], &[width, 0]))
        .collect()
}

fn blocks(look: &Look, head: &[&str], rows: &[Vec<String>]) -> String {
    let block = |row: &Vec<String>| pairs(look, &head.iter().copied().zip(row.iter().cloned()).collect::<Vec<_>>());
    rows.iter().map(block).collect::<Vec<_>>().join("\n")
}

fn column_width(head: &str, rows: &[Vec<String>], at: usize) -> usize {
    rows.iter().map(|row| row[at].width()).chain([head.width()]).max().unwrap_or(0)
}

/// Pads painted cells by the width that they had before they were painted; the last one trails no blanks.
fn aligned(cells: impl IntoIterator<Item = (String, usize)>, widths: &[usize]) -> String {
    let mut line = String::new();
    let mut owed = 0;
    for ((cell, width), column) in cells.into_iter().zip(widths) {
        if width > 0 {
            line.extend(std::iter::repeat_n(' ', owed));
            line += &cell;
            owed = 0;
        }
        owed += column.saturating_sub(width) + GAP.len();
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> impl Iterator<Item = Vec<String>> {
        [["blog", "live"], ["wörld-日本", "down"]].into_iter().map(|row| row.map(str::to_owned).to_vec())
    }

    #[test]
    fn columns_align_by_what_is_seen_and_do_not_trail_blanks() {
        let text = table(&Look::default(), &["APP", "STATE"], rows());

        assert_eq!(text, "APP         STATE\nblog        live\nwörld-日本  down\n");
    }

    #[test]
    fn what_does_not_fit_stands_one_field_a_line_and_nothing_is_cut() {
        let narrow = Look { width: Some(12), ..Look::default() };

        let text = table(&narrow, &["APP", "STATE"], rows());

        assert_eq!(text, "APP    blog\nSTATE  live\n\nAPP    wörld-日本\nSTATE  down\n");
    }

    #[test]
    fn colours_change_no_column() {
        let colourful = Look { colour: true, ..Look::default() };

        let painted = table(&colourful, &["APP", "STATE"], rows());

        let bare: String = painted
            .split('\u{1b}')
            .map(|part| part.split_once('m').filter(|_| part.starts_with('[')).map_or(part, |(_, rest)| rest))
            .collect();
        assert_ne!(painted, bare);
        assert_eq!(bare, table(&Look::default(), &["APP", "STATE"], rows()));
    }
}
