//! Claims about whole pushes: a real `git push` on one end of a socketpair (gitremote-helpers(7), `fd::`), real hooks in the middle.

use std::ffi::OsString;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::super::testing::{Bench, shell};
use super::super::{GitProgram, HookOutput, PushRequest, RefUpdate, Verdict, hook};
use super::*;
use crate::error::Kind;
use crate::model::CommitId;

const DEADLINE: Duration = Duration::from_secs(30);

/// The hook of these tests: git starts it through the shim of [`Push::new`], it is no test of its own.
#[test]
#[ignore = "a process that the other tests start"]
#[allow(unsafe_code)]
fn hook_process() {
    let Ok(args) = std::env::var("MINI_TEST_HOOK") else { return };
    // SAFETY: the shim opened this descriptor for us, nobody else in this process knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(4) };
    let code = hook::run(args.split(' ').skip(1).map(OsString::from), socket.into());
    std::process::exit(i32::from(code));
}

struct Push {
    bench: Bench,
    work: PathBuf,
    gone: CancellationToken,
    called: Notify,
}

impl Push {
    /// A data dir whose hooks start this test program, and a clone-to-be with one commit on `main`.
    fn new() -> Push {
        let mut bench = Bench::new();
        let shim = bench.dir.path().join("shim");
        let test = "git::session::tests::hook_process --exact --ignored --nocapture";
        let program = format!("/proc/{}/exe", std::process::id());
        let script = format!("#!/bin/sh\nexport MINI_TEST_HOOK=\"$*\"\nexec 4>&1 >&2\nexec {program} {test}\n");
        std::fs::write(&shim, script).unwrap();
        std::fs::set_permissions(&shim, PermissionsExt::from_mode(0o755)).unwrap();
        bench.git = Git::open_with(bench.dir.path(), program::search_path(), shim, DEADLINE).unwrap();
        let work = bench.dir.path().join("work");
        std::fs::create_dir(&work).unwrap();
        shell(&work, "git init -q -b main . && echo hi > index.html && git add . && git commit -qm first");
        Push { bench, work, gone: CancellationToken::new(), called: Notify::new() }
    }

    fn commit(&self) -> CommitId {
        shell(&self.work, "git rev-parse main").parse().unwrap()
    }

    fn main(&self) -> Option<CommitId> {
        self.bench.git.ref_value(&self.bench.app, "refs/heads/main").unwrap()
    }

    /// Starts a client that speaks through fd 3, and returns it with the server's end.
    fn client(&self, line: &str) -> (tokio::process::Child, GitIo) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut command = Command::new("sh");
        command.args(["-ec", line]).current_dir(&self.work).kill_on_drop(true);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command.fd_mappings(vec![FdMapping { parent_fd: theirs.into(), child_fd: 3 }]).unwrap();
        (command.spawn().unwrap(), self.io(ours, None))
    }

    fn io(&self, socket: std::os::unix::net::UnixStream, protocol: Option<&str>) -> GitIo {
        socket.set_nonblocking(true).unwrap();
        let (read, write) = UnixStream::from_std(socket).unwrap().into_split();
        GitIo {
            protocol: protocol.map(str::to_owned),
            stdin: Box::new(read),
            stdout: Box::new(write),
            stderr: Box::new(tokio::io::sink()),
            gone: self.gone.clone(),
        }
    }

    /// Pushes to the end and returns git's exit code on the server and what the client said.
    async fn push(&self, line: &str, handler: &mut impl PushHandler) -> (u32, Output) {
        let (client, io) = self.client(line);
        let both = async { tokio::join!(self.bench.git.receive_pack(&self.bench.app, io, handler), client.wait_with_output()) };
        let (code, output) = tokio::time::timeout(DEADLINE, both).await.expect("the push ends");
        self.assert_nothing_left();
        (code.unwrap(), output.unwrap())
    }

    /// No git of this repository runs, and it has no quarantine.
    fn assert_nothing_left(&self) {
        assert_eq!(self.processes(), 0, "a git is left");
        let names = std::fs::read_dir(self.bench.repo().join("objects")).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("tmp_")).count(), 0, "a quarantine is left");
    }

    fn processes(&self) -> usize {
        let repo = self.bench.repo().into_os_string().into_string().unwrap();
        let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(&repo)).count()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Answers as told, and writes down what it was asked and what it saw.
