//! How answers, events and errors look: one renderer for ssh and the command line.

use std::time::Duration;

use super::answer::{
    Answer, AppDetails, CertificateRow, DomainRow, Done, NewToken, ProcessRow, PruneRow, RegistryRow, ServerStatus, StorageRow, WhoAmI,
};
use super::call::Event;
use super::history;
use super::look::Look;
use super::paint::Paint;
use super::plan::plan;
use super::table::{pairs, table};
use super::top::top;
use crate::error::Error;
use crate::model::size::{in_words, megabytes};
use crate::model::{AppName, Stamp, plain};

/// Renders a value for stdout: JSON on one line, or aligned text. Ends with a newline unless it is empty.
#[must_use]
pub fn render_answer(answer: &Answer, look: &Look) -> String {
    if look.json { json_of(answer) } else { text_of(answer, look) }
}

/// Renders an event; the flag tells whether it is talk (stderr) rather than data (stdout).
#[must_use]
pub fn render_event(event: &Event, look: &Look) -> (bool, String) {
    let (json, paint) = (look.json, Paint::of(look));
    match event {
        Event::Talk(text) => (true, format!("{}\n", paint.talk(&plain(text)))),
        Event::Stage(_) => (true, String::new()),
        Event::Released(released) if json => (false, line_of_json(released)),
        Event::Released(released) => (false, format!("{}\n", plain(&released.url))),
        Event::Say(text) if json => (false, line_of_json(&serde_json::json!({ "message": text }))),
        Event::Say(text) => (false, format!("{}\n", plain(text))),
        Event::Check(check) if json => (false, line_of_json(check)),
        Event::Check(check) => (false, format!("{}\n", paint.check(check))),
        Event::Log(record) if json => (false, line_of_json(record)),
        Event::Log(record) => (false, format!("{}\n", paint.log(record))),
    }
}

/// Renders an error for stderr: the sentence, its details, then what to do next.
#[must_use]
pub fn render_error(err: &Error, look: &Look) -> String {
    let paint = Paint::of(look);
    let details = err.detail_lines().iter().map(|line| format!("       {}", plain(line)));
    let sentence = std::iter::once(format!("{} {}", paint.alarm("mini:"), plain(err.sentence())));
    let hint = err.next_step().into_iter().flat_map(str::lines).map(|line| format!("      {}", paint.advice(&plain(line))));
    lines_of(sentence.chain(details).chain(hint))
}

fn lines_of(lines: impl Iterator<Item = String>) -> String {
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

fn line_of_json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(value).expect("answers hold nothing that JSON cannot");
    format!("{text}\n")
}

/// The variant's name is for the wire: people get the value itself.
fn json_of(answer: &Answer) -> String {
    match answer {
        Answer::Apps(rows) => line_of_json(rows),
        Answer::App(details) => line_of_json(details),
        Answer::Processes(rows) => line_of_json(rows),
        Answer::Formation(rows) => line_of_json(rows),
        Answer::Config(rows) => line_of_json(rows),
        Answer::Entries(entries) => line_of_json(entries),
        Answer::Text(text) => line_of_json(text),
        Answer::Plan(plan) => line_of_json(plan),
        Answer::Releases(rows) => line_of_json(rows),
        Answer::Release(release) => line_of_json(release),
        Answer::Builds(rows) => line_of_json(rows),
        Answer::Keys(rows) => line_of_json(rows),
        Answer::Tokens(rows) => line_of_json(rows),
        Answer::NewToken(token) => line_of_json(token),
        Answer::Registries(rows) => line_of_json(rows),
        Answer::Domains(rows) => line_of_json(rows),
        Answer::Certificates(rows) => line_of_json(rows),
        Answer::Storage(rows) => line_of_json(rows),
        Answer::WhoAmI(who) => line_of_json(who),
        Answer::Status(status) => line_of_json(status),
        Answer::Pruned(rows) => line_of_json(rows),
        Answer::Top(rows) => line_of_json(rows),
        Answer::Version(version) => line_of_json(version),
        Answer::Done(done) => line_of_json(done),
    }
}

