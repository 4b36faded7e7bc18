//! Pushes that meet, and clients that leave.

use std::path::{Path, PathBuf};

use crate::harness::{Mini, Person, Repo, Running, Said, children_of, eventually, is_running, proof, rounds, unique};

#[test]
fn a_newer_push_supersedes_the_one_that_builds() {
    let mini = Mini::start();
    let bob = Person::new(mini.home(), "bob");
    mini.anna.ssh_with(mini.ssh, "keys:add bob", &bob.public_key()).ok();
    let repo = Repo::hello();
    let first = repo.head();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let marker = slow_commit(&repo);
    let mut slow = mini.anna.begin_push(repo.path(), mini.ssh, "hello", &["main"]);
    slow.wait_for("Building image");
    repo.git(&["reset", "-q", "--hard", &first]);
    let quick = repo.next("by bob");

    bob.push(repo.path(), mini.ssh, "hello", &["main"]).ok();

    let lost = slow.finish().fails(1, "(pre-receive hook declined)").remote();
    let sentence = format!(" !     superseded by {} (pushed by bob)", &quick[..7]);
    assert_eq!(lost[lost.len() - 2..], [sentence.as_str(), " !     nothing was changed: v1 keeps serving"]);
    assert_eq!(mini.get("hello", "/").body, "by bob");
    assert!(mini.state("hello").contains(&format!("{quick}\trefs/heads/main")), "{}", mini.state("hello"));
    eventually("the superseded build to end", || (!is_running(&marker)).then_some(()));
    mini.finish();
}

#[test]
fn a_push_that_was_overtaken_before_it_arrived_says_where_the_branch_is_now() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let other = Repo::shallow_clone_of(&repo);
    let late = late_push_hook(&repo);
    repo.next("too late");
    let moved_to = other.next("in time");

    let mut loser = mini.anna.begin_push(repo.path(), mini.ssh, "hello", &["main"]);
    loser.wait_for("has seen the refs");
    mini.anna.push(other.path(), mini.ssh, "hello", &["main"]).ok();
    let before = mini.state("hello");
    std::fs::write(late, "").unwrap();

    let lost = loser.finish().fails(1, "(pre-receive hook declined)").remote();
    assert_eq!(
        lost,
        [
            format!(" !     main moved to {} while you were pushing: pull and push again", &moved_to[..7]),
            " !     nothing was changed: v2 keeps serving".to_owned()
        ]
    );
    assert_eq!(mini.state("hello"), before);
    assert_eq!(mini.get("hello", "/").body, "in time");
    mini.finish();
}

#[test]
fn of_two_first_pushes_to_one_name_the_slower_is_told_and_leaves_nothing() {
    let mini = Mini::start();
    let (quick, slow) = (Repo::hello(), Repo::hello());
    let late = late_push_hook(&slow);
    slow.next("too late");

    let mut loser = mini.anna.begin_push(slow.path(), mini.ssh, "hello", &["main"]);
    loser.wait_for("has seen the refs");
    mini.anna.push(quick.path(), mini.ssh, "hello", &["main"]).ok();
    std::fs::write(late, "").unwrap();

    let lost = loser.finish().fails(1, "(pre-receive hook declined)").remote();
    assert_eq!(lost[1..], [" !     `hello` was created while you were pushing: pull and push again"]);
    assert!(mini.state("hello").contains(&format!("{}\trefs/heads/main", quick.head())));
    mini.finish();
}

#[test]
fn an_app_can_be_destroyed_while_it_is_built() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let marker = slow_commit(&repo);
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "hello", &["main"]);
    push.wait_for("Building image");
    eventually("the build's own step to run", || is_running(&marker).then_some(()));

    mini.anna.ssh(mini.ssh, "apps:destroy hello --confirm hello").ok();

    let lost = push.finish().fails(1, "(pre-receive hook declined)").remote();
    assert!(lost.contains(&" !     the app was destroyed".to_owned()), "{lost:#?}");
    assert_eq!(mini.apps(), Vec::<String>::new());
    eventually("the build to end", || (!is_running(&marker)).then_some(()));
    mini.finish();
}

