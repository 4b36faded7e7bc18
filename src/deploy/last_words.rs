//! What the last lines of a program that ended say about why, as far as they are known: one cause, one thing to do.

use crate::model::AppName;

/// A likely cause.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// Follows a colon: `the module `express` is not installed`.
    pub clause: String,
    pub hint: String,
}

/// What the reader must know besides the lines.
pub(super) struct Scene<'a> {
    pub app: &'a AppName,
    /// Tells whether the app's config has a variable.
    pub is_set: &'a dyn Fn(&str) -> bool,
}

type Reading = fn(&str, &Scene<'_>) -> Option<Cause>;

/// What says most comes first: a missing module also says `no such file`.
const READINGS: [Reading; 9] = [
    missing_module,
    missing_variable,
    taken_port,
    forbidden_port,
    wrong_format,
    missing_program,
    refused_peer,
    missing_file,
    forbidden_file,
];

/// Whoever prints a whole stack has its cause within that many characters of a line.
const MAX_LINE: usize = 1000;
/// What stands in a sentence is a name, not a page.
const MAX_NAME: usize = 120;

// === impl Cause ===

impl Cause {
    fn new(clause: impl Into<String>, hint: impl Into<String>) -> Self {
        Cause { clause: clause.into(), hint: hint.into() }
    }

    /// Reads the last lines; among several of a kind the last one counts.
    pub fn read(lines: &[String], scene: &Scene<'_>) -> Option<Self> {
        READINGS.iter().find_map(|reading| lines.iter().rev().find_map(|line| reading(cut(line), scene)))
    }
}

fn missing_module(line: &str, _: &Scene<'_>) -> Option<Cause> {
    if let Some(module) = within(line, "Cannot find module '", "'").or_else(|| within(line, "Cannot find package '", "'")) {
        if module.starts_with(['/', '.']) {
            let clause = format!("the file `{module}` is not in the image");
            return Some(Cause::new(clause, "check the path in CMD, and what COPY brings into the image"));
        }
        let hint = format!("npm install {module}, commit package.json and its lock file, and let the Dockerfile RUN npm ci");
        return Some(Cause::new(format!("the module `{module}` is not installed"), hint));
    }
    if let Some(module) = within(line, "No module named '", "'").or_else(|| after(line, "No module named ")) {
        let package = module.split('.').next().unwrap_or(module);
        let hint = format!("add {package} to requirements.txt, and let the Dockerfile RUN pip install -r requirements.txt");
        return Some(Cause::new(format!("the Python module `{module}` is not installed"), hint));
    }
    let library = within(line, "cannot load such file -- ", " (LoadError)").or_else(|| within(line, "Could not find gem '", "'"));
    let library = library.or_else(|| line.contains("Bundler::GemNotFound").then(|| within(line, "Could not find ", " in ")).flatten())?;
    let hint = "add it to the Gemfile, and let the Dockerfile RUN bundle install";
    Some(Cause::new(format!("the Ruby library `{library}` is not installed"), hint))
}

/// Only names are shown: what stands around them may be a value.
fn missing_variable(line: &str, scene: &Scene<'_>) -> Option<Cause> {
    let quoted = within(line, "KeyError: '", "'").or_else(|| within(line, "key not found: \"", "\""));
    let lower = line.to_lowercase();
    let complains =
        ["is not set", "not set", "must be set", "is required", "is missing", "is undefined", "not defined", "unbound variable"];
    let complains = complains.iter().any(|complaint| lower.contains(complaint)) || lower.contains("missing") && lower.contains("env");
    let named = || line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).find(|word| word.contains('_') && is_variable(word));
    let name = quoted.or_else(|| complains.then(named).flatten()).filter(|name| is_variable(name) && !(scene.is_set)(name))?;
    Some(Cause::new(format!("the config variable {name} is not set"), format!("ssh mini config:set {} {name}=…", scene.app)))
}

