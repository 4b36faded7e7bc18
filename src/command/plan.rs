//! How the plan of a build looks: what was detected, what it runs, and the Dockerfile last, as it is.

use super::answer::Plan;
use super::look::Look;
use super::table::pairs;
use crate::model::plain;

pub(super) fn plan(plan: &Plan, look: &Look) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let mut rows = vec![
        ("app", plan.app.to_string()),
        ("release", plan.release.to_string()),
        ("commit", or_dash(plan.commit.as_ref().map(ToString::to_string))),
        ("kind", plan.description.clone()),
        ("port", or_dash(plan.port.map(|port| port.to_string()))),
    ];
    rows.extend(plan.processes.iter().map(|row| {
        let command = row.command.as_deref().unwrap_or("the image's own command");
        ("process", format!("{} × {}: {command}", row.process, row.quantity))
    }));
    rows.extend(plan.release_command.iter().map(|command| ("before", command.clone())));
    rows.extend(plan.warnings.iter().map(|warning| ("warning", warning.clone())));
    let dockerfile = plan.dockerfile.lines().fold(String::new(), |text, line| text + &plain(line) + "\n");
    format!("{}\n{dockerfile}", pairs(look, &rows))
}

#[cfg(test)]
mod tests {
    use super::super::answer::FormationRow;
    use super::*;
    use crate::model::Version;

    #[test]
    fn the_dockerfile_stands_below_what_was_made_of_it() {
        let worker = FormationRow { process: "worker".into(), quantity: 0, command: Some("exec ./work".into()) };
        let shown = Plan {
            app: "blog".parse().unwrap(),
            release: Version(3),
            commit: None,
            description: "Dockerfile app".into(),
            port: Some(5000),
            processes: vec![worker],
            release_command: Some("exec ./migrate".into()),
            warnings: vec![],
            dockerfile: "FROM busybox\nRUN printf '\u{1b}[31m'\n".into(),
        };

        let text = plan(&shown, &Look::default());

        let words: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(words[5..7], ["process worker × 0: exec ./work", "before exec ./migrate"]);
        assert_eq!(words[7..9], ["", "FROM busybox"]);
        assert!(!text.contains('\u{1b}'));
    }
}