#[test]
fn a_client_that_is_killed_during_the_build_leaves_nothing_and_the_next_push_works() {
    let mini = Mini::start();
    let repo = Repo::hello();
    let first = repo.head();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let (before, containers, images) = (mini.state("hello"), mini.docker().containers(), mini.docker().images());
    let marker = slow_commit(&repo);
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "hello", &["main"]);
    push.wait_for("Building image");
    eventually("the build's own step to run", || is_running(&marker).then_some(()));

    push.kill_9();

    eventually("the build to end", || (!is_running(&marker)).then_some(()));
    eventually("git to end", || children_of(mini.pid()).is_empty().then_some(()));
    eventually("the quarantine to be swept", || quarantines(&mini.data()).is_empty().then_some(()));
    eventually("the source to be removed", || is_empty(&mini.data().join("tmp")).then_some(()));
    assert_eq!(mini.docker().containers(), containers);
    assert_eq!(mini.docker().images(), images);
    assert_eq!(mini.state("hello"), before);
    assert_eq!(mini.get("hello", "/").status, 200);
    repo.git(&["reset", "-q", "--hard", &first]);
    repo.next("after the kill");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    assert_eq!(mini.get("hello", "/").body, "after the kill");
    mini.finish();
}

#[test]
fn a_client_that_is_killed_while_its_release_starts_leaves_the_old_one_and_nothing_else() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let (before, containers, images) = (mini.state("hello"), mini.docker().containers(), mini.docker().images());
    repo.write("Dockerfile", &format!("FROM busybox\nLABEL run={}\nCMD [\"sleep\", \"600\"]\n", unique()));
    repo.commit("never listens");
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "hello", &["main"]);
    push.wait_for("Starting web.1 beside v1");

    push.kill_9();

    eventually("git to end", || children_of(mini.pid()).is_empty().then_some(()));
    eventually("the new container to be removed", || (mini.docker().containers() == containers).then_some(()));
    eventually("the new image to be removed", || (mini.docker().images() == images).then_some(()));
    assert_eq!(mini.state("hello"), before);
    assert_eq!(quarantines(&mini.data()), Vec::<PathBuf>::new());
    assert_eq!(mini.releases("hello")[0]["state"], "failed");
    mini.finish();
}

#[test]
fn of_many_pushes_at_once_one_goes_live_and_each_other_gets_one_of_two_sentences() {
    let mini = Mini::start();
    let origin = Repo::hello();
    mini.anna.push(origin.path(), mini.ssh, "hello", &["main"]).ok();
    let repos: Vec<Repo> = (0..5).map(|_| Repo::shallow_clone_of(&origin)).collect();
    let gates: Vec<PathBuf> = repos.iter().map(late_push_hook).collect();
    let commits: Vec<String> = (0..5).map(|number| repos[number].next(&format!("page {number}"))).collect();
    let mut pushes: Vec<Running> = repos.iter().map(|repo| mini.anna.begin_push(repo.path(), mini.ssh, "hello", &["main"])).collect();
    for push in &mut pushes {
        push.wait_for("has seen the refs");
    }

    for gate in &gates {
        std::fs::write(gate, "").unwrap();
    }

    let ended: Vec<Said> = pushes.into_iter().map(Running::finish).collect();
    let winners: Vec<usize> = (0..5).filter(|number| ended[*number].code == 0).collect();
    assert_eq!(winners.len(), 1, "{ended:#?}");
    let winner = winners[0];
    for lost in ended.iter().filter(|said| said.code != 0) {
        let said = lost.remote();
        let names_one = |start: &str, end: &str| {
            commits.iter().any(|commit| said.iter().any(|line| *line == format!(" !     {start} {} {end}", &commit[..7])))
        };
        let superseded = names_one("superseded by", "(pushed by anna@test)");
        assert!(superseded || names_one("main moved to", "while you were pushing: pull and push again"), "{said:#?}");
    }
    assert_eq!(mini.get("hello", "/").body, format!("page {winner}"));
    let (state, live) = (mini.state("hello"), &commits[winner]);
    for name in ["HEAD", "refs/heads/deployed", "refs/heads/main"] {
        assert!(state.contains(&format!("{live}\t{name}\n")), "{state}");
    }
    mini.finish();
}