fn is_variable(word: &str) -> bool {
    word.len() >= 3
        && word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn taken_port(line: &str, _: &Scene<'_>) -> Option<Cause> {
    let lower = line.to_lowercase();
    let is_taken = lower.contains("address already in use") || line.contains("EADDRINUSE");
    is_taken.then(|| Cause::new("its port is taken by another of its own processes", "let CMD start one server that listens on $PORT"))
}

fn forbidden_port(line: &str, scene: &Scene<'_>) -> Option<Cause> {
    let lower = line.to_lowercase();
    let binds = ["listen", "bind"].iter().any(|verb| lower.contains(verb));
    let is_refused = lower.contains("permission denied") || line.contains("EACCES");
    (binds && is_refused).then(|| {
        let clause = "its user may not listen on a port below 1024";
        Cause::new(clause, format!("listen on 0.0.0.0:$PORT, and if that is below 1024: ssh mini config:set {} PORT=8080", scene.app))
    })
}

fn wrong_format(line: &str, _: &Scene<'_>) -> Option<Cause> {
    let is_wrong = line.to_lowercase().contains("exec format error") || line.contains("\u{7f}ELF") || line.contains(": ELF");
    let clause = format!("its program is for another machine than this one (linux/{}), or a script without #!/bin/sh", platform());
    is_wrong.then(|| Cause::new(clause, format!("build it in the Dockerfile, or for linux/{}", platform())))
}

fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// As the containers' init says it, or a shell: `sh: exec: line 0: foo: not found`, `bash: line 1: foo: command not found`.
fn missing_program(line: &str, _: &Scene<'_>) -> Option<Cause> {
    if let Some(script) = after(line, "Missing script: ") {
        let script = script.trim_matches(['"', '\'']);
        let hint = "add it to \"scripts\" in package.json, then deploy again";
        return Some(Cause::new(format!("package.json has no script `{script}`"), hint));
    }
    if let Some((program, why)) = line.strip_prefix("[FATAL tini (").and_then(|rest| rest.split_once("exec ")?.1.split_once(" failed: ")) {
        return if why.to_lowercase().starts_with("permission denied") {
            let hint = format!("let the Dockerfile RUN chmod +x {program}, then deploy again");
            Some(Cause::new(format!("`{program}` is not executable"), hint))
        } else if program.contains('/') {
            let clause = format!("there is no program `{program}` in its image, or not the one that its first line names");
            Some(Cause::new(clause, "check CMD in the Dockerfile, and the script's first line and line ends"))
        } else {
            absent(program)
        };
    }
    let complaint = line.strip_suffix(": not found").or_else(|| line.strip_suffix(": command not found"))?;
    let (speaker, program) = complaint.rsplit_once(": ")?;
    is_shell(speaker).then(|| absent(program)).flatten()
}

/// Tells a shell's complaint from another program's: `sh`, `/bin/sh: 1`, `/start: line 3`, `sh: exec: line 0`.
fn is_shell(speaker: &str) -> bool {
    let is_line = |part: &str| part.strip_prefix("line ").unwrap_or(part).parse::<u32>().is_ok();
    speaker.split(": ").any(|part| part.ends_with("sh") || is_line(part))
}

fn absent(program: &str) -> Option<Cause> {
    let is_name = !program.is_empty() && program.len() <= MAX_NAME && !program.contains(char::is_whitespace);
    is_name.then(|| {
        let clause = format!("there is no program `{program}` in its image");
        Cause::new(clause, "install it in the Dockerfile, or mend CMD (or the Procfile), then deploy again")
    })
}

/// In its container, localhost is the app itself.
fn refused_peer(line: &str, scene: &Scene<'_>) -> Option<Cause> {
    let lower = line.to_lowercase();
    if !lower.contains("econnrefused") && !lower.contains("connection refused") {
        return None;
    }
    let place = line.split([' ', '(', ')', ',', '"', '\'']).find(|word| is_local(word))?.trim_end_matches([':', '.', ';']);
    let hint = format!("name the service's real place in its config: ssh mini config:set {} DATABASE_URL=…", scene.app);
    Some(Cause::new(format!("nothing answers at {place}, which is its own container"), hint))
}

fn is_local(word: &str) -> bool {
    let port = ["127.0.0.1:", "localhost:", "::1:", "[::1]:"].iter().find_map(|host| word.strip_prefix(host));
    port.is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()))
}

fn missing_file(line: &str, _: &Scene<'_>) -> Option<Cause> {
    let lower = line.to_lowercase();
    let jar = after(line, "Unable to access jarfile ");
    let file = jar.or_else(|| lower.contains("no such file or directory").then(|| path_in(line)).flatten())?;
    Some(Cause::new(format!("the file `{file}` is not there"), "check what COPY brings into the image, and .dockerignore"))
}

fn forbidden_file(line: &str, _: &Scene<'_>) -> Option<Cause> {
    let file = line.to_lowercase().contains("permission denied").then(|| path_in(line)).flatten()?;
    let hint = "give it to that user in the Dockerfile: COPY --chown, or RUN chown before USER";
    Some(Cause::new(format!("its user may not use `{file}`"), hint))
}

/// Finds the path that a complaint is about: in quotes, or a word with a slash.
fn path_in(line: &str) -> Option<&str> {
    let quoted = ['\'', '"', '`'].iter().find_map(|quote| line.split(*quote).skip(1).find(|path| is_path(path)));
    quoted.or_else(|| {
        line.split_whitespace().map(|word| word.trim_end_matches([':', ',', '.'])).find(|word| word.contains('/') && is_path(word))
    })
}

fn is_path(word: &str) -> bool {
    !word.is_empty() && word.len() <= MAX_NAME && !word.contains("://") && !word.contains(char::is_whitespace)
}

fn within<'a>(line: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let found = line.split_once(start)?.1.split_once(end)?.0.trim();
    (!found.is_empty() && found.len() <= MAX_NAME).then_some(found)
}

fn after<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    let found = line.split_once(start)?.1.split_whitespace().next()?;
    (found.len() <= MAX_NAME).then_some(found)
}

