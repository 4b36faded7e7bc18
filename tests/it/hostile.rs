//! Strangers' text and strangers' trees: nothing of them is ever executed, followed, or shown raw.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Docker, Entry, Mini, Repo, Said, descendants_of, unique};

/// What would be there if a shell had seen one of these texts.
struct Canary(PathBuf);

// === impl Canary ===

impl Canary {
    fn new() -> Self {
        Canary(PathBuf::from(format!("/tmp/pwn-{}", unique())))
    }

    /// `text` with the canary's path in the place of `@`.
    fn in_text(&self, text: &str) -> String {
        text.replace('@', &self.0.display().to_string())
    }

    #[track_caller]
    fn assert_unseen(&self) {
        assert!(!self.0.exists(), "{} is there: something was executed", self.0.display());
    }
}

/// Names that are no app's. `@` stands for a canary file.
const NAMES: &[&str] = &[
    "",
    " ",
    ".",
    "..",
    "-",
    "--",
    "a",
    "a;touch @",
    "a&&touch @",
    "a|touch @",
    "a\ntouch @\n",
    "$(touch @)",
    "`touch @`",
    "${IFS}touch${IFS}@",
    "a'$(touch @)'",
    "a\"$(touch @)\"",
    ">@",
    "a>@",
    "<(touch @)",
    "../x",
    "../../etc/passwd",
    "a/../b",
    "a/../../b",
    "/etc/passwd",
    "//blog",
    "~root",
    "a.git/..",
    ".git",
    "blog.git.git",
    "blog/.git/hooks",
    "hooks/pre-receive",
    "-rf",
    "-h",
    "--help",
    "--version",
    "--upload-pack=touch @",
    "--receive-pack=touch @",
    "-u./x",
    "--exec=touch @",
    "Blog",
    "BLOG",
    "blog-",
    "-blog",
    "1blog",
    "b--log",
    "b_log",
    "b.log",
    "b:log",
    "b=log",
    "b log",
    "b\tlog",
    "b\rlog",
    "b\u{1b}[31mlog",
    "b\u{202e}log",
    "b\u{200b}log",
    "blög",
    "ｂｌｏｇ",
    "%2e%2e",
    "%00",
    "*",
    "?",
    "[a-z]",
    "mini",
    "api",
    "www",
    "deployed",
    "keys",
    "v12",
];

/// Words with the name in the place of an app.
const WORDS: &[&str] = &["logs", "apps:create", "apps:info", "ps", "config:set -- NAME A=1", "rebuild", "apps:destroy"];

#[test]
fn hostile_names_are_refused_the_same_way_at_every_word() {
    let mini = Mini::start();
    let canary = Canary::new();
    let before = files_of(&mini.data());
    let shared = Shared::of(&mini);
    let long = "a".repeat(300);

    for name in NAMES.iter().copied().chain([long.as_str()]) {
        let name = canary.in_text(name);
        for service in ["git-receive-pack", "git-upload-pack"] {
            let said = shared.ssh(&format!("{service} {}", quoted(&name)));
            assert_eq!(said.code, 2, "{service} {name:?}: {said:?}");
            assert_tame(&said);
            assert!(
                said.stderr.contains("is not an app name") || said.stderr.contains("cannot name an app"),
                "{service} {name:?}: {said:?}"
            );
        }
        for word in WORDS {
            // What begins with a dash is an option to every word but those of git.
            let line = if word.contains("NAME") { word.replace("NAME", &quoted(&name)) } else { format!("{word} -- {}", quoted(&name)) };
            let said = shared.ssh(&line);
            assert_eq!(said.code, 2, "{line:?}: {said:?}");
            assert_tame(&said);
        }
    }
    let raw = shared.ssh_raw(OsStr::from_bytes(b"git-receive-pack 'a\xff\xfe'"));
    assert_eq!((raw.code, raw.stderr.as_str()), (128, "the command line is not UTF-8 text\n"));

    canary.assert_unseen();
    assert_eq!(mini.apps(), Vec::<String>::new());
    assert_eq!(files_of(&mini.data()), before);
    mini.finish();
}

