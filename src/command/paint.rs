//! Colours, which only decorate: whoever reads without them misses nothing.

use anstyle::{AnsiColor, Color, Style};

use super::call::LogRecord;
use super::check::{Check, Verdict};
use super::look::Look;
use crate::model::plain;

/// The colours of log sources, taken in turn by their names; red is left to what is wrong.
const SOURCES: [AnsiColor; 5] = [AnsiColor::Cyan, AnsiColor::Green, AnsiColor::Yellow, AnsiColor::Magenta, AnsiColor::Blue];

/// Paints words, or leaves them as they are.
#[derive(Clone, Copy)]
pub(super) struct Paint {
    is_on: bool,
}

// === impl Paint ===

impl Paint {
    pub fn of(look: &Look) -> Self {
        Paint { is_on: look.colour }
    }

    pub fn heading(self, text: &str) -> String {
        self.put(Style::new().dimmed(), text)
    }

    pub fn alarm(self, text: &str) -> String {
        self.put(colour(AnsiColor::Red).bold(), text)
    }

    pub fn advice(self, text: &str) -> String {
        self.put(Style::new().bold(), text)
    }

    /// Paints a cell that tells how something is; any other cell stays as it is.
    pub fn state(self, text: &str) -> String {
        state_style(text).map_or_else(|| text.to_owned(), |style| self.put(style, text))
    }

    /// Paints the mark of a deploy's line (COMMANDS.md, "What `git push` prints").
    pub fn talk(self, line: &str) -> String {
        let marks =
            [("----->", colour(AnsiColor::Cyan)), ("=====>", colour(AnsiColor::Green).bold()), (" !     ", colour(AnsiColor::Red).bold())];
        let marked = marks.into_iter().find_map(|(mark, style)| line.strip_prefix(mark).map(|rest| self.put(style, mark) + rest));
        marked.unwrap_or_else(|| line.to_owned())
    }

    /// Paints the mark of a check.
    pub fn check(self, check: &Check) -> String {
        let style = match check.verdict {
            Verdict::Good => colour(AnsiColor::Green),
            Verdict::Doubtful => colour(AnsiColor::Yellow),
            Verdict::Bad => colour(AnsiColor::Red).bold(),
        };
        let text = check.in_words();
        let (mark, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
        self.put(style, mark) + rest
    }

    /// Paints time and source; what the app said is its own.
    pub fn log(self, record: &LogRecord) -> String {
        let sum = record.source.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let source = self.put(colour(SOURCES[sum % SOURCES.len()]), &format!("{}:", plain(&record.source)));
        format!("{} {source} {}", self.put(Style::new().dimmed(), &record.at.to_string()), plain(&record.text))
    }

    fn put(self, style: Style, text: &str) -> String {
        if self.is_on { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(colour)))
}

fn state_style(text: &str) -> Option<Style> {
    match text {
        "live" => Some(colour(AnsiColor::Green)),
        "starting" | "draining" => Some(colour(AnsiColor::Yellow)),
        "crashing" | "crashed" | "down" | "failed" => Some(colour(AnsiColor::Red)),
        "retired" => Some(Style::new().dimmed()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Stamp;

    #[test]
    fn only_marks_are_painted_and_only_when_asked() {
        let (on, off) = (Paint { is_on: true }, Paint { is_on: false });

        assert_eq!(off.talk("-----> Building image"), "-----> Building image");
        assert_eq!(on.talk("-----> Building image"), "\u{1b}[36m----->\u{1b}[0m Building image");
        assert_eq!(on.talk("       ---> layer"), "       ---> layer");
        assert_eq!(on.state("blog"), "blog");
    }

    #[test]
    fn a_log_line_without_colours_is_the_line_itself() {
        let record = LogRecord { at: Stamp::from_millis(0), source: "app[web.1]".into(), text: "hi".into() };

        assert_eq!(Paint { is_on: false }.log(&record), record.to_string());
    }
}
