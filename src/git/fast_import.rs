//! Writes a source as one commit in the language of git-fast-import(1).

use std::io::{self, BufWriter, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::NewCommit;
use crate::error::{Error, Result};
use crate::source::{ContextEntries, ContextEntry, EntryKind};

const BUFFER_BYTES: usize = 128 << 10;

/// A branch of no repository: git needs a name for what it imports.
const BRANCH: &str = "refs/heads/source";

/// Writes the whole stream; git answers with the commit's id. Blocks as long as git reads.
pub(super) fn write(git: impl Write, new: &NewCommit, source: ContextEntries) -> Result<()> {
    let mut git = BufWriter::with_capacity(BUFFER_BYTES, git);
    head(&mut git, new).map_err(not_taken)?;
    source.walk(|entry| file(&mut git, entry).map_err(not_taken))?;
    git.write_all(b"\nget-mark :1\ndone\n").and_then(|()| git.flush()).map_err(not_taken)
}

fn head(git: &mut impl Write, new: &NewCommit) -> io::Result<()> {
    let name = name(&new.author);
    let who = format!("{name} <{}@mini> {} +0000", name.replace(' ', "-"), seconds());
    let message = message(&new.message);
    write!(git, "commit {BRANCH}\nmark :1\nauthor {who}\ncommitter {who}\ndata {}\n{message}\n", message.len())?;
    if let Some(parent) = &new.parent {
        writeln!(git, "from {parent}")?;
    }
    git.write_all(b"deleteall\n")
}

/// Folders come from the paths: git has no empty ones.
fn file(git: &mut impl Write, entry: ContextEntry) -> io::Result<()> {
    let mode = match entry.what {
        EntryKind::Folder => return Ok(()),
        EntryKind::Link(_) => "120000",
        EntryKind::File { executable: true, .. } => "100755",
        EntryKind::File { .. } => "100644",
    };
    write!(git, "M {mode} inline ")?;
    git.write_all(&quoted(entry.path))?;
    match entry.what {
        EntryKind::Folder => {}
        EntryKind::Link(target) => {
            write!(git, "\ndata {}\n", target.len())?;
            git.write_all(target)?;
        }
        EntryKind::File { size, content, .. } => {
            write!(git, "\ndata {size}\n")?;
            if io::copy(content, git)? != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    git.write_all(b"\n")
}

/// Quotes a path as C does; in there only these three are special.
fn quoted(path: &[u8]) -> Vec<u8> {
    let mut text = vec![b'"'];
    for byte in path {
        match byte {
            b'\n' => text.extend_from_slice(b"\\n"),
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', *byte]),
            plain => text.push(*plain),
        }
    }
    text.push(b'"');
    text
}

/// Returns a name that cannot end the line or begin the address.
fn name(author: &str) -> String {
    let plain: String = author.chars().filter(|char| !char.is_control() && !matches!(char, '<' | '>')).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    if words.is_empty() { "mini".to_owned() } else { words.join(" ") }
}

/// git takes a NUL for the end of a message, and so do those who read it.
fn message(text: &str) -> String {
    format!("{}\n", text.replace('\0', "").trim_end())
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn not_taken(cause: io::Error) -> Error {
    super::record::not_recorded(cause)
}