#[test]
fn hostile_names_in_a_real_push_and_clone_are_refused() {
    let mini = Mini::start();
    let canary = Canary::new();
    let repo = Repo::hello();
    let folder = tempfile::tempdir().unwrap();

    for name in ["$(touch @)", "a;touch @", "`touch @`", "../x", "../../../etc", "-rf", "--upload-pack=touch @", "b\u{202e}log", "a.git/.."]
    {
        let name = canary.in_text(name);
        mini.anna.push(repo.path(), mini.ssh, &name, &["main"]).fails(128, "is not an app name");
        mini.anna.clone(folder.path(), mini.ssh, &name).fails(128, "is not an app name");
    }

    canary.assert_unseen();
    assert_eq!(mini.apps(), Vec::<String>::new());
    mini.finish();
}

#[test]
fn texts_of_a_commit_a_branch_and_the_config_are_never_executed_and_never_shown_raw() {
    let mini = Mini::start();
    let canary = Canary::new();
    let repo = Repo::hello();
    let evil = canary.in_text("$(touch @) `touch @`; touch @ \u{1b}]0;owned\u{7}\u{1b}[2J");
    repo.write("index.html", &evil);
    repo.git(&["add", "-A"]);
    repo.git(&["commit", "-q", "--author", &format!("{evil} <{}>", "a@test"), "-m", &format!("{evil}\nsecond line\n\n{evil}")]);
    mini.anna.ssh(mini.ssh, "apps:create hello").ok();
    let value = canary.in_text("$(touch @) `touch @`\n'; touch @ #\u{1b}[31m");
    mini.anna.ssh(mini.ssh, &format!("config:set hello {}", quoted(&format!("EVIL={value}")))).ok();

    let pushed = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let branch = canary.in_text("refs/heads/$(touch${IFS}@)");
    let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &[&format!("main:{branch}")]).fails(1, "(pre-receive hook declined)");

    let hint = canary.in_text(" !     try: push it as main: git push mini '$(touch${IFS}@):main'");
    assert!(refused.remote().contains(&hint), "{}", refused.stderr);
    assert_eq!(mini.anna.ssh(mini.ssh, "config:get hello EVIL").ok().stdout.trim_end(), value);
    let container = &mini.docker().containers()[0];
    assert_eq!(Docker::exec(container, &["sh", "-c", "printf %s \"$EVIL\""]).join("\n"), value);
    for said in [pushed, refused, mini.anna.ssh(mini.ssh, "logs hello").ok(), mini.anna.ssh(mini.ssh, "releases hello").ok()] {
        assert_tame(&said);
    }
    assert!(mini.releases("hello")[0]["description"].as_str().unwrap().starts_with("$(touch "));
    assert!(!mini.log().contains('\u{1b}') || !mini.log().contains("\u{1b}]0;owned"), "the server's log has a raw escape in it");
    canary.assert_unseen();
    mini.finish();
}

#[test]
fn refs_that_look_like_options_are_refused_in_words() {
    let mini = Mini::start();
    let canary = Canary::new();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let before = mini.state("hello");
    repo.next("second");

    for name in ["--upload-pack=x", "-h", "--exec=touch${IFS}@", "$(id)", "`id`", ";id", "main;id", "\u{202e}niam"] {
        let refspec = format!("HEAD:refs/heads/{}", canary.in_text(name));
        let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &[&refspec]).fails(1, "(pre-receive hook declined)");
        assert!(refused.remote()[0].starts_with(" !     this app is deployed from `main`, not from `"), "{name}: {}", refused.stderr);
        assert_tame(&refused);
    }

    assert_eq!(mini.state("hello"), before);
    canary.assert_unseen();
    mini.finish();
}