struct Desk<'p> {
    push: &'p Push,
    first: Verdict,
    second: Verdict,
    seen: Vec<String>,
    request: Option<PushRequest>,
    /// The first call lasts until the client has left.
    waits: bool,
}

impl<'p> Desk<'p> {
    fn new(push: &'p Push, first: Verdict, second: Verdict) -> Desk<'p> {
        Desk { push, first, second, seen: Vec::new(), request: None, waits: false }
    }

    fn note(&mut self, call: &str, id: &CommitId) {
        let Bench { git, app, .. } = &self.push.bench;
        let is_permanent = git.has_commit(app, id).unwrap();
        self.seen.push(format!("{call}: permanent {is_permanent}, moved {}", self.push.main().as_ref() == Some(id)));
    }
}

impl PushHandler for Desk<'_> {
    async fn pre_receive(&mut self, request: PushRequest, out: HookOutput) -> Verdict {
        out.line("-----> Building");
        self.push.called.notify_one();
        if let Some(id) = &request.updates[0].new {
            self.note("pre-receive", id);
            let Bench { git, app, .. } = &self.push.bench;
            assert!(git.object_kind(app, request.quarantine.as_deref(), id).unwrap().is_some());
        }
        self.request = Some(request);
        if self.waits {
            self.push.gone.cancelled().await;
            // Longer than git would need to notice, had it been told.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.first
    }

    async fn update(&mut self, update: RefUpdate, out: HookOutput) -> Verdict {
        out.line("-----> Live");
        self.note("update", &update.new.unwrap());
        self.second
    }
}

#[tokio::test]
async fn an_accepted_push_is_asked_twice_and_moves_the_ref() {
    let push = Push::new();
    let mut desk = Desk::new(&push, Verdict::Accept, Verdict::Accept);

    let (code, output) = push.push("git push -o nocache -o message=hi fd::3 main", &mut desk).await;

    assert!(output.status.success() && code == 0, "{}", said(&output));
    assert_eq!(push.main(), Some(push.commit()));
    assert_eq!(desk.seen, ["pre-receive: permanent false, moved false", "update: permanent true, moved false"]);
    let request = desk.request.unwrap();
    assert_eq!(request.updates, [RefUpdate { name: "refs/heads/main".into(), old: None, new: Some(push.commit()) }]);
    assert_eq!(request.options, ["nocache", "message=hi"]);
    assert!(said(&output).contains("remote: -----> Building") && said(&output).contains("remote: -----> Live"));
}

#[tokio::test]
async fn a_rejected_push_moves_nothing_and_the_same_push_can_come_again() {
    let push = Push::new();

    let first = push.push("git push fd::3 main", &mut Desk::new(&push, Verdict::Reject, Verdict::Accept)).await.1;
    let second = push.push("git push fd::3 main", &mut Desk::new(&push, Verdict::Accept, Verdict::Reject)).await.1;
    assert!(!first.status.success() && said(&first).contains("pre-receive hook declined"), "{}", said(&first));
    assert!(!second.status.success() && said(&second).contains("hook declined"), "{}", said(&second));
    assert_eq!(push.main(), None);

    let third = push.push("git push fd::3 main", &mut Desk::new(&push, Verdict::Accept, Verdict::Accept)).await.1;
    assert!(third.status.success() && push.main() == Some(push.commit()), "{}", said(&third));
}

#[tokio::test]
async fn a_session_can_run_on_any_thread_and_creating_twice_at_once_is_fine() {
    fn is_send<T: Send>(work: T) -> T {
        work
    }
    let push = Push::new();
    let mut desk = Desk::new(&push, Verdict::Accept, Verdict::Accept);
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(is_send(push.bench.git.receive_pack(&push.bench.app, push.io(ours, None), &mut desk)));
    let app = AppId::random();

    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| push.bench.git.create(&app))).collect();
        for maker in makers {
            maker.join().unwrap().unwrap();
        }
    });
}

