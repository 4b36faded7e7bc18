//! The room's tests against the machine's own engine: each is an instance of its own and leaves nothing behind.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use bollard::query_parameters::ListImagesOptionsBuilder;
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{BuildLine, BuildRequest, BuiltImage, ContainerSpec, Engine, EngineEvent, Network, Probe, label, probe};
use crate::error::{Kind, Result};
use crate::model::{AppId, ContainerId, ImageId, InstanceId, Protocol, Secret, Version};

/// An app that answers HTTP on `$PORT` and ends at once on SIGTERM.
pub(super) const SERVER: &str = "FROM python:3.11-slim
EXPOSE 8000
CMD exec python3 -u -c \"import os, sys, http.server; print('listening'); print('oops', file=sys.stderr); \
http.server.HTTPServer(('0.0.0.0', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler).serve_forever()\"
";

/// The engine of this machine, as the server's settings find it.
fn socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "/var/run/docker.sock".into());
    host.strip_prefix("unix://").unwrap_or(&host).into()
}

pub(super) fn engine() -> Engine {
    Engine::new(InstanceId::random(), socket())
}

/// A server's share of the engine; `end` removes all of it and asserts that nothing is left.
pub(super) struct Trial {
    pub(super) engine: Engine,
    dir: TempDir,
    apps: Mutex<Vec<AppId>>,
}

impl Trial {
    pub(super) fn start() -> Self {
        Trial { engine: engine(), dir: tempfile::tempdir().unwrap(), apps: Mutex::default() }
    }

    pub(super) fn app(&self) -> AppId {
        let app = AppId::random();
        self.apps.lock().unwrap().push(app.clone());
        app
    }

    pub(super) fn request(&self, app: &AppId, dockerfile: &str) -> BuildRequest {
        let context = self.dir.path().join(format!("{}.tar", AppId::random()));
        let mut tar = tar::Builder::new(std::fs::File::create(&context).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(dockerfile.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "Dockerfile", dockerfile.as_bytes()).unwrap();
        tar.into_inner().unwrap();
        BuildRequest {
            context,
            dockerfile: "Dockerfile".to_owned(),
            tag: format!("mini/{app}:{}", AppId::random()),
            app: app.clone(),
            no_cache: false,
            silence: Duration::from_mins(1),
            deadline: Duration::from_mins(2),
            cancel: CancellationToken::new(),
        }
    }

    pub(super) async fn build(&self, app: &AppId, dockerfile: &str) -> (Result<BuiltImage>, Vec<String>) {
        let mut lines = Vec::new();
        let built = self.engine.build(self.request(app, dockerfile), |line: BuildLine| lines.push(line.text().to_owned())).await;
        (built, lines)
    }

    async fn run(&self, app: &AppId, image: &ImageId, command: Option<&str>) -> (ContainerId, Network) {
        let network = self.engine.ensure_network(app, None).await.unwrap();
        let spec = spec(app, image, &network, command);
        (self.engine.create_and_start(spec).await.unwrap(), network)
    }

    pub(super) async fn end(self) {
        for container in self.engine.list().await.unwrap() {
            self.engine.remove(&container.id).await.unwrap();
        }
        let apps = self.apps.into_inner().unwrap();
        for app in apps {
            self.engine.remove_network(&app).await.unwrap();
            for image in self.engine.images(&app).await.unwrap() {
                for name in if image.tags.is_empty() { vec![image.id.to_string()] } else { image.tags } {
                    self.engine.remove_image(&name).await.unwrap();
                }
            }
        }
        let filters = label::filter_instance(self.engine.instance());
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        assert_eq!(self.engine.docker().unwrap().list_images(Some(options)).await.unwrap(), [], "an image is left behind");
    }
}

pub(super) fn spec(app: &AppId, image: &ImageId, network: &Network, command: Option<&str>) -> ContainerSpec {
    ContainerSpec {
        name: format!("mini-trial-web-1-{}", AppId::random()),
        app: app.clone(),
        app_name: "trial".parse().unwrap(),
        version: Version(1),
        process: "web".to_owned(),
        index: 1,
        image: image.clone(),
        command: command.map(|script| ["/bin/sh", "-c", script].map(str::to_owned).to_vec()),
        env: vec![("GREETING".to_owned(), Secret::new("hello".to_owned()))],
        network: network.id.clone(),
        address: network.address(5).unwrap(),
        port: 8000,
        memory_bytes: Some(256 << 20),
        cpu_millis: None,
        mounts: Vec::new(),
        joins: Vec::new(),
        published: false,
    }
}

pub(super) async fn eventually<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let work = async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("it happens within 30 s")
}

