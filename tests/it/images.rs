//! `deploy APP --image REF`: images of the engine, of a public registry and of a private one.

use std::process::Command;

use crate::harness::{Docker, Mini, Registry, Repo, Said, eventually};

/// The names and digests that the engine has of images in a registry.
fn in_engine(registry: &Registry) -> Vec<String> {
    let mut command = Command::new("docker");
    command.args(["images", "--digests", "--format", "{{.Repository}}:{{.Tag}}@{{.Digest}}"]);
    let all = Said::by(command, b"").ok().stdout;
    all.lines().filter(|line| line.starts_with(&registry.address.to_string())).map(str::to_owned).collect()
}

/// The refs that anybody sees.
fn refs(mini: &Mini, app: &str) -> String {
    let mut command = mini.anna.git(mini.home(), mini.ssh);
    command.arg("ls-remote").arg(format!("ssh://mini@{}/{app}", mini.ssh));
    Said::by(command, b"").stdout
}

#[test]
fn an_image_is_pulled_released_and_kept_under_a_name_of_ours() {
    let (mini, registry) = (Mini::start(), Registry::public());
    let image = registry.hold("team/hello:1", "from a registry", 8080);

    let said = mini.anna.ssh(mini.ssh, &format!("deploy hello --image {image}")).ok();

    assert_eq!(said.stdout, format!("http://hello.localhost:{}\n", mini.http.port()));
    assert!(said.stderr.starts_with(&format!("-----> Pulling {image}\n-----> Image ")), "{said:?}");
    let container = mini.docker().containers().remove(0);
    assert!(said.stderr.ends_with(&format!("       container {}\n", &container[..12])), "{said:?}");
    assert_eq!(mini.get("hello", "/").body, "from a registry");
    let row = &mini.releases("hello")[0];
    assert_eq!(
        (row["kind"].as_str(), row["commit"].as_str(), row["description"].as_str()),
        (Some("image"), None, Some(&*format!("image {image}")))
    );
    let ps: serde_json::Value = serde_json::from_str(&mini.local(&["ps", "hello", "--json"]).ok().stdout).unwrap();
    assert_eq!((ps[0]["container"].as_str(), ps[0]["process"].as_str()), (Some(container.as_str()), Some("web.1")));
    let address = Docker::inspect(&container, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}:8080");
    assert_eq!(ps[0]["address"].as_str(), Some(address.as_str()), "the image's only port");
    assert_eq!(in_engine(&registry), Vec::<String>::new(), "the name of the pull is gone");

    mini.anna.ssh(mini.ssh, "config:set hello A=1").ok();
    mini.anna.ssh(mini.ssh, "rebuild hello").fails(3, "`hello` was released from an image: there is no source to build");
    let again = registry.hold("team/hello:1", "a newer one", 8080);
    mini.anna.ssh(mini.ssh, &format!("deploy hello --image {again} -m newer")).ok();
    assert_eq!(mini.get("hello", "/").body, "a newer one");
    mini.anna.ssh(mini.ssh, "rollback hello v1").ok();
    assert_eq!(mini.get("hello", "/").body, "from a registry");
    let image = Docker::inspect(&mini.docker().containers()[0], "{{.Image}}");
    mini.anna.ssh(mini.ssh, "apps:destroy hello --confirm hello").ok();
    let is_gone = || !Command::new("docker").args(["image", "inspect", &image]).output().unwrap().status.success();
    eventually("the image to be gone", || is_gone().then_some(()));
    mini.finish();
}

#[test]
fn an_image_of_the_engine_is_used_as_it_is_and_its_name_stays() {
    let mini = Mini::start();
    let name = format!("shop-{}:7", crate::harness::unique());
    let repo = Repo::hello();
    let build = |name: &str| Command::new("docker").args(["build", "-q", "-t", name]).arg(repo.path()).output().unwrap().status.success();
    assert!(build(&name));

    let said = mini.anna.ssh(mini.ssh, &format!("deploy hello --image {name}")).ok();

    assert!(said.stderr.starts_with(&format!("-----> Image {name} is here (")), "{said:?}");
    assert_eq!(mini.get("hello", "/").status, 200);
    mini.anna.ssh(mini.ssh, "apps:destroy hello --confirm hello").ok();
    let image = || Command::new("docker").args(["image", "inspect", "-f", "{{json .RepoTags}}", &name]).output().unwrap();
    eventually("our own name to be gone", || (String::from_utf8_lossy(&image().stdout).trim() == format!("[\"{name}\"]")).then_some(()));
    assert!(Command::new("docker").args(["rmi", &name]).output().unwrap().status.success());
    mini.finish();
}

