//! The doorbell: one verb, one exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A hook's words are git's, and names of refs need not be UTF-8; its stdout is the server's socket.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "hook") {
        return ExitCode::from(mini::git::hook_main(std::env::args_os().skip(2)));
    }
    let words: Vec<String> = match std::env::args_os().skip(1).map(std::ffi::OsString::into_string).collect() {
        Ok(words) => words,
        Err(word) => {
            eprintln!("mini: `{}` is not UTF-8 text", word.display());
            return ExitCode::from(2);
        }
    };
    let code = match words.split_first() {
        Some((verb, rest)) if verb == "server" => mini::server::main(rest),
        Some((verb, rest)) if verb == "proxy" => mini::server::proxy_main(rest),
        Some((verb, rest)) if verb == "firewall" => mini::firewall::main(rest),
        Some((verb, rest)) if verb == "restore" => mini::server::restore_main(rest),
        _ => mini::cli::run(&words),
    };
    ExitCode::from(code)
}