async fn busybox(trial: &Trial) -> ImageId {
    trial.engine.image("busybox:latest").await.unwrap().id
}

#[tokio::test]
async fn a_build_is_told_step_by_step_and_its_second_time_comes_from_the_cache() {
    let trial = Trial::start();
    let app = trial.app();
    let dockerfile =
        format!("FROM busybox\nEXPOSE 8080 53/udp\nRUN printf 'half\\rdone \\033[31mred\\033[0m\\nrest'; : {app}\nUSER 1000\n");

    let (built, lines) = trial.build(&app, &dockerfile).await;
    let (again, cached_lines) = trial.build(&app, &dockerfile).await;

    let (built, again) = (built.unwrap(), again.unwrap());
    assert_eq!(lines[1..3], ["done red", "rest"], "{lines:?}");
    assert!(lines[3].starts_with("[2/2] printf ") && lines[3].ends_with('s'), "{lines:?}");
    assert_eq!((built.steps, built.exposed.as_slice(), built.user.as_str()), (2, [8080].as_slice(), "1000"));
    assert_eq!((again.cached_steps, &again.id), (2, &built.id));
    assert!(cached_lines.iter().all(|line| line.ends_with("  cached")), "{cached_lines:?}");
    trial.end().await;
}

#[tokio::test]
async fn a_failed_build_names_the_step_and_carries_its_last_lines() {
    let trial = Trial::start();
    let app = trial.app();

    let (failed, _) = trial.build(&app, "FROM busybox\nRUN (seq 1 80; echo no such luck) >&2; exit 3\n").await;

    let err = failed.unwrap_err();
    assert_eq!(err.sentence(), "`RUN (seq 1 80; echo no such luck) >&2; exit 3` failed with exit code 3");
    assert_eq!(err.detail_lines().len(), 50);
    assert_eq!(err.detail_lines()[49], "no such luck");
    trial.end().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_dockerfile_is_said_in_its_own_words() {
    let trial = Trial::start();
    let app = trial.app();

    for (dockerfile, sentence) in [
        ("FROM busybox\nRUNN a\n", "the Dockerfile has an error on line 2: unknown instruction: RUNN"),
        ("FROM mini-nosuch.localhost:1/foo:1\nRUN a\n", "the image `mini-nosuch.localhost:1/foo:1` could not be pulled"),
        ("FROM busybox\nCOPY nope /\n", "`COPY nope /` failed: `nope` is not in your source"),
        ("FROM busybox\nCOPY --from=localhost:1/foo:3 /a /b\n", "the image `localhost:1/foo:3` could not be pulled"),
    ] {
        let (failed, _) = trial.build(&app, dockerfile).await;

        assert_eq!(failed.unwrap_err().sentence(), sentence, "{dockerfile}");
    }
    trial.end().await;
}

#[tokio::test]
async fn a_silent_an_endless_and_a_cancelled_build_are_ended() {
    let trial = Trial::start();
    let app = trial.app();
    let request = |script: &str| trial.request(&app, &format!("FROM busybox\nRUN {script}; : {}\n", AppId::random()));
    let silent = BuildRequest { silence: Duration::from_secs(3), ..request("sleep 1000") };
    let endless = BuildRequest { deadline: Duration::from_secs(4), ..request("while sleep 1; do echo on; done") };
    let cancelled = request("sleep 1000");
    let cancel = cancelled.cancel.clone();
    let later = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        cancel.cancel();
    };

    let (silent, endless, cancelled, ()) =
        tokio::join!(trial.engine.build(silent, drop), trial.engine.build(endless, drop), trial.engine.build(cancelled, drop), later);

    assert_eq!(silent.unwrap_err().sentence(), "the build printed nothing for 3 s and was ended");
    assert_eq!(endless.unwrap_err().sentence(), "the build took longer than 4 s and was ended");
    assert_eq!(cancelled.unwrap_err().sentence(), "the build was cancelled");
    trial.end().await;
}

