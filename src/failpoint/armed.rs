//! What happens at a failpoint, as `FAILPOINTS` says: `live::committed=kill`, `proxy::request=1*panic;built::after=sleep(100)`.

use rustix::process::{Signal, getpid, kill_process};

use super::NAMES;
use crate::error::{Error, Result};

/// The word for SIGKILL, which the crate does not know: it becomes its `return(kill)`.
const KILL: &str = "kill";
const RETURN_KILL: &str = "return(kill)";

/// Arms the failpoints that the environment names. A name or an action that there is not is refused: a test would pass by it.
pub fn arm() -> Result<()> {
    let Ok(line) = std::env::var("FAILPOINTS") else { return Ok(()) };
    for part in line.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, actions) = part.split_once('=').ok_or_else(|| Error::setup(format!("`{part}` is not FAILPOINT=ACTION")))?;
        if !NAMES.contains(&name) {
            return Err(Error::setup(format!("there is no failpoint `{name}`")));
        }
        fail::cfg(name, &in_words_of_the_crate(actions)).map_err(|err| Error::setup(format!("`{part}`: {err}")))?;
        tracing::warn!(name, actions, "a failpoint is armed");
    }
    Ok(())
}

/// Does at a failpoint what it is armed with; nothing without.
pub fn reach(name: &'static str) {
    fail::fail_point!(name, |word| end(word.as_deref()));
}

fn in_words_of_the_crate(actions: &str) -> String {
    let in_words = |action: &str| match action.strip_suffix(KILL) {
        Some(count) => format!("{count}{RETURN_KILL}"),
        None => action.to_owned(),
    };
    actions.split("->").map(in_words).collect::<Vec<_>>().join("->")
}

/// Ends this process as the kernel does when memory runs out: nothing of it runs any more.
fn end(word: Option<&str>) {
    assert_eq!(word, Some(KILL), "a failpoint returns nothing: kill, panic, sleep(ms) and off are its actions");
    kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
    // Delivered to a process of many threads: this one may run on for a moment.
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kill_is_one_action_among_the_crates() {
        assert_eq!(in_words_of_the_crate("kill"), "return(kill)");
        assert_eq!(in_words_of_the_crate("2*off->1*kill"), "2*off->1*return(kill)");
        assert_eq!(in_words_of_the_crate("1*panic(kill it)->sleep(5)"), "1*panic(kill it)->sleep(5)");
    }
}
