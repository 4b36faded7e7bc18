//! The small program that git starts as a hook: it tells the server what git wants, prints what comes back, and obeys.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::wire::{EXIT, Hello, OUTPUT, WireUpdate};
use crate::command::frame::Frame;
use crate::model::limits::{MAX_PUSH_OPTION_BYTES, MAX_PUSH_OPTIONS, MAX_PUSH_REFS};

/// What a hook says when nobody is behind it, and when somebody was.
const ALONE: &str = "mini: push over ssh to mini";
const LEFT: &str = "mini: the server went away: push again";

/// No ref that is deployed has a longer name.
const MAX_REF_BYTES: u64 = 1024;

/// Runs `mini hook ARGS` as git starts it and returns the exit code. The script gives the server's socket as stdout.
pub fn hook_main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let socket = std::env::var_os("MINI_HOOK_FD").and_then(|_| io::stdout().as_fd().try_clone_to_owned().ok());
    match socket {
        Some(socket) => run(args, UnixStream::from(socket)),
        None => refuse(ALONE),
    }
}

/// As [`hook_main`], with the socket in hand.
pub(super) fn run(args: impl IntoIterator<Item = OsString>, socket: UnixStream) -> u8 {
    let Some(hello) = hello(args) else { return refuse(ALONE) };
    converse(socket, &hello, &mut io::stderr()).unwrap_or_else(|_| refuse(LEFT))
}

fn refuse(sentence: &str) -> u8 {
    eprintln!("{sentence}");
    1
}

fn hello(args: impl IntoIterator<Item = OsString>) -> Option<Hello> {
    let args: Vec<String> = args.into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pre-receive"] => Some(Hello::PreReceive {
            updates: read_updates(&mut io::stdin().lock()),
            quarantine: std::env::var_os("GIT_QUARANTINE_PATH").as_deref().and_then(folder_name),
            options: push_options(|name| std::env::var_os(name)),
        }),
        ["update", name, old, new] => Some(Hello::Update(WireUpdate { name: cut(name), old: old.into(), new: new.into() })),
        _ => None,
    }
}

/// Reads `OLD NEW NAME` lines, one more than are allowed, so that the server sees that there were too many.
fn read_updates(lines: &mut impl BufRead) -> Vec<WireUpdate> {
    let mut updates = Vec::new();
    while updates.len() <= MAX_PUSH_REFS {
        let mut line = Vec::new();
        // Two ids and two spaces stand before the name.
        let is_read = lines.by_ref().take(MAX_REF_BYTES + 130).read_until(b'\n', &mut line);
        let text = String::from_utf8_lossy(&line);
        let mut words = text.trim_end_matches('\n').splitn(3, ' ');
        let (Ok(1..), Some(old), Some(new), Some(name)) = (is_read, words.next(), words.next(), words.next()) else { break };
        updates.push(WireUpdate { name: cut(name), old: old.into(), new: new.into() });
    }
    // git would stumble over a hook that does not listen to the end.
    _ = io::copy(lines, &mut io::sink());
    updates
}

fn cut(name: &str) -> String {
    name[..name.floor_char_boundary(1024)].to_owned()
}

fn folder_name(path: &OsStr) -> Option<String> {
    Path::new(path).file_name()?.to_str().map(str::to_owned)
}

/// Reads `GIT_PUSH_OPTION_*` (githooks(5)), one and one byte more than are allowed.
fn push_options(variable: impl Fn(&str) -> Option<OsString>) -> Vec<String> {
    let count = variable("GIT_PUSH_OPTION_COUNT").and_then(|count| count.to_str()?.parse().ok()).unwrap_or(0);
    let options = (0..count.min(MAX_PUSH_OPTIONS + 1)).filter_map(|index| variable(&format!("GIT_PUSH_OPTION_{index}")));
    let texts = options.map(|option| option.to_string_lossy().into_owned());
    texts.map(|text| text[..text.floor_char_boundary(MAX_PUSH_OPTION_BYTES + 4)].to_owned()).collect()
}

/// Says hello, prints output as it comes, and returns the server's exit code.
fn converse(mut socket: UnixStream, hello: &Hello, out: &mut impl Write) -> io::Result<u8> {
    hello.frame().map_err(io::Error::other)?.write_blocking(&mut socket)?;
    while let Some(frame) = Frame::read_blocking(&mut socket)? {
        match (frame.kind, frame.payload.as_slice()) {
            // The pusher may have left; the verdict still counts.
            (OUTPUT, text) => _ = out.write_all(text).and_then(|()| out.flush()),
            (EXIT, [code]) => return Ok(*code),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ref_lines_are_read_up_to_the_limit_and_the_rest_is_swallowed() {
        let (old, new) = ("0".repeat(40), "a".repeat(40));
        let text = format!("{old} {new} refs/heads/main\n").repeat(MAX_PUSH_REFS + 50);
        let mut lines = text.as_bytes();

        let updates = read_updates(&mut lines);

        assert_eq!(updates.len(), MAX_PUSH_REFS + 1);
        assert_eq!(updates[0], WireUpdate { name: "refs/heads/main".into(), old, new });
        assert!(lines.is_empty());
        assert_eq!(read_updates(&mut &b"nonsense\n"[..]), []);
        assert_eq!(read_updates(&mut &b""[..]), []);
    }

    #[test]
    fn options_are_counted_and_cut() {
        let all = |name: &str| match name {
            "GIT_PUSH_OPTION_COUNT" => Some("1000".into()),
            _ => Some("ü".repeat(MAX_PUSH_OPTION_BYTES).into()),
        };

        let options = push_options(all);

        assert_eq!(options.len(), MAX_PUSH_OPTIONS + 1);
        assert!(options[0].len() > MAX_PUSH_OPTION_BYTES && options[0].len() < MAX_PUSH_OPTION_BYTES + 8);
        assert_eq!(push_options(|_| None), Vec::<String>::new());
    }

    #[test]
    fn output_is_printed_and_the_code_obeyed() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let hello = Hello::Update(WireUpdate { name: "refs/heads/main".into(), old: "0".repeat(40), new: "a".repeat(40) });
        Frame::new(OUTPUT, *b"-----> hi\n").write_blocking(&mut theirs).unwrap();
        Frame::new(EXIT, [7]).write_blocking(&mut theirs).unwrap();
        let mut printed = Vec::new();

        assert_eq!(converse(ours, &hello, &mut printed).unwrap(), 7);

        assert_eq!(printed, b"-----> hi\n");
        assert_eq!(Frame::read_blocking(&mut theirs).unwrap(), Some(hello.frame().unwrap()));
    }

    #[test]
    fn a_server_that_goes_away_is_no_verdict() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let hello = Hello::Update(WireUpdate { name: "refs/heads/main".into(), old: "0".repeat(40), new: "a".repeat(40) });
        drop(theirs);

        assert!(converse(ours, &hello, &mut Vec::new()).is_err());
    }
}
