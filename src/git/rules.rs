//! Which pushes are deployed: one branch, one commit, and everything that git would only refuse after the build.

use super::{DEPLOYED, ObjectKind, RefUpdate};
use crate::error::{Error, Result};
use crate::model::CommitId;

/// Branches from which an app may deploy before it has one of its own.
const FIRST_BRANCHES: [&str; 2] = ["main", "master"];

/// What the repository says about a push of one ref.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where the ref stands now: git compares it only when the build is over.
    pub current: Option<CommitId>,
    /// What the new value is; `None` when it did not arrive, or the ref goes away.
    pub object: Option<ObjectKind>,
}

/// A push that may be deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushPlan {
    /// The branch's short name, such as `main`.
    pub branch: String,
    pub old: Option<CommitId>,
    pub commit: CommitId,
}

/// Decides about a push; `deploy_branch` is known once a branch of the app has gone live. A refusal says what to do instead.
pub fn plan(updates: &[RefUpdate], deploy_branch: Option<&str>, facts: &Facts) -> Result<PushPlan> {
    let update = the_one_update(updates, deploy_branch)?;
    let branch = branch_of(update, deploy_branch)?;
    let Some(commit) = &update.new else { return Err(deleted(branch, deploy_branch)) };
    check_branch(branch, deploy_branch)?;
    check_object(branch, facts.object)?;
    check_current(branch, update, facts)?;
    Ok(PushPlan { branch: branch.to_owned(), old: update.old.clone(), commit: commit.clone() })
}

fn the_one_update<'a>(updates: &'a [RefUpdate], deploy_branch: Option<&str>) -> Result<&'a RefUpdate> {
    let target = deploy_branch.unwrap_or(FIRST_BRANCHES[0]);
    match updates {
        [update] => Ok(update),
        [] => Err(Error::usage("the push brings nothing").hint(format!("git push mini {target}"))),
        _ => {
            let both = FIRST_BRANCHES.iter().all(|branch| updates.iter().any(|update| short_name(update) == Some(branch)));
            let sentence =
                if both { "main and master came in one push, and only one can be deployed" } else { "one push deploys one branch" };
            Err(Error::usage(sentence).hint(format!("push it alone: git push mini {target}")))
        }
    }
}

fn short_name(update: &RefUpdate) -> Option<&str> {
    update.name.strip_prefix("refs/heads/")
}

fn branch_of<'a>(update: &'a RefUpdate, deploy_branch: Option<&str>) -> Result<&'a str> {
    let target = deploy_branch.unwrap_or(FIRST_BRANCHES[0]);
    if update.name == DEPLOYED {
        return Err(Error::not_allowed("`deployed` shows what is live and cannot be pushed")
            .hint(format!("git push mini HEAD:{target}   (in a clone: origin)")));
    }
    if let Some(tag) = update.name.strip_prefix("refs/tags/") {
        let commit = word(&format!("{tag}^{{commit}}:refs/heads/{target}"));
        return Err(Error::usage(format!("`{}` is a tag, and only a branch is deployed", shown(tag)))
            .hint(format!("push its commit as a branch: git push mini {commit}")));
    }
    if update.name.starts_with("refs/mini/") {
        return Err(Error::not_allowed("refs below `refs/mini/` are mini's own").hint(format!("git push mini {target}")));
    }
    short_name(update).ok_or_else(|| {
        Error::usage(format!("`{}` is not a branch, and only a branch is deployed", shown(&update.name)))
            .hint(format!("git push mini {target}"))
    })
}

fn deleted(branch: &str, deploy_branch: Option<&str>) -> Error {
    let is_deployed = deploy_branch.map_or(FIRST_BRANCHES.contains(&branch), |target| target == branch);
    if is_deployed {
        Error::not_allowed(format!("`{}` is what the app is deployed from and cannot be deleted", shown(branch)))
            .hint("to remove the app itself: mini apps:destroy")
    } else {
        Error::usage(format!("there is no branch `{}` to delete", shown(branch)))
    }
}

fn check_branch(branch: &str, deploy_branch: Option<&str>) -> Result<()> {
    let is_deployed = deploy_branch.map_or(FIRST_BRANCHES.contains(&branch), |target| target == branch);
    if is_deployed {
        return Ok(());
    }
    let target = deploy_branch.unwrap_or(FIRST_BRANCHES[0]);
    let sentence = match deploy_branch {
        Some(target) => format!("this app is deployed from `{}`, not from `{}`", shown(target), shown(branch)),
        None => format!("`{}` is not deployed, only main or master is", shown(branch)),
    };
    let source = word(&format!("{branch}:{target}"));
    Err(Error::usage(sentence).hint(format!("push it as {}: git push mini {source}", shown(target))))
}

/// git itself refuses what is no commit, but only after the hook, when it would be live already.
fn check_object(branch: &str, object: Option<ObjectKind>) -> Result<()> {
    let what = match object {
        Some(ObjectKind::Commit) => return Ok(()),
        Some(ObjectKind::Tag) => {
            return Err(Error::usage(format!("`{branch}` was pushed as an annotated tag, and a branch holds commits"))
                .hint(format!("push the tag's commit: git push mini 'TAG^{{commit}}:refs/heads/{branch}'")));
        }
        Some(ObjectKind::Tree) => "a folder",
        Some(ObjectKind::Blob) => "a single file",
        None => return Err(Error::failed(format!("the commit of `{branch}` did not arrive")).hint("push again")),
    };
    Err(Error::usage(format!("`{branch}` was pushed as {what}, and a branch holds commits")).hint(format!("git push mini {branch}")))
}

