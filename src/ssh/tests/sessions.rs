//! What a client that logged in gets back.

use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::{Door, end_of, output, text};

#[tokio::test]
async fn stdout_stderr_and_the_exit_status_arrive_apart() {
    let door = Door::open().await;

    let both = door.run("both").await;

    assert_eq!((text(&both.stdout), text(&both.stderr), both.status.code()), ("data\n", "talk\n", Some(7)));
}

#[tokio::test]
async fn a_flood_arrives_whole_in_both_directions() {
    let door = Door::open().await;

    let down = door.run("flood 1000003").await;
    let mut up = door.start(&[], "count");
    let mut stdin = up.stdin.take().unwrap();
    stdin.write_all(&vec![b'y'; 5_000_003]).await.unwrap();
    drop(stdin);
    let up = end_of(up).await;

    assert_eq!(down.stdout.len(), 1_000_003);
    assert_eq!(text(&up.stdout), "5000003\n");
}

#[tokio::test]
async fn input_comes_back_from_an_echo() {
    let door = Door::open().await;
    let mut cat = door.start(&[], "cat");

    cat.stdin.take().unwrap().write_all("grüße\n".as_bytes()).await.unwrap();
    let cat = end_of(cat).await;

    assert_eq!((text(&cat.stdout), cat.status.code()), ("grüße\n", Some(0)));
}

#[tokio::test]
async fn input_that_nobody_reads_does_not_hold_the_answer_back() {
    let door = Door::open().await;
    let mut whoami = door.start(&[], "whoami");

    let flood = whoami.stdin.take().unwrap().write_all(&vec![b'y'; 20_000_000]).await;
    let whoami = end_of(whoami).await;

    drop(flood);
    assert_eq!(text(&whoami.stdout), "anna\n");
}

#[tokio::test]
async fn a_whole_login_takes_less_than_a_second() {
    let door = Door::open().await;

    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let started = Instant::now();
        door.assert_alive().await;
        fastest = fastest.min(started.elapsed());
    }

    // russh's default costs more than a second for the "none" probe alone; a busy machine gets some room.
    assert!(fastest < Duration::from_millis(900), "{fastest:?}");
}

#[tokio::test]
async fn words_are_split_here_and_no_words_ask_for_help() {
    let door = Door::open().await;

    let words = door.run("words 'a b' $HOME \"c\"").await;
    let mut shell = door.ssh_with(&door.key("anna"));
    let help = output(shell.arg("127.0.0.1")).await;

    assert_eq!(text(&words.stdout), "[\"a b\", \"$HOME\", \"c\"]\n");
    assert_eq!((text(&help.stdout), help.status.code()), ("help\n", Some(0)));
}

#[tokio::test]
async fn git_services_reach_the_desk_with_their_protocol() {
    let door = Door::open().await;
    let mut ssh = door.ssh_with(&door.key("anna"));
    ssh.env("GIT_PROTOCOL", "version=2").args(["-o", "SendEnv=GIT_PROTOCOL", "127.0.0.1", "git-upload-pack '/blog.git'"]);

    let fetch = output(&mut ssh).await;
    let push = door.run("git receive-pack 'blog'").await;

    assert_eq!(text(&fetch.stdout), "anna UploadPack blog Some(\"version=2\")\n");
    assert_eq!(text(&push.stdout), "anna ReceivePack blog None\n");
}

#[tokio::test]
async fn a_terminal_gets_carriage_returns_and_its_name_through() {
    let door = Door::open().await;
    let mut ssh = door.ssh_with(&door.key("anna"));

    let shown = output(ssh.env("TERM", "xterm-mini").args(["-tt", "127.0.0.1", "terminal"])).await;

    assert_eq!((text(&shown.stdout), text(&shown.stderr)), ("xterm-mini\r\nsecond\r\n", "third\r\n"));
}

#[tokio::test]
async fn an_interrupt_on_a_terminal_stops_the_desk_and_ends_with_130() {
    let door = Door::open().await;
    let mut wait = door.start(&["-tt"], "wait");
    door.desk.waiting.subscribe().wait_for(|&count| count == 1).await.unwrap();

    let mut stdin = wait.stdin.take().unwrap();
    stdin.write_all(b"\x03").await.unwrap();
    let wait = end_of(wait).await;

    assert_eq!((text(&wait.stdout), wait.status.code()), ("stopped\r\n", Some(130)));
}

#[tokio::test]
async fn a_raw_terminal_passes_every_byte() {
    let door = Door::open().await;
    let mut raw = door.start(&["-tt"], "raw");
    let mut lines = BufReader::new(raw.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "ready");

    let mut stdin = raw.stdin.take().unwrap();
    stdin.write_all(b"\x03\r\x04").await.unwrap();

    assert_eq!(lines.next_line().await.unwrap().unwrap(), "[3, 13, 4]");
    assert_eq!(end_of(raw).await.status.code(), Some(0));
}

#[tokio::test]
async fn the_desk_hears_that_a_client_was_killed() {
    let door = Door::open().await;
    let mut wait = door.start(&[], "wait");
    door.desk.waiting.subscribe().wait_for(|&count| count == 1).await.unwrap();

    wait.kill().await.unwrap();

    let heard = async { door.desk.left.subscribe().wait_for(|&count| count == 1).await.map(|_| ()) };
    tokio::time::timeout(super::PATIENCE, heard).await.expect("the desk hears it").unwrap();
}

#[tokio::test]
async fn a_desk_that_keeps_a_stream_or_panics_still_ends_its_session() {
    let door = Door::open().await;

    let leak = door.run("leak").await;
    let panic = door.run("panic").await;

    assert_eq!((text(&leak.stdout), leak.status.code()), ("kept\n", Some(0)));
    assert_eq!(panic.status.code(), Some(1));
    assert!(text(&panic.stderr).contains("mini has a fault here"), "{panic:?}");
    door.assert_alive().await;
}
