//! The server's side of the hooks' socket: one call after the other until git and its hooks have let go of it.

use std::path::Path;
use std::pin::pin;

use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::wire::{Call, EXIT, Hello, OUTPUT};
use super::{HookOutput, PushHandler, RefUpdate, Verdict};
use crate::command::frame::Frame;
use crate::command::{Batch, Listener, skipped};
use crate::error::Error;

/// Answers the hooks of one push to `repo`. `busy` tells whether a call is running.
pub(super) async fn serve(mut socket: UnixStream, repo: &Path, handler: &mut impl PushHandler, busy: &watch::Sender<bool>) {
    let mut accepted = Vec::new();
    while let Ok(Some(frame)) = Frame::read(&mut socket).await {
        busy.send_replace(true);
        let code = answer(&mut socket, Hello::read(&frame, repo), handler, &mut accepted).await.exit_code();
        // A hook that died needs no answer; git noticed.
        _ = Frame::new(EXIT, [code]).write(&mut socket).await;
        busy.send_replace(false);
    }
    busy.send_replace(false);
}

/// Asks the handler. A ref is only updated if the push that brought it was accepted, and once.
async fn answer(
    socket: &mut UnixStream,
    call: Result<Call, Error>,
    handler: &mut impl PushHandler,
    accepted: &mut Vec<RefUpdate>,
) -> Verdict {
    let (out, lines) = HookOutput::channel();
    match call {
        Ok(Call::PreReceive(push)) => {
            let updates = push.updates.clone();
            let verdict = relay(handler.pre_receive(push, out), lines, socket).await;
            *accepted = if verdict == Verdict::Accept { updates } else { Vec::new() };
            verdict
        }
        Ok(Call::Update(update)) => match accepted.iter().position(|known| *known == update) {
            Some(known) => {
                accepted.swap_remove(known);
                relay(handler.update(update, out), lines, socket).await
            }
            None => refuse(&Error::failed("the ref was not part of the push"), out, lines, socket).await,
        },
        Err(err) => refuse(&err, out, lines, socket).await,
    }
}

async fn refuse(err: &Error, out: HookOutput, lines: Listener<String>, socket: &mut UnixStream) -> Verdict {
    tracing::debug!(error = ?err, "a hook was refused");
    out.line(format!("mini: {}", err.sentence()));
    drop(out);
    send(lines, socket, &CancellationToken::new()).await;
    Verdict::Reject
}

/// Runs a call to its end and sends its lines meanwhile. A pusher who reads slowly does not slow the call.
async fn relay(call: impl Future<Output = Verdict>, lines: Listener<String>, socket: &mut UnixStream) -> Verdict {
    let ended = CancellationToken::new();
    let mut sending = pin!(send(lines, socket, &ended));
    let mut call = pin!(call);
    let verdict = tokio::select! {
        verdict = &mut call => verdict,
        () = &mut sending => return call.await,
    };
    ended.cancel();
    sending.await;
    verdict
}

