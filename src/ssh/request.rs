//! What a command line asks for. Protocol is recognised here; words are split like a shell's and nothing is expanded.

use crate::command::GitService;
use crate::model::limits::MAX_COMMAND_BYTES;

/// Exit status of a line that could not be read, as git's own `die`.
const UNREADABLE: u32 = 128;
/// Exit status of a program that is not here.
const NO_SUCH_PROGRAM: u32 = 127;
const NOT_SUPPORTED: u32 = 1;

const NO_FILES: &str = "mini does not copy files: deploy with `git push`, or pipe an archive to `deploy APP -`";
const NO_LFS: &str = "Git LFS is not supported: add the files to git itself, or push with `--no-verify` to leave them out";
const NO_ARCHIVE: &str = "git archive is not served: clone the app instead";

/// One exec or shell request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Git {
        service: GitService,
        repository: String,
    },
    Words(Vec<String>),
    /// Answered by the door itself: a sentence and an exit status.
    Refused {
        why: String,
        status: u32,
    },
}

// === impl Request ===

impl Request {
    /// Reads the command line of an exec request.
    pub fn parse(line: &[u8]) -> Self {
        match split(line) {
            Ok(words) => Self::recognise(words),
            Err(why) => Request::refused(why, UNREADABLE),
        }
    }

    fn recognise(words: Vec<String>) -> Self {
        let mut parts = words.iter().map(String::as_str);
        match (parts.next(), parts.next()) {
            (Some("git-receive-pack"), _) => Self::git(GitService::ReceivePack, &words[1..]),
            (Some("git-upload-pack"), _) => Self::git(GitService::UploadPack, &words[1..]),
            (Some("git"), Some("receive-pack")) => Self::git(GitService::ReceivePack, &words[2..]),
            (Some("git"), Some("upload-pack")) => Self::git(GitService::UploadPack, &words[2..]),
            (Some("git-upload-archive"), _) | (Some("git"), Some("upload-archive")) => Self::refused(NO_ARCHIVE, NOT_SUPPORTED),
            (Some("git-lfs-authenticate" | "git-lfs-transfer"), _) => Self::refused(NO_LFS, NOT_SUPPORTED),
            (Some(program), second) if copies_files(program, second) => Self::refused(NO_FILES, NO_SUCH_PROGRAM),
            _ => Request::Words(words),
        }
    }

    fn git(service: GitService, arguments: &[String]) -> Self {
        match arguments {
            [path] => Request::Git { service, repository: bare(path).to_owned() },
            _ => Self::refused("a git service takes exactly one repository", UNREADABLE),
        }
    }

    fn refused(why: impl Into<String>, status: u32) -> Self {
        Request::Refused { why: why.into(), status }
    }
}

fn split(line: &[u8]) -> Result<Vec<String>, String> {
    if line.len() > MAX_COMMAND_BYTES {
        return Err(format!("the command line is over {} KiB", MAX_COMMAND_BYTES / 1024));
    }
    let text = std::str::from_utf8(line).map_err(|_| "the command line is not UTF-8 text".to_owned())?;
    if text.contains('\0') {
        return Err("the command line has a NUL byte in it".to_owned());
    }
    shlex::split(text).ok_or_else(|| "the quotes of the command line do not match".to_owned())
}

/// Recognises the server sides of scp, sftp and rsync by the forms in which their clients call them.
fn copies_files(program: &str, second: Option<&str>) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    match name {
        "sftp-server" | "internal-sftp" => true,
        "rsync" => second == Some("--server"),
        "scp" => second.is_some_and(|flag| flag.starts_with('-')),
        _ => false,
    }
}

/// Returns the repository without the decoration of URLs and paths: `/blog.git`, `~/blog` and `blog/` are `blog`.
fn bare(path: &str) -> &str {
    let path = path.strip_prefix("~/").or_else(|| path.strip_prefix('/')).unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.strip_suffix(".git").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        match Request::parse(line.as_bytes()) {
            Request::Words(words) => words,
            other => panic!("{line:?} became {other:?}"),
        }
    }

    fn refusal(line: &[u8]) -> (u32, String) {
        match Request::parse(line) {
            Request::Refused { why, status } => (status, why),
            other => panic!("{:?} became {other:?}", String::from_utf8_lossy(line)),
        }
    }

    #[test]
    fn git_services_are_recognised_in_both_spellings() {
        for (line, service) in [
            ("git-receive-pack '/blog.git'", GitService::ReceivePack),
            ("git-upload-pack 'blog'", GitService::UploadPack),
            ("git receive-pack '~/blog'", GitService::ReceivePack),
            ("git upload-pack blog/", GitService::UploadPack),
        ] {
            assert_eq!(Request::parse(line.as_bytes()), Request::Git { service, repository: "blog".into() }, "{line}");
        }
    }

    #[test]
    fn only_one_layer_of_decoration_is_removed() {
        for (path, rest) in [("//blog", "/blog"), ("blog.git.git", "blog.git"), ("../x", "../x"), ("-h", "-h"), ("", "")] {
            assert_eq!(bare(path), rest);
        }
    }

    #[test]
    fn a_git_service_without_exactly_one_repository_is_refused() {
        for line in ["git-receive-pack", "git-upload-pack --strict blog", "git receive-pack a b"] {
            assert_eq!(refusal(line.as_bytes()).0, 128, "{line}");
        }
    }

    #[test]
    fn words_are_split_like_a_shell_and_nothing_is_expanded() {
        assert_eq!(words("config:set blog 'A=b c' \"D=e\\\"f\" $HOME *"), ["config:set", "blog", "A=b c", "D=e\"f", "$HOME", "*"]);
        assert_eq!(words("ps; rm -rf / && `id`"), ["ps;", "rm", "-rf", "/", "&&", "`id`"]);
        assert_eq!(words("  "), [""; 0]);
        assert_eq!(words("git status"), ["git", "status"]);
        assert_eq!(words("scp"), ["scp"]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_sentence() {
        assert_eq!(refusal(b"logs 'blog"), (128, "the quotes of the command line do not match".into()));
        assert_eq!(refusal(b"logs \xff"), (128, "the command line is not UTF-8 text".into()));
        assert_eq!(refusal(b"logs a\0b").0, 128);
        assert_eq!(refusal(&vec![b'a'; MAX_COMMAND_BYTES + 1]).0, 128);
    }

    #[test]
    fn programs_that_are_not_here_say_what_is() {
        for line in ["scp -t /tmp", "/usr/lib/openssh/sftp-server", "rsync --server -e.L . x", "scp -f x"] {
            assert_eq!(refusal(line.as_bytes()), (127, NO_FILES.into()), "{line}");
        }
        assert_eq!(refusal(b"git-lfs-authenticate blog upload").1, NO_LFS);
        assert_eq!(refusal(b"git-upload-archive 'blog'").1, NO_ARCHIVE);
    }
}