#[tokio::test]
async fn a_release_runs_answers_is_told_and_goes_in_peace() {
    let trial = Trial::start();
    let app = trial.app();
    let built = trial.build(&app, SERVER).await.0.unwrap();
    let mut events = trial.engine.events(None);

    let first_event = async { events.next().await.unwrap().unwrap() };
    let ((container, network), started) = tokio::join!(trial.run(&app, &built.id, None), first_event);
    let address = network.address(5).unwrap();
    eventually(async || (probe((address, 8000).into(), Protocol::Http1, "trial", "/").await == Probe::Answered(200)).then_some(())).await;

    assert_eq!(started, EngineEvent::Started { container: container.clone() });
    let state = trial.engine.inspect(&container).await.unwrap().unwrap();
    assert!(state.running && state.pid.is_some() && state.started_at.is_some(), "{state:?}");
    assert_eq!(state.address, Some(address));
    assert_eq!(trial.engine.listening(&container).await.unwrap(), ["0.0.0.0:8000".parse().unwrap()]);
    let listed = trial.engine.list().await.unwrap();
    assert_eq!((listed.len(), &listed[0].app, listed[0].version, listed[0].port), (1, &app, Version(1), 8000));
    assert_eq!((listed[0].running, listed[0].address), (true, Some(address)));
    trial.engine.set_restart(&container, true).await.unwrap();
    assert_hardened(&trial.engine, &container).await;
    let lines = eventually(async || trial.engine.tail(&container, 50).await.ok().filter(|lines| lines.len() > 2)).await;
    assert!(lines.iter().any(|line| line.text == "listening" && !line.stderr), "{lines:?}");
    assert!(lines.iter().any(|line| line.text == "oops" && line.stderr && line.nanos > 0), "{lines:?}");

    trial.engine.stop(&container, Duration::from_secs(10)).await.unwrap();
    trial.engine.stop(&container, Duration::from_secs(10)).await.unwrap();
    let died = events.next().await.unwrap().unwrap();
    assert_eq!(died, EngineEvent::Died { container: container.clone(), exit_code: 143, oom: false });
    let busy = trial.engine.remove_image(&trial.engine.image(built.id.as_str()).await.unwrap().tags[0]).await;
    assert!(busy.is_ok() || busy.unwrap_err().kind() == Kind::Busy);
    trial.engine.remove(&container).await.unwrap();
    trial.engine.remove(&container).await.unwrap();
    assert_eq!(trial.engine.inspect(&container).await.unwrap(), None);
    trial.end().await;
}

async fn assert_hardened(engine: &Engine, container: &ContainerId) {
    let found = engine.docker().unwrap().inspect_container(container.as_str(), None).await.unwrap();
    let host = found.host_config.unwrap();
    let config = found.config.unwrap();
    assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
    assert_eq!(host.cap_add.unwrap().len(), 7);
    assert_eq!(host.security_opt.unwrap(), ["no-new-privileges"]);
    assert_eq!((host.privileged, host.publish_all_ports, host.init), (Some(false), Some(false), Some(true)));
    assert_eq!((host.pids_limit, host.memory, host.memory_swap), (Some(512), Some(256 << 20), Some(256 << 20)));
    assert_eq!((host.ipc_mode.as_deref(), host.pid_mode.as_deref()), (Some("private"), Some("")));
    assert_eq!((host.binds, host.mounts), (None, None));
    assert_eq!(host.port_bindings.unwrap_or_default().len(), 0);
    let log = host.log_config.unwrap();
    assert_eq!((log.typ.as_deref(), log.config.unwrap()["max-size"].as_str()), (Some("local"), "10m"));
    assert!(config.env.unwrap().starts_with(&["GREETING=hello".to_owned(), "PORT=8000".to_owned()]));
    assert_eq!(config.labels.unwrap()[label::PROCESS], "web");
}

#[tokio::test]
async fn a_crash_tells_its_code_and_its_last_words() {
    let trial = Trial::start();
    let app = trial.app();
    let image = busybox(&trial).await;

    let (container, _) = trial.run(&app, &image, Some("echo one; echo two; echo three >&2; exit 7")).await;
    let exit = trial.engine.wait_exit(&container).await.unwrap();
    let last: Vec<String> = trial.engine.tail(&container, 2).await.unwrap().into_iter().map(|line| line.text).collect();
    let all: Vec<_> = trial.engine.follow(&container, None, None).collect().await;

    assert_eq!((exit.code, exit.oom), (7, false));
    assert_eq!(last.len(), 2);
    assert_eq!(all.len(), 3, "a follow ends with the container: {all:?}");
    assert_eq!(trial.engine.listening(&container).await.unwrap(), []);
    trial.end().await;
}

#[tokio::test]
async fn memory_beyond_the_limit_is_told_as_such() {
    let trial = Trial::start();
    let app = trial.app();
    let image = trial.engine.image("python:3.11-slim").await.unwrap().id;
    let network = trial.engine.ensure_network(&app, None).await.unwrap();
    let mut greedy = spec(&app, &image, &network, Some("exec python3 -c 'x = bytearray(1 << 30)'"));
    greedy.memory_bytes = Some(64 << 20);
    let mut events = trial.engine.events(None);

    let run = async {
        let container = trial.engine.create_and_start(greedy).await.unwrap();
        trial.engine.wait_exit(&container).await.unwrap()
    };
    let watch = async { [events.next().await, events.next().await] };
    let (exit, told) = tokio::join!(run, watch);

    assert_eq!((exit.code, exit.oom), (137, true));
    assert!(matches!(told[1], Some(Ok(EngineEvent::Died { exit_code: 137, oom: true, .. }))), "{told:?}");
    trial.end().await;
}