#[test]
fn variables_that_a_client_sends_reach_no_child() {
    let mini = Mini::start();
    let canary = Canary::new();
    let marker = format!("3.{}", unique());
    let repo = Repo::building(&format!("sleep {marker}"));
    let mut ssh = mini.anna.ssh_command(mini.ssh);
    let sent = canary.in_text(
        "LD_PRELOAD=@.so GIT_SSH_COMMAND=evil-@ GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.hooksPath GIT_CONFIG_VALUE_0=evil-@ \
         GIT_EXEC_PATH=evil-@ GIT_DIR=evil-@ PATH=evil-@ MINI_BIN=evil-@ MINI_HOOK_FD=evil-@ GIT_PROTOCOL=evil-@",
    );
    ssh.extend(["-o".to_owned(), format!("'SetEnv={sent}'")]);
    let mut push = mini.anna.push_command(repo.path(), mini.ssh, "hello", &["main"]);
    push.env("GIT_SSH_COMMAND", ssh.join(" "));
    let mut push = crate::harness::Running::of(push);
    push.wait_for("Building image");

    let children = descendants_of(mini.pid());
    let environments: Vec<String> = children.iter().filter_map(|child| environment_of(*child)).collect();
    push.finish().ok();

    assert!(environments.iter().any(|environment| environment.contains("GIT_CONFIG_NOSYSTEM=1")), "no git was seen: {environments:?}");
    let bad = [canary.0.to_str().unwrap(), "LD_PRELOAD", "GIT_SSH_COMMAND", "GIT_CONFIG_KEY_0=core.hooksPath\0GIT_CONFIG_VALUE_0=evil"];
    for environment in &environments {
        assert!(!bad.iter().any(|bad| environment.contains(bad)), "{environment:?}");
    }
    canary.assert_unseen();
    mini.finish();
}

#[test]
fn trees_that_git_would_never_make_are_refused_and_touch_nothing() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let (before, files) = (mini.state("hello"), files_of(&mini.data()));
    let file = repo.blob(b"x");
    let folder = repo.tree(&[("100644", b"x", &file)]);
    let link = repo.blob(b"/tmp");
    let long = vec![b'n'; 4096];
    let trees: Vec<(&str, &str, Vec<Entry>)> = vec![
        ("dot dot", "hasDotdot", vec![("40000", b"..", &folder)]),
        ("dot", "hasDot", vec![("40000", b".", &folder)]),
        (".git", "hasDotgit", vec![("40000", b".git", &folder)]),
        (".GIT", "hasDotgit", vec![("40000", b".GIT", &folder)]),
        (".git file", "hasDotgit", vec![("100644", b".git", &file)]),
        ("git~1", "hasDotgit", vec![("40000", b"git~1", &folder)]),
        (".git with an ignorable character", "hasDotgit", vec![("40000", ".g\u{200c}it".as_bytes(), &folder)]),
        ("a slash", "fullPathname", vec![("100644", b"../../x", &file)]),
        ("an absolute path", "fullPathname", vec![("100644", b"/etc/cron.d/x", &file)]),
        ("no name", "(unpacker error)", vec![("100644", b"", &file)]),
        ("a name of 4096 bytes", "cannot be part of a source: its path is too long", vec![("100644", &long, &file)]),
        ("the same file twice", "duplicateEntries", vec![("100644", b"x", &file), ("100644", b"x", &file)]),
        ("a file and a folder of one name", "duplicateEntries", vec![("100644", b"x", &file), ("40000", b"x", &folder)]),
        ("a link and a folder of one name", "duplicateEntries", vec![("120000", b"x", &link), ("40000", b"x", &folder)]),
        ("an unknown mode", "`x` is neither file, link nor folder", vec![("60000", b"x", &file)]),
    ];

    for (what, sentence, entries) in trees {
        let commit = repo.commit_tree(&repo.tree(&entries));
        let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &[&format!("+{commit}:refs/heads/main")]);
        refused.fails(1, sentence);
        assert_eq!(mini.state("hello"), before, "{what}");
    }
    assert_eq!(files_of(&mini.data()), files);
    assert_eq!(mini.get("hello", "/").status, 200);
    mini.finish();
}