#[tokio::test]
async fn a_shallow_clone_can_push() {
    let push = Push::new();
    shell(&push.work, "git commit -q --allow-empty -m second && git clone -q --depth 1 \"file://$PWD\" ../shallow");

    let output = push.push("cd ../shallow && git push fd::3 main", &mut Desk::new(&push, Verdict::Accept, Verdict::Accept)).await.1;

    assert!(output.status.success() && push.main() == Some(push.commit()), "{}", said(&output));
}

#[tokio::test]
async fn hidden_refs_and_broken_objects_are_refused_by_git_itself() {
    let push = Push::new();
    let mut desk = Desk::new(&push, Verdict::Accept, Verdict::Accept);
    let hidden = push.push("git push fd::3 main:refs/mini/releases/v1", &mut desk).await.1;
    let tree = "printf '100644 .git\\0aaaaaaaaaaaaaaaaaaaa' | git hash-object -t tree -w --literally --stdin";
    shell(&push.work, &format!("git update-ref refs/heads/evil $(git commit-tree -m evil $({tree}))"));

    let broken = push.push("git push fd::3 evil:main", &mut desk).await.1;

    assert!(!hidden.status.success() && said(&hidden).contains("deny updating a hidden ref"), "{}", said(&hidden));
    assert!(!broken.status.success(), "{}", said(&broken));
    assert_eq!(desk.seen.len(), 1, "git asks about hidden refs, and refuses them afterwards");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_when_the_desk_says_so() {
    let push = Push::new();
    let mut desk = Desk { waits: true, ..Desk::new(&push, Verdict::Reject, Verdict::Accept) };

    push.leave_while_building(&mut desk).await;

    assert_eq!((desk.seen.len(), push.main()), (1, None));
}

#[tokio::test]
async fn a_detached_push_goes_live_without_its_client() {
    let push = Push::new();
    let mut desk = Desk { waits: true, ..Desk::new(&push, Verdict::Accept, Verdict::Accept) };

    push.leave_while_building(&mut desk).await;

    assert_eq!((desk.seen.len(), push.main()), (2, Some(push.commit())));
}

impl Push {
    /// Pushes, and kills the client when its first line is there.
    async fn leave_while_building(&self, desk: &mut Desk<'_>) {
        let (mut client, io) = self.client("exec git push fd::3 main");
        let leave = async {
            let mut said = Vec::new();
            let mut stderr = client.stderr.take().unwrap();
            while !String::from_utf8_lossy(&said).contains("Building") {
                assert_ne!(tokio::io::AsyncReadExt::read_buf(&mut stderr, &mut said).await.unwrap(), 0);
            }
            let group = rustix::process::Pid::from_raw(client.id().unwrap().try_into().unwrap()).unwrap();
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
            client.wait().await.unwrap();
            self.gone.cancel();
        };
        let both = async { tokio::join!(self.bench.git.receive_pack(&self.bench.app, io, desk), leave) };
        let (code, ()) = tokio::time::timeout(DEADLINE, both).await.expect("the push ends");
        code.unwrap();
        self.assert_nothing_left();
    }
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_of_its_pack_leaves_nothing() {
    let push = Push::new();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut theirs = UnixStream::from_std(theirs).unwrap();
    let command = format!("{} {} refs/heads/main\0 report-status", "0".repeat(40), push.commit());
    let start = format!("{:04x}{command}0000PACK\0\0\0\u{2}\0\0\0\u{9}", command.len() + 4);
    theirs.write_all(start.as_bytes()).await.unwrap();
    theirs.shutdown().await.unwrap();
    let mut desk = Desk::new(&push, Verdict::Accept, Verdict::Accept);

    let io = push.io(ours, None);
    let code = tokio::time::timeout(DEADLINE, push.bench.git.receive_pack(&push.bench.app, io, &mut desk)).await.unwrap();

    assert!(code.is_ok() && desk.seen.is_empty());
    push.assert_nothing_left();
}

#[tokio::test]
async fn a_dropped_session_kills_its_git_and_sweeps() {
    let push = Push::new();
    let mut desk = Desk { waits: true, ..Desk::new(&push, Verdict::Accept, Verdict::Accept) };
    let (_client, io) = push.client("git push fd::3 main");
    let session = push.bench.git.receive_pack(&push.bench.app, io, &mut desk);

    tokio::select! {
        _ = session => panic!("the desk waits for ever"),
        called = tokio::time::timeout(DEADLINE, push.called.notified()) => called.expect("the hook calls"),
    }

    let start = std::time::Instant::now();
    while push.processes() > 0 && start.elapsed() < DEADLINE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    push.assert_nothing_left();
}

#[tokio::test]
async fn a_git_that_does_not_end_is_killed_with_its_children() {
    let push = Push::new();
    let bin = push.bench.dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let repo = push.bench.repo();
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo git version 2.40.0; exit; fi\n/bin/sh -c '/bin/sleep 1000; : {}' & wait\n",
        repo.display()
    );
    std::fs::write(bin.join("git"), script).unwrap();
    std::fs::set_permissions(bin.join("git"), PermissionsExt::from_mode(0o755)).unwrap();
    let grace = Duration::from_millis(100);
    let git = Git::open_with(push.bench.dir.path(), bin.into(), "/bin/false".into(), grace).unwrap();
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    push.gone.cancel();

    let mut desk = Desk::new(&push, Verdict::Accept, Verdict::Accept);
    let session = git.receive_pack(&push.bench.app, push.io(ours, None), &mut desk);
    let code = tokio::time::timeout(DEADLINE, session).await.expect("the push ends").unwrap();

    assert_eq!(code, 128 + 9);
    push.assert_nothing_left();
}

#[tokio::test]
async fn a_clone_gets_what_is_live_and_no_hidden_ref() {
    let push = Push::new();
    push.push("git push fd::3 main", &mut Desk::new(&push, Verdict::Accept, Verdict::Accept)).await;
    let Bench { git, app, .. } = &push.bench;
    git.set_deployed(app, &push.commit()).unwrap();
    git.set_release_ref(app, crate::model::Version(1), &push.commit()).unwrap();

    for (line, wanted) in [("git ls-remote fd::3", "HEAD deployed main"), ("git clone -q fd::3 ../copy && cat ../copy/index.html", "hi")] {
        let (client, mut io) = push.client(line);
        io.protocol = Some("version=2".into());
        let (code, output) = tokio::join!(git.upload_pack(app, io), client.wait_with_output());
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let names: Vec<&str> = text.lines().map(|line| line.rsplit(['/', '\t']).next().unwrap()).collect();

        assert_eq!((code.unwrap(), names.join(" ").as_str()), (0, wanted), "{}", said(&output));
    }
}

#[tokio::test]
async fn a_push_past_the_server_is_refused_by_the_hook() {
    let push = Push::new();
    let output = std::process::Command::new("git").current_dir(&push.work).arg("push").arg(push.bench.repo()).arg("main").output().unwrap();

    assert!(!output.status.success() && said(&output).contains("mini: push over ssh to mini"), "{}", said(&output));
    assert_eq!(push.main(), None);
}

#[tokio::test]
async fn without_git_a_push_is_refused_in_a_sentence_and_with_it_taken_again() {
    let push = Push::new();
    let bin = push.bench.dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let git = Git::open_with(push.bench.dir.path(), bin.clone().into(), "/bin/false".into(), DEADLINE).unwrap();
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();

    let err = git.upload_pack(&push.bench.app, push.io(ours, None)).await.unwrap_err();

    assert_eq!((err.kind(), git.program()), (Kind::Unavailable, GitProgram::Missing));
    std::os::unix::fs::symlink(shell(&push.work, "command -v git"), bin.join("git")).unwrap();
    assert!(matches!(git.look_again(), GitProgram::Ready { .. }));
}