fn cut(line: &str) -> &str {
    line[..line.floor_char_boundary(MAX_LINE)].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<Cause> {
        let app = "blog".parse().unwrap();
        let scene = Scene { app: &app, is_set: &|name| name == "KNOWN_URL" };
        Cause::read(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), &scene)
    }

    #[track_caller]
    fn says(line: &str, clause: &str, hint: &str) {
        let read = read(&["starting", line, "    at somewhere"]).unwrap_or_else(|| panic!("nothing is made of {line:?}"));
        assert_eq!(read.clause, clause, "{line}");
        assert!(read.hint.contains(hint), "{line}: {}", read.hint);
    }

    #[test]
    fn a_module_that_is_not_installed_is_named() {
        says("Error: Cannot find module 'express'", "the module `express` is not installed", "npm install express");
        says(
            "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'koa' imported from /app/a.mjs",
            "the module `koa` is not installed",
            "npm ci",
        );
        says("Error: Cannot find module '/app/server.js'", "the file `/app/server.js` is not in the image", "CMD");
        says(
            "ModuleNotFoundError: No module named 'flask.x'",
            "the Python module `flask.x` is not installed",
            "add flask to requirements.txt",
        );
        says("/usr/bin/python: No module named gunicorn", "the Python module `gunicorn` is not installed", "pip install");
        says(
            "a.rb:1:in `require': cannot load such file -- sinatra (LoadError)",
            "the Ruby library `sinatra` is not installed",
            "bundle install",
        );
    }

    #[test]
    fn a_variable_that_is_missing_is_named_and_one_that_is_set_is_not() {
        for line in [
            "KeyError: 'DATABASE_URL'",
            "config.rb:1:in `fetch': key not found: \"DATABASE_URL\" (KeyError)",
            "DATABASE_URL is not set",
            "Error: environment variable DATABASE_URL must be set",
            "sh: DATABASE_URL: unbound variable",
            "panic: missing env DATABASE_URL",
        ] {
            says(line, "the config variable DATABASE_URL is not set", "ssh mini config:set blog DATABASE_URL=…");
        }
        for line in
            ["KeyError: 'KNOWN_URL'", "KNOWN_URL is not set", "KeyError: 'name'", "the file is missing", "DATABASE_URL=postgres://a"]
        {
            assert_eq!(read(&[line]), None, "{line}");
        }
    }

    #[test]
    fn ports_that_are_taken_or_forbidden_are_told_apart() {
        for line in ["httpd: bind: Address already in use", "Error: listen EADDRINUSE: address already in use :::3000"] {
            says(line, "its port is taken by another of its own processes", "one server");
        }
        for line in
            ["Error: listen EACCES: permission denied 0.0.0.0:80", "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)"]
        {
            says(line, "its user may not listen on a port below 1024", "config:set blog PORT=8080");
        }
    }

    #[test]
    fn programs_that_cannot_run_are_named() {
        let absent = "there is no program `nope` in its image";
        for line in ["[FATAL tini (6)] exec nope failed: No such file or directory", "sh: exec: line 0: nope: not found"] {
            says(line, absent, "Dockerfile");
        }
        says("bash: line 1: nope: command not found", absent, "Dockerfile");
        says("[FATAL tini (7)] exec /start failed: Permission denied", "`/start` is not executable", "RUN chmod +x /start");
        says(
            "[FATAL tini (7)] exec /start failed: No such file or directory",
            "there is no program `/start` in its image, or not the one that its first line names",
            "line ends",
        );
        let foreign = format!("its program is for another machine than this one (linux/{}), or a script without #!/bin/sh", platform());
        for line in [
            "sh: 1: exec: /x/arm: Exec format error",
            "[FATAL tini (7)] exec /arm failed: Exec format error",
            "/x/arm: 1: ELF\u{2}: not found",
        ] {
            says(line, &foreign, "build it in the Dockerfile");
        }
        says("npm ERR! Missing script: \"start\"", "package.json has no script `start`", "package.json");
    }

    #[test]
    fn files_are_named_and_what_is_wrong_with_them() {
        says("python3: can't open file '/nope.py': [Errno 2] No such file or directory", "the file `/nope.py` is not there", "COPY");
        says("Error: ENOENT: no such file or directory, open '/data/x'", "the file `/data/x` is not there", ".dockerignore");
        says("open /etc/app.toml: no such file or directory", "the file `/etc/app.toml` is not there", "COPY");
        says("PermissionError: [Errno 13] Permission denied: '/data/x'", "its user may not use `/data/x`", "chown");
        says(
            "Error: connect ECONNREFUSED 127.0.0.1:5432",
            "nothing answers at 127.0.0.1:5432, which is its own container",
            "config:set blog DATABASE_URL=…",
        );
    }

    #[test]
    fn what_says_most_wins_over_what_comes_last() {
        let cause = read(&["KeyError: 'SECRET_KEY'", "cat: /x/y: No such file or directory"]).unwrap();

        assert_eq!(cause.clause, "the config variable SECRET_KEY is not set");
        assert_eq!(read(&["listening on 8080", "user: anna: not found", "bye"]), None);
        assert_eq!(read(&[]), None);
    }
}