#[test]
fn modules_with_an_evil_address_are_refused_and_attributes_are_only_files() {
    let mini = Mini::start();
    let canary = Canary::new();
    let repo = Repo::building("echo attributes");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let before = mini.state("hello");
    let head = repo.head();
    let hooks = "[submodule \"../../hooks\"]\n\tpath = lib\n\turl = https://example.com/lib.git\n";
    for modules in [
        canary.in_text("[submodule \"lib\"]\n\tpath = lib\n\turl = -u./touch @\n"),
        canary.in_text("[submodule \"lib\"]\n\tpath = -lib\n\turl = https://example.com/lib.git\n"),
        canary.in_text("[submodule \"lib\"]\n\tpath = lib\n\turl = https://example.com/lib.git\n\tupdate = !touch @\n"),
        hooks.to_owned(),
    ] {
        repo.write(".gitmodules", &modules);
        repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},lib")]);
        repo.git(&["add", ".gitmodules"]);
        repo.git(&["commit", "-q", "-m", "modules"]);

        let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).fails(1, "gitmodules");

        assert!(refused.stderr.contains("[remote rejected] main -> main (unpacker error)"), "{}", refused.stderr);
        assert_eq!(mini.state("hello"), before);
        repo.git(&["reset", "-q", "--hard", &head]);
    }

    repo.write(".gitattributes", "* filter=evil diff=evil merge=evil export-subst\nindex.html export-ignore\n");
    repo.write("stamp", "$Format:%H$\n");
    repo.write(".lfsconfig", &canary.in_text("[lfs]\n\turl = ssh://-oProxyCommand=touch @/x\n"));
    repo.commit("attributes");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();

    assert_eq!(mini.get("hello", "/stamp").body, "$Format:%H$\n");
    assert_eq!(mini.get("hello", "/").body, "hello\n");
    canary.assert_unseen();
    mini.finish();
}

/// One connection for many words: a login each would take minutes.
struct Shared {
    ssh: Vec<String>,
}

// === impl Shared ===

impl Shared {
    fn of(mini: &Mini) -> Self {
        let mut ssh = mini.anna.ssh_command(mini.ssh);
        ssh.extend(["-o".to_owned(), "ControlMaster=auto".to_owned(), "-o".to_owned(), "ControlPersist=yes".to_owned()]);
        ssh.extend(["-o".to_owned(), format!("ControlPath={}", mini.home().join("mux").display())]);
        Shared { ssh }
    }

    fn ssh(&self, line: &str) -> Said {
        self.ssh_raw(OsStr::new(line))
    }

    fn ssh_raw(&self, line: &OsStr) -> Said {
        let mut command = Command::new(&self.ssh[0]);
        command.args(&self.ssh[1..]).arg("mini@127.0.0.1").arg(line);
        Said::by(command, b"")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut end = Command::new(&self.ssh[0]);
        end.args(&self.ssh[1..]).args(["-O", "exit", "mini@127.0.0.1"]);
        Said::by(end, b"");
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Nothing that moves a terminal's cursor, and no sign of our own insides.
#[track_caller]
fn assert_tame(said: &Said) {
    // What a client's own git says, it says raw: its own refs are no stranger's.
    let by_git = said.stderr.contains("\nTo ssh://");
    let stderr = if by_git { said.remote().join("\n") } else { said.stderr.clone() };
    for text in [&said.stdout, &stderr] {
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "shown raw: {text:?}");
        assert!(!text.contains("panicked") && !text.contains("src/"), "insides: {text}");
    }
}

fn environment_of(pid: u32) -> Option<String> {
    std::fs::read(format!("/proc/{pid}/environ")).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The data dir's files but those of the repositories, logs and databases, which change by themselves.
fn files_of(data: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(data).unwrap().flatten().map(|entry| entry.path());
    let stable = entries.filter(|path| !path.display().to_string().contains("mini.db"));
    let hooks = std::fs::read_dir(data.join("hooks")).into_iter().flatten().flatten().map(|entry| entry.path());
    stable.chain(hooks).collect()
}