#[test]
fn after_an_image_there_is_no_source_and_the_next_push_works() {
    let (mut mini, registry) = (Mini::start(), Registry::public());
    let image = registry.hold("hello:1", "image", 5000);
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();

    mini.anna.ssh(mini.ssh, &format!("deploy hello --image {image}")).ok();
    assert_eq!(refs(&mini, "hello"), "", "nothing that is live has a source");
    mini.kill_9();
    mini.boot();
    assert_eq!((refs(&mini, "hello"), mini.get("hello", "/").body), (String::new(), "image".to_owned()));

    let same = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    assert!(same.stderr.contains("* [new branch]      main -> main"), "{}", same.stderr);
    mini.anna.ssh(mini.ssh, "rollback hello v2").ok();
    assert_eq!(refs(&mini, "hello"), "");
    mini.anna.ssh(mini.ssh, "rollback hello v3").ok();
    assert!(refs(&mini, "hello").contains(&format!("{}\trefs/heads/main", repo.head())));
    mini.finish();
}

#[test]
fn a_private_registry_wants_a_login_and_gets_it() {
    let (mini, registry) = (Mini::start(), Registry::private());
    let image = registry.hold("hello:1", "private", 8080);
    let host = registry.address.to_string();
    let deploy = || mini.anna.ssh(mini.ssh, &format!("deploy hello --image {image}"));
    let login = |password: &str| mini.anna.ssh_with(mini.ssh, &format!("registry:login {host} {} -", Registry::USER), password);

    let denied = deploy().fails(4, &format!("`{host}` does not give `{image}` to everybody"));
    assert!(denied.stderr.contains(&format!("registry:login {host} USERNAME -")), "{denied:?}");
    assert_eq!(mini.apps(), Vec::<String>::new(), "no app is made for an image that does not come");
    login("wrong\n").ok();
    deploy().fails(4, &format!("`{host}` does not give `{image}` to `bot`"));
    login(&format!("{}\n", Registry::PASSWORD)).ok();
    deploy().ok();

    assert_eq!(mini.get("hello", "/").body, "private");
    let list = mini.anna.ssh(mini.ssh, "registry").ok().stdout;
    assert!(list.contains(&host) && list.contains("bot") && !list.contains(Registry::PASSWORD), "{list}");
    assert!(!mini.log().contains(Registry::PASSWORD), "the log tells the password");
    mini.anna.ssh(mini.ssh, &format!("registry:logout {host}")).ok();
    mini.anna.ssh(mini.ssh, &format!("registry:logout {host}")).fails(3, &format!("there is no login for `{host}`"));
    deploy().fails(4, "to everybody");
    login("").fails(2, "no password was sent");
    mini.finish();
}

#[test]
fn an_image_that_does_not_come_is_told_in_words() {
    let (mini, registry) = (Mini::start(), Registry::public());
    let image = registry.hold("hello:1", "one", 8080);
    let host = registry.address.to_string();

    for (image, code, sentence) in [
        (format!("{host}/hello:2"), 3, format!("`{host}` has no image `{host}/hello:2`")),
        (format!("{host}/nosuch"), 3, format!("`{host}` has no image `{host}/nosuch`")),
        ("127.0.0.1:1/hello".to_owned(), 1, "the registry `127.0.0.1:1` could not be reached from the server".to_owned()),
        ("Upper".to_owned(), 2, "`Upper` is not the name of an image".to_owned()),
        (format!("mini/{}:1", "0".repeat(16)), 2, "is an image that mini made for an app".to_owned()),
    ] {
        let said = mini.anna.ssh(mini.ssh, &format!("deploy hello --image {image}")).fails(code, &sentence);
        assert!(said.stdout.is_empty(), "{said:?}");
    }
    assert_eq!(mini.apps(), Vec::<String>::new());
    mini.anna.ssh(mini.ssh, &format!("deploy hello --image {image}")).ok();
    mini.anna.ssh(mini.ssh, &format!("deploy hello --image {host}/hello:2")).fails(3, "nothing was changed: v1 keeps serving");
    mini.finish();
}