fn text_of(answer: &Answer, look: &Look) -> String {
    match answer {
        Answer::Apps(rows) if rows.is_empty() => "no apps yet: git push mini main makes one\n".into(),
        Answer::Apps(rows) => table(
            look,
            &["APP", "RELEASE", "STATE", "RELEASED", "URL"],
            rows.iter()
                .map(|row| vec![row.name.to_string(), or_dash(row.release), row.state.clone(), ago(row.released_at), row.url.clone()]),
        ),
        Answer::App(details) => app_details(details, look),
        Answer::Processes(rows) => processes(rows, look),
        Answer::Formation(rows) => table(
            look,
            &["PROCESS", "QUANTITY", "COMMAND"],
            rows.iter().map(|row| {
                let command = row.command.as_deref().unwrap_or("the image's own");
                vec![row.process.clone(), row.quantity.to_string(), command.to_owned()]
            }),
        ),
        Answer::Config(rows) if rows.is_empty() => "no config variables: config:set APP KEY=VALUE makes one\n".into(),
        Answer::Config(rows) => lines_of(rows.iter().map(|row| format!("{}={}", row.name, row.value.as_deref().unwrap_or("••••••••")))),
        Answer::Entries(entries) => lines_of(entries.iter().map(|entry| format!("{}={}", entry.name, entry.value))),
        Answer::Text(text) => format!("{text}\n"),
        Answer::Plan(shown) => plan(shown, look),
        Answer::Releases(rows) if rows.is_empty() => "no releases yet: git push mini main makes the first\n".into(),
        Answer::Releases(rows) => table(
            look,
            &["RELEASE", "STATE", "WHAT", "COMMIT", "BY", "WHEN"],
            rows.iter().map(|row| {
                let commit = row.commit.as_ref().map_or_else(|| "-".into(), |commit| commit.short().to_owned());
                let what = match &row.reason {
                    Some(reason) => format!("{}: {reason}", row.description),
                    None => row.description.clone(),
                };
                vec![row.version.to_string(), row.state.to_string(), what, commit, row.by.clone(), ago(Some(row.created_at))]
            }),
        ),
        Answer::Release(release) => history::release(release, look),
        Answer::Builds(rows) => history::builds(rows, look),
        Answer::Keys(rows) if rows.is_empty() => "no keys yet: mini keys add NAME FILE\n".into(),
        Answer::Keys(rows) => table(
            look,
            &["NAME", "ROLE", "APPS", "LAST USED", "FINGERPRINT"],
            rows.iter().map(|row| {
                vec![
                    row.name.clone(),
                    row.role.to_string(),
                    apps_of(row.apps.as_deref()),
                    ago(row.last_used_at),
                    row.fingerprint.to_string(),
                ]
            }),
        ),
        Answer::Tokens(rows) if rows.is_empty() => "no API keys yet: mini tokens:create NAME\n".into(),
        Answer::Tokens(rows) => table(
            look,
            &["NAME", "ROLE", "APPS", "LAST USED", "EXPIRES", "ID"],
            rows.iter().map(|row| {
                vec![
                    row.name.clone(),
                    row.role.to_string(),
                    apps_of(row.apps.as_deref()),
                    ago(row.last_used_at),
                    row.expires_at.map_or_else(|| "never".into(), end_of),
                    row.id.to_string(),
                ]
            }),
        ),
        Answer::NewToken(token) => new_token(token),
        Answer::Registries(rows) if rows.is_empty() => "no logins: registry:login HOST USERNAME - makes one\n".into(),
        Answer::Registries(rows) => registries(rows, look),
        Answer::Domains(rows) => domains(rows, look),
        Answer::Certificates(rows) => certificates(rows, look),
        Answer::Storage(rows) => storage(rows, look),
        Answer::WhoAmI(who) => who_am_i(who),
        Answer::Status(status) => server_status(status, look),
        Answer::Top(rows) => top(rows, look),
        Answer::Pruned(rows) => pruned(rows, look),
        Answer::Version(version) => format!("mini {}\n", version.version),
        Answer::Done(done) => outcome(done),
    }
}

