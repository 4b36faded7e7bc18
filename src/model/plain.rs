//! Text that strangers wrote, made safe to print: no escapes, no control characters, no more than a line's worth.

use std::iter::Peekable;
use std::str::Chars;

use super::limits::MAX_LINE_BYTES;

const ESCAPE: char = '\u{1b}';
/// Stands at the end of a line that was cut.
const CUT: char = '…';

/// Removes terminal escapes (ECMA-48), turns control characters but the tab into spaces and cuts at [`MAX_LINE_BYTES`].
///
/// Bidirectional controls go too: they show a line as another one. A carriage return at the end is no text.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(MAX_LINE_BYTES));
    let mut rest = text.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(c) = rest.next() {
        let shown = match c {
            '\t' => '\t',
            ESCAPE => {
                skip_escape(&mut rest);
                continue;
            }
            '\u{9b}' => {
                skip_parameters(&mut rest);
                continue;
            }
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => continue,
            '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        };
        if kept.len() + shown.len_utf8() + CUT.len_utf8() > MAX_LINE_BYTES {
            kept.push(CUT);
            break;
        }
        kept.push(shown);
    }
    kept
}

/// Skips what follows ESC: `[…m` and its like, a string up to its end, or intermediates and one final character.
fn skip_escape(rest: &mut Peekable<Chars<'_>>) {
    match rest.next_if(|c| ('\u{20}'..='\u{7e}').contains(c)) {
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(rest),
        Some('[' | '\u{20}'..='\u{2f}') => skip_parameters(rest),
        _ => {}
    }
}

fn skip_parameters(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
    rest.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
}

/// Skips to BEL or ST. A string that never ends takes the rest of its line, as a terminal would.
fn skip_string(rest: &mut Peekable<Chars<'_>>) {
    while let Some(c) = rest.next() {
        match c {
            '\u{7}' | '\u{9c}' => return,
            ESCAPE if rest.next_if_eq(&'\\').is_some() => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_controls_do_not_get_through() {
        let cases = [
            ("plain ü", "plain ü"),
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]8;;http://x\x1b\\link", "link"),
            ("\x1b(Btext", "text"),
            ("\u{9b}31mred", "red"),
            ("a\tb", "a\tb"),
            ("a\rb\r\n", "a b"),
            ("a\nfake line", "a fake line"),
            ("a\0\x08b", "a  b"),
            ("\u{202e}evil", "evil"),
            ("a\u{2028}b", "a b"),
            ("cut \x1b[", "cut "),
            ("cut \x1b", "cut "),
        ];

        for (text, shown) in cases {
            assert_eq!(plain(text), shown, "{text:?}");
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let shown = plain(&"ü".repeat(MAX_LINE_BYTES));

        assert!(shown.len() <= MAX_LINE_BYTES && shown.len() > MAX_LINE_BYTES - 8);
        assert!(shown.ends_with("ü…"));
        assert_eq!(plain(&shown), shown);
    }
}
