//! How an app's deploys and one of its releases look to people.

use std::time::Duration;

use super::answer::{BuildRow, ReleaseDetails};
use super::look::Look;
use super::render::{ago, or_dash, span};
use super::table::{pairs, table};

pub(super) fn builds(rows: &[BuildRow], look: &Look) -> String {
    if rows.is_empty() {
        return "no builds yet: git push mini main makes the first\n".into();
    }
    table(
        look,
        &["BUILD", "STATE", "WHAT", "RELEASE", "COMMIT", "BY", "WHEN", "TOOK"],
        rows.iter().map(|row| {
            let commit = row.commit.as_ref().map_or_else(|| "-".into(), |commit| commit.short().to_owned());
            let what = match &row.reason {
                Some(reason) => format!("{}: {reason}", row.kind),
                None => row.kind.to_string(),
            };
            vec![
                row.id.to_string(),
                row.state.clone(),
                what,
                or_dash(row.release),
                commit,
                row.by.clone(),
                ago(Some(row.started_at)),
                span(Duration::from_millis(row.took_ms)),
            ]
        }),
    )
}

pub(super) fn release(release: &ReleaseDetails, look: &Look) -> String {
    let config = if release.config.is_empty() { "-".into() } else { release.config.join(", ") };
    let mut rows = vec![
        ("release", format!("{} of {}", release.version, release.app)),
        ("state", release.state.to_string()),
        ("kind", release.kind.to_string()),
        ("what", release.description.clone()),
        ("commit", or_dash(release.commit.as_ref())),
        ("image", release.image.to_string()),
        ("tag", release.image_tag.clone()),
        ("config", config),
        ("by", release.by.clone()),
        ("created", release.created_at.to_string()),
        ("live", or_dash(release.live_at)),
        ("retired", or_dash(release.retired_at)),
        ("build", or_dash(release.build)),
    ];
    if let Some(reason) = &release.reason {
        rows.push(("reason", reason.clone()));
    }
    pairs(look, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CommitId, DeployId, ReleaseKind, Stage, Stamp, Version};

    #[test]
    fn a_deploy_is_a_line_with_its_number_and_a_failed_one_says_why() {
        let commit: CommitId = "0123456789".repeat(4).parse().unwrap();
        let row = BuildRow {
            id: DeployId(12),
            kind: ReleaseKind::Push,
            state: "failed".into(),
            stage: Stage::Building,
            release: None,
            commit: Some(commit),
            by: "anna".into(),
            started_at: Stamp::now(),
            ended_at: Some(Stamp::now()),
            took_ms: 61_500,
            reason: Some("`RUN false` failed with exit code 1".into()),
        };
        let live = BuildRow { id: DeployId(11), state: "done".into(), release: Some(Version(3)), reason: None, ..row.clone() };

        let text = builds(&[row, live], &Look::default());

        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect()).collect();
        assert_eq!(lines[1], ["12", "failed", "push: `RUN false` failed with exit code 1", "-", "0123456", "anna", "0s ago", "1m"]);
        assert_eq!(lines[2], ["11", "done", "push", "v3", "0123456", "anna", "0s ago", "1m"]);
        assert!(builds(&[], &Look::default()).contains("git push"));
    }
}
