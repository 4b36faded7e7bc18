//! Channels as no well-mannered client uses them, and many of them on one connection.

use std::sync::Arc;

use russh::client::{self, Handle, Msg};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Disconnect};
use tokio::time::timeout;

use super::{Door, PATIENCE};
use crate::model::limits::{CHANNELS_PER_CONNECTION, MAX_COMMAND_BYTES};

struct AnyHost;

impl client::Handler for AnyHost {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

async fn connect(door: &Door) -> Handle<AnyHost> {
    let mut client = client::connect(Arc::default(), ("127.0.0.1", door.port), AnyHost).await.unwrap();
    let key = PrivateKey::from_openssh(std::fs::read_to_string(door.key("anna")).unwrap()).unwrap();
    let login = client.authenticate_publickey("any", PrivateKeyWithHashAlg::new(Arc::new(key), None)).await.unwrap();
    assert!(login.success());
    client
}

/// Everything that a channel brings until it is closed, by kind and in order.
async fn rest_of(channel: &mut Channel<Msg>) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(msg) = timeout(PATIENCE, channel.wait()).await.expect("the channel ends") {
        match msg {
            ChannelMsg::Data { data } => seen.push(format!("out {}", super::text(&data).trim_end())),
            ChannelMsg::ExtendedData { data, ext } => seen.push(format!("ext{ext} {}", super::text(&data).trim_end())),
            ChannelMsg::ExitStatus { exit_status } => seen.push(format!("exit {exit_status}")),
            ChannelMsg::Success => seen.push("yes".into()),
            ChannelMsg::Failure => seen.push("no".into()),
            ChannelMsg::Eof => seen.push("eof".into()),
            ChannelMsg::Close => seen.push("close".into()),
            _ => {}
        }
    }
    seen
}

#[tokio::test]
async fn a_channel_ends_with_status_eof_and_close_behind_its_data() {
    let door = Door::open().await;
    let client = connect(&door).await;

    let mut channel = client.channel_open_session().await.unwrap();
    channel.exec(true, "both").await.unwrap();

    assert_eq!(rest_of(&mut channel).await, ["yes", "out data", "ext1 talk", "exit 7", "eof", "close"]);
}

#[tokio::test]
async fn a_connection_has_few_channels_and_gets_them_back() {
    let door = Door::open().await;
    let client = connect(&door).await;
    let mut channels = Vec::new();
    for _ in 0..CHANNELS_PER_CONNECTION {
        channels.push(client.channel_open_session().await.unwrap());
    }

    assert!(client.channel_open_session().await.is_err(), "one channel too many was opened");
    for channel in &mut channels {
        channel.exec(true, "whoami").await.unwrap();
        assert_eq!(rest_of(channel).await, ["yes", "out anna", "exit 0", "eof", "close"]);
    }
    let unused = client.channel_open_session().await.unwrap();
    unused.close().await.unwrap();

    let mut again = client.channel_open_session().await.unwrap();
    again.exec(true, "whoami").await.unwrap();
    assert!(rest_of(&mut again).await.contains(&"exit 0".to_owned()));
}

#[tokio::test]
async fn a_channel_runs_one_request_and_data_before_it_is_nobodys() {
    let door = Door::open().await;
    let client = connect(&door).await;

    let mut channel = client.channel_open_session().await.unwrap();
    channel.data_bytes("too early").await.unwrap();
    channel.exec(true, "cat").await.unwrap();
    channel.exec(true, "whoami").await.unwrap();
    channel.request_shell(true).await.unwrap();
    channel.data_bytes("in time").await.unwrap();
    channel.eof().await.unwrap();

    assert_eq!(rest_of(&mut channel).await, ["yes", "no", "no", "out in time", "exit 0", "eof", "close"]);
}

#[tokio::test]
async fn a_flood_of_requests_before_the_line_wedges_nothing() {
    let door = Door::open().await;
    let client = connect(&door).await;

    let mut channel = client.channel_open_session().await.unwrap();
    for _ in 0..500 {
        channel.set_env(false, "LD_PRELOAD", "x").await.unwrap();
    }
    channel.request_subsystem(true, "sftp").await.unwrap();
    channel.exec(true, "whoami").await.unwrap();

    assert_eq!(rest_of(&mut channel).await, ["no", "yes", "out anna", "exit 0", "eof", "close"]);
}

#[tokio::test]
async fn a_session_that_ignores_its_input_does_not_hold_up_the_next() {
    let door = Door::open().await;
    let client = connect(&door).await;
    let waiting = client.channel_open_session().await.unwrap();
    waiting.exec(true, "wait").await.unwrap();
    waiting.data_bytes(vec![b'y'; 1 << 20]).await.unwrap();

    let mut channel = client.channel_open_session().await.unwrap();
    channel.exec(true, "whoami").await.unwrap();

    assert!(rest_of(&mut channel).await.contains(&"out anna".to_owned()));
}

#[tokio::test]
async fn a_closed_channel_ends_the_work_on_it_and_the_connection_lives() {
    let door = Door::open().await;
    let client = connect(&door).await;
    let waiting = client.channel_open_session().await.unwrap();
    waiting.exec(true, "wait").await.unwrap();
    door.desk.waiting.subscribe().wait_for(|&count| count == 1).await.unwrap();

    waiting.close().await.unwrap();

    timeout(PATIENCE, door.desk.left.subscribe().wait_for(|&count| count == 1)).await.expect("the desk hears it").unwrap();
    let mut channel = client.channel_open_session().await.unwrap();
    channel.exec(true, "whoami").await.unwrap();
    assert!(rest_of(&mut channel).await.contains(&"exit 0".to_owned()));
}

#[tokio::test]
async fn a_client_that_takes_no_output_and_leaves_holds_nothing_up() {
    let door = Door::open().await;
    let client = connect(&door).await;
    let channel = client.channel_open_session().await.unwrap();
    channel.exec(true, "drip").await.unwrap();
    door.desk.waiting.subscribe().wait_for(|&count| count == 1).await.unwrap();

    client.disconnect(Disconnect::ByApplication, "", "").await.unwrap();
    drop(client);

    timeout(PATIENCE, door.desk.left.subscribe().wait_for(|&count| count == 1)).await.expect("the desk hears it").unwrap();
}

#[tokio::test]
async fn a_terminal_has_its_size_and_the_next() {
    let door = Door::open().await;
    let client = connect(&door).await;

    let mut channel = client.channel_open_session().await.unwrap();
    channel.request_pty(true, "xterm", 100, 40, 0, 0, &[]).await.unwrap();
    channel.exec(true, "sizes").await.unwrap();
    channel.window_change(120, 50, 0, 0).await.unwrap();

    assert_eq!(rest_of(&mut channel).await, ["yes", "yes", "out 100x40 (120, 50)", "exit 0", "eof", "close"]);
}

#[tokio::test]
async fn a_line_over_the_limit_is_refused_in_a_sentence() {
    let door = Door::open().await;
    let client = connect(&door).await;

    let mut channel = client.channel_open_session().await.unwrap();
    channel.exec(true, vec![b'a'; MAX_COMMAND_BYTES + 1]).await.unwrap();

    let expected = ["yes", "ext1 the command line is over 128 KiB", "exit 128", "eof", "close"];
    assert_eq!(rest_of(&mut channel).await, expected);
}
