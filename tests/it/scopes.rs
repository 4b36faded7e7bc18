//! What a key may do beyond its role and its apps: nothing, and it learns nothing.

use crate::harness::{Mini, Person, Repo, Said};

#[test]
fn a_view_key_reads_logs_and_neither_pushes_nor_clones() {
    let mini = Mini::start();
    let vera = Person::new(mini.home(), "vera");
    mini.anna.ssh_with(mini.ssh, "keys:add vera --role view", &vera.public_key()).ok();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let before = mini.state("hello");
    repo.next("by vera");

    let folder = tempfile::tempdir().unwrap();
    let sentence = "mini: this needs a key with the role `deploy`, and `vera` has the role `view`";
    vera.push(repo.path(), mini.ssh, "hello", &["main"]).fails(128, sentence);
    vera.push(repo.path(), mini.ssh, "new-app", &["main"]).fails(128, sentence);
    vera.clone(folder.path(), mini.ssh, "hello").fails(128, sentence);
    vera.ssh(mini.ssh, "rebuild hello").fails(4, sentence);
    vera.ssh(mini.ssh, "logs hello").ok();
    assert_eq!(vera.ssh(mini.ssh, "apps:info hello --json").code, 0);

    assert_eq!(mini.state("hello"), before);
    assert_eq!(mini.apps(), ["hello"]);
    mini.finish();
}

#[test]
fn a_key_of_one_app_pushes_it_and_cannot_tell_a_foreign_app_from_a_missing_one() {
    let mini = Mini::start();
    let carl = Person::new(mini.home(), "carl");
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.push(repo.path(), mini.ssh, "shop", &["main"]).ok();
    mini.anna.ssh_with(mini.ssh, "keys:add carl --app blog", &carl.public_key()).ok();
    let before = mini.state("shop");
    repo.next("by carl");

    carl.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    assert_eq!(mini.get("blog", "/").body, "by carl");
    let folder = tempfile::tempdir().unwrap();
    carl.clone(folder.path(), mini.ssh, "blog").ok();

    let words = ["apps:info", "ps", "logs", "config", "config:get APP KEY", "config:set APP KEY=1", "config:unset APP KEY", "releases"];
    let more = ["rollback", "rebuild", "apps:destroy APP --confirm APP", "apps:set APP deploy-branch=main", "apps:create"];
    for word in words.into_iter().chain(more) {
        let line = if word.contains("APP") { word.to_owned() } else { format!("{word} APP") };
        let ask = |app: &str| without_name(carl.ssh(mini.ssh, &line.replace("APP", app)), app);

        let (foreign, missing) = (ask("shop"), ask("pets"));

        assert_eq!(foreign, missing, "{word}");
        assert_eq!(foreign.0, if word == "apps:create" { 4 } else { 3 }, "{word}: {foreign:?}");
    }
    for service in ["git-receive-pack", "git-upload-pack"] {
        let ask = |app: &str| without_name(carl.ssh(mini.ssh, &format!("{service} '{app}'")), app);
        assert_eq!(ask("shop"), (3, String::new(), "mini: app `APP` does not exist\n      see yours: ssh mini apps\n".to_owned()));
        assert_eq!(ask("shop"), ask("pets"));
    }
    carl.push(repo.path(), mini.ssh, "shop", &["main"]).fails(128, "mini: app `shop` does not exist");
    carl.push(repo.path(), mini.ssh, "pets", &["main"]).fails(128, "mini: app `pets` does not exist");

    assert_eq!(mini.state("shop"), before);
    assert_eq!(mini.apps(), ["blog", "shop"]);
    let seen = carl.ssh(mini.ssh, "apps").ok().stdout;
    assert!(seen.contains("blog") && !seen.contains("shop"), "{seen}");
    mini.finish();
}

fn without_name(said: Said, app: &str) -> (i32, String, String) {
    let Said { code, stdout, stderr } = said;
    (code, stdout.replace(app, "APP"), stderr.replace(app, "APP"))
}

#[test]
fn pushing_creates_no_app_where_that_is_turned_off() {
    let mini = Mini::start_with(&["--create-on-push", "false"]);
    let repo = Repo::hello();

    let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]);

    let refused = refused.fails(128, "mini: app `hello` does not exist, and deploying does not create apps here");
    assert!(refused.stderr.contains("create it: ssh mini apps:create hello"), "{}", refused.stderr);
    assert_eq!(mini.apps(), Vec::<String>::new());
    mini.anna.ssh(mini.ssh, "apps:create hello").ok();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    mini.finish();
}

#[test]
fn cloning_creates_nothing_and_a_taken_name_is_said_to_be_taken() {
    let mini = Mini::start();
    let folder = tempfile::tempdir().unwrap();

    mini.anna.clone(folder.path(), mini.ssh, "hello").fails(128, "mini: app `hello` does not exist");
    assert_eq!(mini.apps(), Vec::<String>::new());
    mini.anna.ssh(mini.ssh, "apps:create hello").ok();

    mini.anna.ssh(mini.ssh, "apps:create hello").fails(5, "the name `hello` is taken");
    mini.anna.ssh(mini.ssh, "apps:create keys").fails(2, "`keys` is a word of the command line and cannot name an app");
    mini.finish();
}

#[test]
fn a_global_word_is_not_allowed_because_its_argument_is_ones_own_app() {
    let mini = Mini::start();
    let bob = Person::new(mini.home(), "bob");
    mini.anna.ssh_with(mini.ssh, "keys:add bob", &bob.public_key()).ok();
    bob.ssh(mini.ssh, "apps:create victim").ok();
    let mallory = Person::new(mini.home(), "mallory");

    for words in
        ["keys:add victim", "keys:add victim --role admin", "keys:add victim --app victim", "keys:add -a victim", "ssh-keys:add victim"]
    {
        let said = bob.ssh_with(mini.ssh, words, &mallory.public_key());
        assert!(matches!(said.code, 2 | 4), "{words}: {said:?}");
    }
    bob.ssh(mini.ssh, "keys:remove anna@test").fails(4, "this needs an admin");
    bob.ssh(mini.ssh, "keys").fails(4, "this needs an admin");
    bob.ssh(mini.ssh, "status").fails(4, "this needs an admin");

    mallory.ssh(mini.ssh, "whoami").fails(255, "Permission denied (publickey)");
    mini.anna.ssh(mini.ssh, "whoami").ok();
    mini.finish();
}
