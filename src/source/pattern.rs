//! One pattern of a `.dockerignore`, as the builder's own matcher understands it.
//!
//! Rules: <https://docs.docker.com/build/concepts/context/#syntax>. The matcher keeps the set of places in the pattern where it
//! could stand, so that no pattern, however many stars it has, takes more than `pattern × path` steps.

use std::iter::Peekable;
use std::str::Chars;

/// A compiled pattern; `!` and comments are the file's business.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
    /// The text of a pattern in which nothing is special: most are such, and they are compared without the machinery.
    plain: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Star,
    /// `**` at the end: everything, slashes included.
    Rest,
    /// `**/` in front of something: no folder, or any number of them.
    Folders,
    /// `[a-z]`, `[^a-z]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

// === impl Pattern ===

impl Pattern {
    /// Compiles a cleaned pattern; `None` when it is malformed.
    pub(super) fn compile(text: &str) -> Option<Pattern> {
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '*' if chars.next_if_eq(&'*').is_some() => deep(&mut chars, tokens.is_empty()),
                '*' => Token::Star,
                '?' => Token::One,
                '[' => class(&mut chars)?,
                '\\' => Token::Char(chars.next()?),
                plain => Token::Char(plain),
            });
        }
        let plain = tokens.iter().map(|token| if let Token::Char(char) = token { Some(*char) } else { None }).collect();
        Some(Pattern { tokens, plain })
    }

    /// Tells whether the pattern matches `path` or one of the folders above it.
    pub(super) fn matches(&self, path: &str) -> bool {
        if let Some(plain) = &self.plain {
            return path.strip_prefix(plain.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        }
        let mut places = vec![false; self.tokens.len() + 1];
        let mut next = places.clone();
        self.stand(&mut places, 0, true);
        for char in path.chars() {
            // At a slash the path so far is a folder above: a match of it is a match of all that is in it.
            if char == '/' && places[self.tokens.len()] {
                return true;
            }
            if !self.step(&places, &mut next, char) {
                return false;
            }
            std::mem::swap(&mut places, &mut next);
        }
        places[self.tokens.len()]
    }

    /// Moves every place over one character into `next`, and tells whether any is left.
    fn step(&self, places: &[bool], next: &mut [bool], char: char) -> bool {
        next.fill(false);
        let mut is_alive = false;
        for (place, token) in self.tokens.iter().enumerate().filter(|(place, _)| places[*place]) {
            let lands = match token {
                Token::Char(wanted) => (*wanted == char).then_some(place + 1),
                Token::One => (char != '/').then_some(place + 1),
                Token::Class { negated, ranges } => {
                    let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&char));
                    (inside != *negated).then_some(place + 1)
                }
                Token::Star => (char != '/').then_some(place),
                Token::Rest | Token::Folders => Some(place),
            };
            if let Some(landed) = lands {
                is_alive = true;
                self.stand(next, landed, *token != Token::Folders || char == '/');
            }
        }
        is_alive
    }

    /// Marks a place and those behind it that need no character. `**/` is left only at the start of a name.
    fn stand(&self, places: &mut [bool], mut place: usize, at_name: bool) {
        places[place] = true;
        while let Some(token) = self.tokens.get(place) {
            let is_passed = match token {
                Token::Star | Token::Rest => true,
                Token::Folders => at_name,
                _ => false,
            };
            if !is_passed {
                return;
            }
            place += 1;
            places[place] = true;
        }
    }
}

/// Reads what follows `**`: a slash belongs to it, and at the end it takes all.
fn deep(chars: &mut Peekable<Chars>, is_first: bool) -> Token {
    let had_slash = chars.next_if_eq(&'/').is_some();
    let rest: String = chars.clone().collect();
    // The builder's matcher reads a leading `**name`, with nothing special behind it, as "ends with name".
    let is_suffix = is_first && !had_slash && !rest.contains(['*', '?', '[', ']', '\\']);
    if rest.is_empty() || is_suffix { Token::Rest } else { Token::Folders }
}

fn class(chars: &mut Peekable<Chars>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
        let low = class_char(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_char(chars)? } else { low };
        ranges.push((low, high));
    }
    Some(Token::Class { negated, ranges })
}

fn class_char(chars: &mut Peekable<Chars>) -> Option<char> {
    match chars.next()? {
        ']' | '-' => None,
        '\\' => chars.next(),
        plain => Some(plain),
    }
}