fn processes(rows: &[ProcessRow], look: &Look) -> String {
    if rows.is_empty() {
        return "no processes: nothing was released yet, or the app is stopped or scaled to none\n".into();
    }
    let row = |row: &ProcessRow| {
        let (release, restarts, container) = (row.release.to_string(), row.restarts.to_string(), row.container.short().to_owned());
        vec![row.process.clone(), release, row.state.clone(), ago(row.since), restarts, container, row.address.clone()]
    };
    table(look, &["PROCESS", "RELEASE", "STATE", "SINCE", "RESTARTS", "CONTAINER", "ADDRESS"], rows.iter().map(row))
}

fn pruned(rows: &[PruneRow], look: &Look) -> String {
    table(
        look,
        &["WHAT", "REMOVED", "FREED"],
        rows.iter().map(|row| vec![row.what.clone(), or_dash(row.removed), row.freed_bytes.map_or_else(|| "-".into(), in_words)]),
    )
}

fn registries(rows: &[RegistryRow], look: &Look) -> String {
    let row = |row: &RegistryRow| vec![row.host.to_string(), row.username.clone(), row.by.clone(), ago(Some(row.added_at))];
    table(look, &["REGISTRY", "USERNAME", "BY", "ADDED"], rows.iter().map(row))
}

fn domains(rows: &[DomainRow], look: &Look) -> String {
    if rows.is_empty() {
        return "no domains: domains:add APP DOMAIN gives it one\n".into();
    }
    let row = |row: &DomainRow| vec![row.domain.to_string(), row.by.clone(), ago(Some(row.added_at))];
    table(look, &["DOMAIN", "BY", "ADDED"], rows.iter().map(row))
}

fn certificates(rows: &[CertificateRow], look: &Look) -> String {
    if rows.is_empty() {
        return "no domains, so no certificates: domains:add APP DOMAIN gives it one\n".into();
    }
    let row = |row: &CertificateRow| {
        let expires = row.expires_at.map_or_else(|| "-".into(), end_of);
        vec![row.domain.to_string(), or_dash(row.source), or_dash(row.issuer.as_ref()), expires, row.state.clone()]
    };
    table(look, &["DOMAIN", "SOURCE", "ISSUER", "EXPIRES", "STATE"], rows.iter().map(row))
}

fn storage(rows: &[StorageRow], look: &Look) -> String {
    if rows.is_empty() {
        return "no storage: storage:add APP NAME:/path gives it some\n".into();
    }
    let row = |row: &StorageRow| {
        let path = row.path.clone().unwrap_or_else(|| "none: it was kept".to_owned());
        vec![row.name.to_string(), path, row.volume.clone()]
    };
    table(look, &["NAME", "PATH", "VOLUME"], rows.iter().map(row))
}

