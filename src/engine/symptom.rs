//! What the last lines of a build's failed command say about why, as far as they are known.

use std::collections::VecDeque;

/// A likely cause, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Symptom {
    /// Follows a colon: `there is no program `npm` in its image`.
    pub(super) clause: String,
    pub(super) hint: String,
}

/// What stands in a sentence is a name, not a page.
const MAX_NAME: usize = 120;

// === impl Symptom ===

impl Symptom {
    /// Reads what a command printed last; what says most is asked for first.
    pub(super) fn read(tail: &VecDeque<String>) -> Option<Self> {
        let readings: [fn(&str) -> Option<Symptom>; 6] = [no_lock, no_package, no_header, no_name, no_space, no_program];
        readings.iter().find_map(|reading| tail.iter().rev().find_map(|line| reading(line.trim())))
    }

    fn new(clause: impl Into<String>, hint: impl Into<String>) -> Self {
        Symptom { clause: clause.into(), hint: hint.into() }
    }
}

fn no_lock(line: &str) -> Option<Symptom> {
    if line.contains("can only install with an existing package-lock.json") || line.contains("existing npm-shrinkwrap.json") {
        return Some(Symptom::new("there is no package-lock.json", "npm install, and commit the package-lock.json that it writes"));
    }
    if line.contains("package.json and package-lock.json") && line.contains("in sync") {
        return Some(Symptom::new("package-lock.json does not fit package.json", "npm install, and commit both files"));
    }
    let file = name(line, "Could not open requirements file: [Errno 2] No such file or directory: '", "'")?;
    let hint = format!("let the Dockerfile COPY {file} before this RUN, and look for it in .dockerignore");
    Some(Symptom::new(format!("`{file}` is not in the image"), hint))
}

fn no_package(line: &str) -> Option<Symptom> {
    let found = name(line, "No matching distribution found for ", "\n")
        .or_else(|| name(line, "E: Unable to locate package ", "\n"))
        .or_else(|| name(line, "404 Not Found - GET ", " ").and_then(|url| url.rsplit('/').next()))
        .or_else(|| line.ends_with("(no such package):").then(|| line.split_whitespace().next()).flatten());
    let package = found?;
    Some(Symptom::new(
        format!("there is no package `{package}`, or not that version of it"),
        format!("check the name and version of {package}"),
    ))
}

fn no_header(line: &str) -> Option<Symptom> {
    let header = name(line, "fatal error: ", ": No such file or directory")?;
    let hint = "install the -dev package that has it, in an earlier RUN of the Dockerfile";
    Some(Symptom::new(format!("the C header `{header}` is not in its image"), hint))
}

fn no_name(line: &str) -> Option<Symptom> {
    let signs =
        ["Temporary failure in name resolution", "Temporary failure resolving", "EAI_AGAIN", "Could not resolve host", "bad address '"];
    let is_sign = signs.iter().any(|sign| line.contains(sign));
    is_sign.then(|| {
        Symptom::new("the build cannot resolve names: it has no network", "on the server: docker run --rm busybox nslookup example.com")
    })
}

fn no_space(line: &str) -> Option<Symptom> {
    let is_full = line.to_lowercase().contains("no space left on device") || line.contains("ENOSPC");
    is_full.then(|| Symptom::new("the server's disk is full", "on the server: df -h, then docker system df"))
}

/// As a shell says it: `/bin/sh: npm: not found`, `/bin/sh: 1: npm: not found`, `bash: line 1: npm: command not found`.
fn no_program(line: &str) -> Option<Symptom> {
    let complaint = line.strip_suffix(": not found").or_else(|| line.strip_suffix(": command not found"))?;
    let (speaker, program) = complaint.rsplit_once(": ")?;
    let is_shell = speaker.split(": ").next().is_some_and(|shell| shell.ends_with("sh"));
    let is_name = !program.is_empty() && program.len() <= MAX_NAME && !program.contains(char::is_whitespace);
    (is_shell && is_name).then(|| {
        let hint = format!("begin FROM an image that has {program}, or install it in an earlier RUN");
        Symptom::new(format!("there is no program `{program}` in its image"), hint)
    })
}

/// Returns what stands between two texts; the second may be the line's end.
fn name<'a>(line: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let rest = line.split_once(start)?.1;
    let found = rest.split_once(end).map_or(rest, |(found, _)| found).trim();
    (!found.is_empty() && found.len() <= MAX_NAME).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(line: &str, clause: &str, hint: &str) {
        let tail = VecDeque::from(["compiling".to_owned(), line.to_owned(), "that was all".to_owned()]);
        let symptom = Symptom::read(&tail).unwrap_or_else(|| panic!("nothing is made of {line:?}"));
        assert_eq!(symptom.clause, clause);
        assert!(symptom.hint.contains(hint), "{}", symptom.hint);
    }

    #[test]
    fn what_installers_miss_is_named() {
        says(
            "npm ERR! The `npm ci` command can only install with an existing package-lock.json or",
            "there is no package-lock.json",
            "npm install",
        );
        says(
            "npm ERR! `npm ci` can only install packages when your package.json and package-lock.json are in sync.",
            "package-lock.json does not fit package.json",
            "commit both",
        );
        says(
            "ERROR: Could not open requirements file: [Errno 2] No such file or directory: 'requirements.txt'",
            "`requirements.txt` is not in the image",
            "COPY requirements.txt",
        );
        let absent = "there is no package `flaskk==3`, or not that version of it";
        says("ERROR: No matching distribution found for flaskk==3", absent, "check the name");
        says("E: Unable to locate package nosuch", "there is no package `nosuch`, or not that version of it", "check the name");
        says("  nosuch (no such package):", "there is no package `nosuch`, or not that version of it", "check the name");
        says(
            "npm ERR! 404 Not Found - GET https://r.test/nosuch - Not found",
            "there is no package `nosuch`, or not that version of it",
            "nosuch",
        );
    }

    #[test]
    fn what_the_image_or_the_server_lacks_is_named() {
        says("x.c:1:10: fatal error: pq.h: No such file or directory", "the C header `pq.h` is not in its image", "-dev");
        says("/bin/sh: 1: npm: not found", "there is no program `npm` in its image", "FROM an image that has npm");
        says("/bin/bash: line 1: yarn: command not found", "there is no program `yarn` in its image", "yarn");
        says("curl: (6) Could not resolve host: example.com", "the build cannot resolve names: it has no network", "nslookup");
        says("tar: write error: No space left on device", "the server's disk is full", "df -h");
    }

    #[test]
    fn what_is_not_known_stays_unsaid() {
        assert_eq!(Symptom::read(&VecDeque::new()), None);
        assert_eq!(Symptom::read(&VecDeque::from(["main.c:12: error: expected ';'".to_owned(), "GET /x: not found".to_owned()])), None);
    }
}