/// Sends lines as output frames until all have been said, or the call has ended and the queue is empty.
async fn send(mut lines: Listener<String>, socket: &mut UnixStream, ended: &CancellationToken) {
    let mut is_heard = true;
    loop {
        let batch = tokio::select! {
            biased;
            batch = lines.next() => batch,
            () = ended.cancelled() => {
                lines.close();
                lines.next().await
            }
        };
        let Some(Batch { skipped: count, items }) = batch else { return };
        // A pusher who reads slowly: what waited too long is left out.
        let notice = (count > 0).then(|| skipped(count));
        for line in notice.into_iter().chain(items) {
            is_heard = is_heard && Frame::new(OUTPUT, format!("{line}\n")).write(socket).await.is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PushRequest;
    use super::super::wire::WireUpdate;
    use super::*;
    use crate::model::limits::BACKLOG_BYTES;

    struct Talker {
        kept: Option<HookOutput>,
        updates: usize,
    }

    impl PushHandler for Talker {
        async fn pre_receive(&mut self, push: PushRequest, out: HookOutput) -> Verdict {
            out.line("building");
            tokio::task::yield_now().await;
            out.line("built");
            self.kept = Some(out);
            if push.options.is_empty() { Verdict::Accept } else { Verdict::Reject }
        }

        async fn update(&mut self, _: RefUpdate, out: HookOutput) -> Verdict {
            self.kept.as_ref().unwrap().line("too late");
            out.line("switched");
            self.updates += 1;
            Verdict::Accept
        }
    }

    fn update() -> WireUpdate {
        WireUpdate { name: "refs/heads/main".into(), old: "0".repeat(40), new: "a".repeat(40) }
    }

    fn pre_receive(options: &[&str]) -> Hello {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Hello::PreReceive { updates: vec![update()], quarantine: None, options }
    }

    /// Says each hello on a fresh connection and returns what was printed and the exit codes, and the handler's updates.
    async fn talk(hellos: &[Frame]) -> (String, Vec<u8>, usize) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut handler = Talker { kept: None, updates: 0 };
        let (mut printed, mut codes) = (String::new(), Vec::new());
        let (busy, _) = watch::channel(false);
        let client = async {
            for hello in hellos {
                hello.write(&mut theirs).await.unwrap();
                loop {
                    let frame = Frame::read(&mut theirs).await.unwrap().unwrap();
                    if frame.kind == EXIT {
                        codes.push(frame.payload[0]);
                        break;
                    }
                    printed.push_str(std::str::from_utf8(&frame.payload).unwrap());
                }
            }
            drop(theirs);
        };
        tokio::join!(serve(ours, Path::new("/r"), &mut handler, &busy), client);
        (printed, codes, handler.updates)
    }

    #[tokio::test]
    async fn every_line_of_a_call_comes_before_its_verdict_and_none_after() {
        let update = Hello::Update(update()).frame().unwrap();

        let (printed, codes, _) = talk(&[pre_receive(&[]).frame().unwrap(), update]).await;

        assert_eq!((printed.as_str(), codes), ("building\nbuilt\nswitched\n", vec![0, 0]));
    }

    #[tokio::test]
    async fn an_update_needs_an_accepted_push_and_comes_once() {
        let update = Hello::Update(update()).frame().unwrap();

        let alone = talk(std::slice::from_ref(&update)).await;
        let rejected = talk(&[pre_receive(&["x"]).frame().unwrap(), update.clone()]).await;
        let twice = talk(&[pre_receive(&[]).frame().unwrap(), update.clone(), update]).await;

        assert_eq!((alone.1, alone.2), (vec![1], 0));
        assert_eq!((rejected.1, rejected.2), (vec![1, 1], 0));
        assert_eq!((twice.1, twice.2), (vec![0, 0, 1], 1));
    }

    /// Says very much, and notes when it is done with that.
    struct Flooder(CancellationToken);

    impl PushHandler for Flooder {
        async fn pre_receive(&mut self, _: PushRequest, out: HookOutput) -> Verdict {
            for number in 0..100_000 {
                out.line(format!("{number:>1000}"));
            }
            self.0.cancel();
            out.line("=====> Released v2");
            Verdict::Accept
        }

        async fn update(&mut self, _: RefUpdate, _: HookOutput) -> Verdict {
            Verdict::Reject
        }
    }

    #[tokio::test]
    async fn a_pusher_who_does_not_read_holds_nothing_up_and_hears_the_end() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let done = CancellationToken::new();
        let (mut handler, (busy, _)) = (Flooder(done.clone()), watch::channel(false));
        let mut printed = String::new();
        let client = async {
            pre_receive(&[]).frame().unwrap().write(&mut theirs).await.unwrap();
            done.cancelled().await;
            loop {
                let frame = Frame::read(&mut theirs).await.unwrap().unwrap();
                if frame.kind == EXIT {
                    break frame.payload[0];
                }
                printed.push_str(std::str::from_utf8(&frame.payload).unwrap());
            }
        };

        let code = tokio::select! {
            () = serve(ours, Path::new("/r"), &mut handler, &busy) => panic!("ended before its client"),
            code = client => code,
        };

        assert_eq!(code, 0);
        assert!(printed.len() < 3 * BACKLOG_BYTES, "{} bytes of 100 MB", printed.len());
        assert!(printed.lines().any(|line| line.starts_with("(skipped ") && line.ends_with(" lines)")));
        assert!(printed.ends_with(&format!("{:>1000}\n=====> Released v2\n", 99_999)));
    }

    #[tokio::test]
    async fn nonsense_is_refused_with_a_sentence() {
        let (printed, codes, _) = talk(&[Frame::new(b'H', *b"nonsense")]).await;

        assert_eq!((printed.as_str(), codes), ("mini: the hook could not be understood\n", vec![1]));
    }
}