#[tokio::test]
async fn a_container_that_does_not_start_is_not_left_behind() {
    let trial = Trial::start();
    let app = trial.app();
    let image = busybox(&trial).await;
    let (_, network) = trial.run(&app, &image, Some("sleep 100")).await;

    let err = trial.engine.create_and_start(spec(&app, &image, &network, None)).await.unwrap_err();

    assert_eq!(err.kind(), Kind::Busy, "{err:?}");
    assert_eq!(trial.engine.list().await.unwrap().len(), 1);
    assert_eq!(trial.engine.remove_network(&app).await.unwrap_err().kind(), Kind::Busy);
    trial.end().await;
}

#[tokio::test]
async fn what_listens_is_found_from_inside_too() {
    let trial = Trial::start();
    let app = trial.app();
    let image = trial.engine.image("python:3.11-slim").await.unwrap().id;
    let server = r#"exec python3 -c 'import socket, time; s = socket.create_server(("127.0.0.1", 3000)); time.sleep(100)'"#;
    let (container, _) = trial.run(&app, &image, Some(server)).await;

    let outside = eventually(async || trial.engine.listening(&container).await.ok().filter(|found| !found.is_empty())).await;
    let inside = trial.engine.listening_inside(&container).await.unwrap();

    assert_eq!(outside, ["127.0.0.1:3000".parse().unwrap()]);
    assert_eq!(inside, outside);
    trial.end().await;
}

#[tokio::test]
async fn streams_may_be_quiet_for_longer_than_an_answer_may_take() {
    let trial = Trial::start();
    let app = trial.app();
    let image = busybox(&trial).await;
    let hasty = Engine::with_answer_deadline(trial.engine.instance().clone(), trial.engine.socket().to_owned(), Duration::from_secs(1));
    let (container, _) = trial.run(&app, &image, Some("sleep 3; echo done; exit 4")).await;
    let mut events = hasty.events(None);

    let followed = hasty.follow(&container, None, Some(0)).collect::<Vec<_>>();
    let (lines, exit, event) = tokio::join!(followed, hasty.wait_exit(&container), events.next());

    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["done"]);
    assert_eq!(exit.unwrap().code, 4);
    assert!(matches!(event, Some(Ok(EngineEvent::Died { exit_code: 4, .. }))), "{event:?}");
    trial.end().await;
}

#[tokio::test]
async fn a_build_cache_below_its_budget_is_kept() {
    assert_eq!(engine().prune_build_cache(1 << 40).await.unwrap(), 0);
}

#[tokio::test]
async fn a_build_that_floods_its_log_is_kept_within_bounds() {
    let trial = Trial::start();
    let app = trial.app();
    let flood = format!("FROM busybox\nRUN yes {app} | head -c 30000000; head -c 3000000 /dev/zero | tr '\\0' x\n");

    let (built, lines) = trial.build(&app, &flood).await;

    built.unwrap();
    assert!(lines.iter().all(|line| line.len() <= 16 << 10));
    assert!(lines.iter().map(String::len).sum::<usize>() <= 11 << 20);
    trial.end().await;
}

#[tokio::test]
async fn every_long_call_can_be_given_to_a_task() {
    fn movable<T: Send + 'static>(work: T) {
        drop(work);
    }
    let trial = Trial::start();
    let app = trial.app();
    let (engine, request) = (trial.engine.clone(), trial.request(&app, "FROM busybox\n"));
    let (image, container): (ImageId, ContainerId) = (busybox(&trial).await, "0".repeat(64).parse().unwrap());

    movable(async move {
        let network = engine.ensure_network(&app, None).await?;
        engine.build(request, drop).await?;
        engine.create_and_start(spec(&app, &image, &network, None)).await?;
        engine.wait_exit(&container).await?;
        engine.listening(&container).await?;
        engine.tail(&container, 1).await?;
        engine.prune_build_cache(1 << 40).await?;
        engine.stop(&container, Duration::ZERO).await
    });
    movable((trial.engine.events(None), probe(([127, 0, 0, 1], 1).into(), Protocol::Http1, "a", "/")));
    trial.end().await;
}