fn check_current(branch: &str, update: &RefUpdate, facts: &Facts) -> Result<()> {
    match &facts.current {
        current if *current == update.old => Ok(()),
        Some(current) => Err(Error::busy(format!("{branch} moved to {} while you were pushing: pull and push again", current.short()))),
        None => Err(Error::busy(format!("{branch} was reset while you were pushing: push again"))),
    }
}

/// Returns a stranger's text as it can stand in a sentence.
fn shown(text: &str) -> String {
    const SHOWN: usize = 80;
    let short: String = text.chars().take(SHOWN).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}

/// Quotes a word of a command that somebody will paste into a shell (POSIX, XCU 2.2.2).
fn word(text: &str) -> String {
    let text = shown(text);
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@".contains(c));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn id(digit: char) -> CommitId {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn update(name: &str) -> RefUpdate {
        RefUpdate { name: name.into(), old: None, new: Some(id('a')) }
    }

    fn deletion(name: &str) -> RefUpdate {
        RefUpdate { name: name.into(), old: Some(id('a')), new: None }
    }

    fn commit() -> Facts {
        Facts { current: None, object: Some(ObjectKind::Commit) }
    }

    /// The sentence and hint with which a push is refused.
    fn refusal(updates: &[RefUpdate], deploy_branch: Option<&str>) -> String {
        let err = plan(updates, deploy_branch, &commit()).unwrap_err();
        format!("{} | {}", err.sentence(), err.next_step().unwrap_or_default())
    }

    #[test]
    fn main_and_master_are_deployed_until_one_of_them_went_live() {
        for branch in ["main", "master"] {
            let planned = plan(&[update(&format!("refs/heads/{branch}"))], None, &commit()).unwrap();

            assert_eq!(planned, PushPlan { branch: branch.into(), old: None, commit: id('a') });
        }
        assert!(plan(&[update("refs/heads/prod")], Some("prod"), &commit()).is_ok());
        assert_eq!(
            refusal(&[update("refs/heads/main")], Some("master")),
            "this app is deployed from `master`, not from `main` | push it as master: git push mini main:master"
        );
    }

    #[test]
    fn every_other_push_is_refused_with_what_to_do() {
        let cases = [
            (vec![], "the push brings nothing | git push mini main"),
            (
                vec![update("refs/heads/main"), update("refs/heads/master")],
                "main and master came in one push, and only one can be deployed | push it alone: git push mini main",
            ),
            (vec![update("refs/heads/main"), update("refs/tags/v1")], "one push deploys one branch | push it alone: git push mini main"),
            (
                vec![update("refs/heads/topic")],
                "`topic` is not deployed, only main or master is | push it as main: git push mini topic:main",
            ),
            (
                vec![update("refs/tags/v1.0")],
                "`v1.0` is a tag, and only a branch is deployed | \
                 push its commit as a branch: git push mini 'v1.0^{commit}:refs/heads/main'",
            ),
            (
                vec![update("refs/heads/deployed")],
                "`deployed` shows what is live and cannot be pushed | git push mini HEAD:main   (in a clone: origin)",
            ),
            (
                vec![deletion("refs/heads/deployed")],
                "`deployed` shows what is live and cannot be pushed | git push mini HEAD:main   (in a clone: origin)",
            ),
            (vec![update("refs/mini/releases/v1")], "refs below `refs/mini/` are mini's own | git push mini main"),
            (vec![update("refs/notes/x")], "`refs/notes/x` is not a branch, and only a branch is deployed | git push mini main"),
            (
                vec![deletion("refs/heads/main")],
                "`main` is what the app is deployed from and cannot be deleted | to remove the app itself: mini apps:destroy",
            ),
            (vec![deletion("refs/heads/topic")], "there is no branch `topic` to delete | "),
        ];

        for (updates, wanted) in cases {
            assert_eq!(refusal(&updates, None), wanted);
        }
    }

    #[test]
    fn a_hostile_branch_name_is_harmless_in_the_hint() {
        assert!(refusal(&[update("refs/heads/$(id)")], None).ends_with("git push mini '$(id):main'"));
        assert!(refusal(&[update("refs/heads/a'b")], None).ends_with(r"git push mini 'a\'\''b:main'"));
        assert!(refusal(&[update("refs/heads/\u{1b}]0;x")], None).contains("`\\u{1b}]0;x`"));
    }

    #[test]
    fn what_is_no_commit_is_refused_in_plain_words() {
        let cases = [
            (Some(ObjectKind::Tag), "`main` was pushed as an annotated tag, and a branch holds commits"),
            (Some(ObjectKind::Tree), "`main` was pushed as a folder, and a branch holds commits"),
            (Some(ObjectKind::Blob), "`main` was pushed as a single file, and a branch holds commits"),
            (None, "the commit of `main` did not arrive"),
        ];

        for (object, sentence) in cases {
            let err = plan(&[update("refs/heads/main")], None, &Facts { current: None, object }).unwrap_err();

            assert_eq!(err.sentence(), sentence);
        }
    }

    #[test]
    fn a_ref_that_moved_meanwhile_is_named() {
        let moved = Facts { current: Some(id('8')), ..commit() };

        let err = plan(&[update("refs/heads/main")], None, &moved).unwrap_err();

        assert_eq!((err.kind(), err.sentence()), (Kind::Busy, "main moved to 8888888 while you were pushing: pull and push again"));
        let gone = RefUpdate { old: Some(id('b')), ..update("refs/heads/main") };
        assert_eq!(plan(&[gone], None, &commit()).unwrap_err().sentence(), "main was reset while you were pushing: push again");
    }
}