fn app_details(app: &AppDetails, look: &Look) -> String {
    let names =
        |apps: &[AppName]| if apps.is_empty() { "-".into() } else { apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") };
    let domains: Vec<String> = app.domains.iter().map(ToString::to_string).collect();
    let edge: Vec<String> = app.edge.iter().map(|entry| format!("{}={}", entry.name, entry.value)).collect();
    let storage: Vec<String> = app.storage.iter().map(ToString::to_string).collect();
    let ports: Vec<String> = app.host_ports.iter().map(u16::to_string).collect();
    pairs(
        look,
        &[
            ("app", app.name.to_string()),
            ("state", app.state.clone()),
            ("url", app.url.clone()),
            ("domains", if app.domains.is_empty() { "none of its own".into() } else { domains.join(", ") }),
            ("proxy", if app.edge.is_empty() { "forwards and nothing else".into() } else { edge.join(" ") }),
            ("git", app.git.clone()),
            ("release", or_dash(app.release)),
            ("commit", or_dash(app.commit.as_ref())),
            ("branch", app.deploy_branch.clone().unwrap_or_else(|| "the first of main and master to go live".into())),
            ("health", app.health.clone()),
            ("storage", if app.storage.is_empty() { "none".into() } else { storage.join(", ") }),
            ("reaches", names(&app.links)),
            ("reached by", names(&app.linked_from)),
            ("ports", if ports.is_empty() { "none of the machine's".into() } else { format!("{} of the machine", ports.join(", ")) }),
            ("image", app.image_bytes.map_or_else(|| "-".into(), |bytes| format!("{} MB", megabytes(bytes)))),
            ("created", app.created_at.to_string()),
        ],
    )
}

fn server_status(status: &ServerStatus, look: &Look) -> String {
    let mut rows = vec![("mini", status.version.clone()), ("up", span(status.started_at.age())), ("apps", status.apps.to_string())];
    rows.extend(status.entries.iter().map(|entry| (entry.name.as_str(), entry.value.clone())));
    let mut text = pairs(look, &rows);
    text += &lines_of(status.warnings.iter().map(|warning| format!("{} {warning}", Paint::of(look).alarm("!"))));
    text
}

fn who_am_i(who: &WhoAmI) -> String {
    let proof = match (&who.fingerprint, &who.token) {
        (Some(fingerprint), _) => fingerprint.to_string(),
        (None, Some(id)) => format!("API key {id}"),
        (None, None) => "the server's own socket".into(),
    };
    format!("{} ({}, {}) by {proof}\n", who.name, who.role, apps_of(who.apps.as_deref()))
}

/// The key stands alone in the last line, for `tail -n 1`.
fn new_token(new: &NewToken) -> String {
    let end = new.expires_at.map_or_else(String::new, |at| format!(", until {at}"));
    let reach = apps_of(new.apps.as_deref());
    format!("Created API key `{}` ({}, {reach}{end}). Keep it now, it is not shown again:\n{}\n", new.name, new.role, new.token.expose())
}

fn outcome(done: &Done) -> String {
    let next = done.next.iter().map(|line| format!("  {line}\n"));
    std::iter::once(format!("{}\n", done.message)).chain(next).collect()
}

fn apps_of(apps: Option<&[crate::model::AppName]>) -> String {
    match apps {
        None => "all apps".into(),
        Some([]) => "no app".into(),
        Some(apps) => apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

pub(super) fn ago(stamp: Option<Stamp>) -> String {
    stamp.map_or_else(|| "-".into(), |stamp| format!("{} ago", span(stamp.age())))
}

/// Tells when something ends, or that it has.
fn end_of(stamp: Stamp) -> String {
    let ahead = stamp.ahead();
    if ahead.is_zero() { format!("expired {} ago", span(stamp.age())) } else { format!("in {}", span(ahead)) }
}

/// Names a length of time by its largest unit: `45s`, `12m`, `3h`, `9d`.
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::ConfigRow;
    use super::*;

    #[test]
    fn a_masked_value_is_masked_in_both_forms() {
        let answer = Answer::Config(vec![ConfigRow { name: "KEY".into(), value: None }]);

        assert_eq!(render_answer(&answer, &Look::plain(false)), "KEY=••••••••\n");
        assert_eq!(render_answer(&answer, &Look::plain(true)), "[{\"name\":\"KEY\",\"value\":null}]\n");
    }

    #[test]
    fn an_error_ends_with_what_to_do_next() {
        let err = Error::not_found("app `blog` does not exist").hint("create it: mini apps create blog");

        assert_eq!(render_error(&err, &Look::default()), "mini: app `blog` does not exist\n      create it: mini apps create blog\n");
    }
}