#[test]
fn pushes_to_many_apps_at_once_all_end_and_each_app_has_one_winner() {
    let (apps, each) = (rounds(5, 10), rounds(4, 5));
    let mini = Mini::start();
    let origin = Repo::hello();
    let names: Vec<String> = (0..apps).map(|number| format!("app{number}")).collect();
    for name in &names {
        mini.anna.push(origin.path(), mini.ssh, name, &["main"]).ok();
    }
    let mut racers = Vec::new();
    for number in 0..apps * each {
        let (repo, name) = (Repo::shallow_clone_of(&origin), &names[number % apps]);
        let gate = late_push_hook(&repo);
        let commit = repo.next(&format!("page {number}"));
        let mut push = mini.anna.begin_push(repo.path(), mini.ssh, name, &["main"]);
        push.wait_for("has seen the refs");
        racers.push((name, commit, gate, push, repo));
    }

    for (_, _, gate, ..) in &racers {
        std::fs::write(gate, "").unwrap();
    }

    let ended: Vec<(&String, String, Said, Repo)> =
        racers.into_iter().map(|(name, commit, _, push, repo)| (name, commit, push.finish(), repo)).collect();
    for name in &names {
        let here: Vec<(&str, &Said)> =
            ended.iter().filter(|(app, ..)| *app == name).map(|(_, commit, said, _)| (&commit[..7], said)).collect();
        let winners: Vec<&str> = here.iter().filter(|(_, said)| said.code == 0).map(|(commit, _)| *commit).collect();
        assert_eq!(winners.len(), 1, "{here:#?}");
        for (commit, _) in &here {
            assert!(leads_to(commit, winners[0], &here), "{commit} lost without a reason: {here:#?}");
        }
        let live = ended.iter().find(|(_, commit, ..)| commit.starts_with(winners[0])).unwrap();
        let state = mini.state(name);
        for reference in ["HEAD", "refs/heads/deployed", "refs/heads/main"] {
            assert!(state.contains(&format!("{}\t{reference}\n", live.1)), "{state}");
        }
        let rows = mini.local(&["builds", name, "--json"]).ok().stdout;
        let rows: Vec<serde_json::Value> = serde_json::from_str(&rows).unwrap();
        assert!(rows.iter().all(|row| row["state"] == "done" || row["state"] == "failed"), "{rows:#?}");
    }
    proof("races", &[("pushes", &(apps * each)), ("apps", &apps), ("winners", &names.len())]);
    mini.finish();
}

/// Follows what the losers were told: superseded by a later one, and so on, or too late for the one that went live.
fn leads_to(commit: &str, winner: &str, here: &[(&str, &Said)]) -> bool {
    let mut commit = commit.to_owned();
    for _ in here {
        if commit == winner {
            return true;
        }
        let Some((_, said)) = here.iter().find(|(other, _)| *other == commit) else { return false };
        let told = said.remote();
        let after = |start: &str, end: &str| told.iter().find_map(|line| Some(line.strip_prefix(start)?.strip_suffix(end)?.to_owned()));
        if let Some(moved_to) = after(" !     main moved to ", " while you were pushing: pull and push again") {
            return moved_to == winner;
        }
        let Some(later) = after(" !     superseded by ", " (pushed by anna@test)") else { return false };
        commit = later;
    }
    false
}

#[test]
fn a_detached_push_goes_live_without_its_client() {
    let mini = Mini::start();
    let marker = format!("3.{}", unique());
    let repo = Repo::building(&format!("sleep {marker}"));
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "hello", &["-o", "detach", "main"]);
    push.wait_for("Building image");
    eventually("the build's own step to run", || is_running(&marker).then_some(()));

    push.kill_9();

    let is_live = || mini.state("hello").starts_with("\"v1\"").then_some(());
    eventually("the release to be live", is_live);
    let moved = format!("{}\trefs/heads/main", repo.head());
    eventually("git to move the branch", || mini.state("hello").contains(&moved).then_some(()));
    assert_eq!(mini.get("hello", "/").body, "hello\n");
    eventually("git to end", || children_of(mini.pid()).is_empty().then_some(()));
    mini.finish();
}

/// Commits a build that sleeps for minutes, and returns what its process can be known by.
fn slow_commit(repo: &Repo) -> String {
    let marker = format!("600.{}", unique());
    repo.write("Dockerfile", &format!("FROM busybox\nRUN sleep {marker}\n"));
    repo.commit("a slow build");
    marker
}

/// Makes pushes of this repo wait, after they have seen the server's refs, for the returned file.
fn late_push_hook(repo: &Repo) -> PathBuf {
    let go = repo.path().join(".git/go");
    let hook = repo.write(".git/hooks/pre-push", "#!/bin/sh\necho 'has seen the refs' >&2\nwhile ! [ -e .git/go ]; do sleep 0.05; done\n");
    std::fs::set_permissions(hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    go
}

fn quarantines(data: &Path) -> Vec<PathBuf> {
    let repos = std::fs::read_dir(data.join("repos")).unwrap().flatten();
    let objects = repos.flat_map(|repo| std::fs::read_dir(repo.path().join("objects")).unwrap().flatten());
    objects.map(|entry| entry.path()).filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("tmp_objdir")).collect()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}
