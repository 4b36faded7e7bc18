//! What a client asks for in vain, with the server alive afterwards.

use tokio::process::Command;

use super::{Door, output, text};

#[tokio::test]
async fn forwardings_are_refused_and_the_server_lives() {
    let door = Door::open().await;
    let remote = ["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22"];

    let to_port = output(door.ssh_with(&door.key("anna")).args(["-W", "127.0.0.1:22", "127.0.0.1"])).await;
    let from_port = output(door.ssh_with(&door.key("anna")).args(remote).args(["127.0.0.1", "whoami"])).await;
    let mut to_socket = door.ssh_with(&door.key("anna"));
    let socket = door.dir.path().join("socket");
    let to_socket = output(to_socket.arg("-L").arg(format!("{}:/run/docker.sock", socket.display())).args(["127.0.0.1", "whoami"])).await;

    assert_eq!((text(&to_port.stderr), to_port.status.code()), ("stdio forwarding failed\r\n", Some(255)));
    assert_eq!(text(&from_port.stdout), "", "{from_port:?}");
    assert_eq!(text(&to_socket.stdout), "anna\n");
    door.assert_alive().await;
}

#[tokio::test]
async fn x11_and_the_agent_are_refused_and_the_word_still_runs() {
    let door = Door::open().await;
    let mut ssh = door.ssh_with(&door.key("anna"));
    let agent = TestAgent::start(&door).await;

    ssh.env("DISPLAY", ":0").env("SSH_AUTH_SOCK", &agent.socket).args(["-X", "-A", "127.0.0.1", "both"]);
    let both = output(&mut ssh).await;

    assert_eq!((text(&both.stdout), both.status.code()), ("data\n", Some(7)), "{both:?}");
    door.assert_alive().await;
}

#[tokio::test]
async fn no_variable_but_gits_own_is_taken() {
    let door = Door::open().await;
    let mut ssh = door.ssh_with(&door.key("anna"));
    ssh.args(["-o", "SetEnv=LD_PRELOAD=/x.so GIT_SSH_COMMAND=id GIT_CONFIG_COUNT=1 GIT_PROTOCOL=version=2:x"]);

    let fetch = output(ssh.args(["127.0.0.1", "git-upload-pack blog"])).await;

    assert_eq!((text(&fetch.stdout), fetch.status.code()), ("anna UploadPack blog None\n", Some(0)));
}

#[tokio::test]
async fn file_copies_are_refused_in_all_their_forms() {
    let door = Door::open().await;
    let options = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"];
    let port = door.port.to_string();

    let mut sftp = Command::new("sftp");
    let sftp = output(sftp.args(options).args(["-P", &port, "-i"]).arg(door.key("anna")).arg("127.0.0.1")).await;
    let mut scp = Command::new("scp");
    scp.args(options).args(["-O", "-P", &port, "-i"]).arg(door.key("anna")).arg(door.key("anna.pub"));
    let scp = output(scp.arg("127.0.0.1:/tmp/x")).await;

    assert!(!sftp.status.success());
    assert!(!scp.status.success());
    assert!(text(&scp.stderr).contains("mini does not copy files"), "{scp:?}");
    door.assert_alive().await;
}

#[tokio::test]
async fn a_line_that_cannot_be_read_ends_with_128_and_a_sentence() {
    let door = Door::open().await;

    let quotes = door.run("logs 'blog").await;
    let long = door.run(&format!("words {}", "a".repeat(131_000))).await;
    let lfs = door.run("git-lfs-authenticate blog upload").await;

    assert_eq!((text(&quotes.stderr), quotes.status.code()), ("the quotes of the command line do not match\n", Some(128)));
    assert_eq!(long.status.code(), Some(0), "a line just below the limit was refused");
    assert!(text(&lfs.stderr).starts_with("Git LFS is not supported"), "{lfs:?}");
}

/// An ssh-agent that ends with the test.
struct TestAgent {
    socket: std::path::PathBuf,
    _process: tokio::process::Child,
}

impl TestAgent {
    async fn start(door: &Door) -> Self {
        let socket = door.dir.path().join("agent");
        let mut agent = Command::new("ssh-agent");
        let process = agent.arg("-D").arg("-a").arg(&socket).kill_on_drop(true).stdout(std::process::Stdio::null()).spawn().unwrap();
        let appears = async {
            while !socket.exists() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(super::PATIENCE, appears).await.expect("the agent starts");
        TestAgent { socket, _process: process }
    }
}
