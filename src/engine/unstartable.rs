//! Why the engine would not start a container, in words about the Dockerfile that its author wrote.

use crate::error::{Error, Kind};

/// Turns the engine's own refusal into the likely cause; what it says of itself (busy, away) stays.
pub(super) fn explain(err: Error) -> Error {
    if err.kind() != Kind::Failed {
        return err;
    }
    match cause(err.sentence()) {
        Some((sentence, hint)) => Error::failed(sentence).hint(hint).because(err),
        None => err,
    }
}

fn cause(text: &str) -> Option<(String, &'static str)> {
    let (_, text) = text.split_once("refused: ")?;
    if text.contains("No command specified") || text.contains("no command specified") {
        return Some(("the image has no command to start".into(), "end the Dockerfile with a CMD, or add a `Procfile` with web: …"));
    }
    if let Some(rest) = text.split_once("unable to find user ").map(|(_, rest)| rest) {
        let user = rest.split(':').next().unwrap_or(rest);
        return Some((format!("the image has no user `{user}`"), "let the Dockerfile RUN adduser before its USER line"));
    }
    if let Some(rest) = text.split_once("Cannot mkdir: ").map(|(_, rest)| rest) {
        let path = rest.split(' ').next().unwrap_or(rest);
        return Some((format!("`{path}` in the image is no folder to work in"), "name a folder in the Dockerfile's WORKDIR"));
    }
    let program = text.split_once("exec: \"").and_then(|(_, rest)| rest.split_once('"')).map(|(program, _)| program);
    if let Some(program) = program {
        return Some(if text.contains("permission denied") {
            (format!("`{program}` in the image is not executable"), "let the Dockerfile RUN chmod +x on the file that CMD names")
        } else if text.contains("exec format error") {
            (format!("`{program}` is for another machine than this one, or a script without #!/bin/sh"), "build it in the Dockerfile")
        } else {
            (format!("there is no program `{program}` in the image"), "check CMD in the Dockerfile, or the Procfile")
        });
    }
    let (_, why) = text.split_once("OCI runtime create failed: ")?;
    let why = why.trim_end_matches(": unknown").rsplit(": ").next().unwrap_or(why);
    Some((format!("its container could not be started: {why}"), "try it on your own machine: docker build -t app . && docker run app"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_the_engine_is_said_in_words_of_the_dockerfile() {
        for (text, sentence) in [
            ("No command specified", "the image has no command to start"),
            ("unable to find user nosuch: no matching entries in passwd file", "the image has no user `nosuch`"),
            ("Cannot mkdir: /etc/passwd is not a directory", "`/etc/passwd` in the image is no folder to work in"),
            (
                "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"nope\": executable file not found in $PATH: unknown",
                "there is no program `nope` in the image",
            ),
            (
                "failed to create shim: OCI runtime create failed: runc create failed: exec: \"/start\": permission denied: unknown",
                "`/start` in the image is not executable",
            ),
            (
                "OCI runtime create failed: runc create failed: mounting: no space left on device: unknown",
                "its container could not be started: no space left on device",
            ),
        ] {
            let err = explain(Error::failed(format!("the Docker Engine refused: {text}")));
            assert_eq!(err.sentence(), sentence);
            assert!(err.next_step().is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_and_what_is_not_the_images_fault_stays() {
        let strange = explain(Error::failed("the Docker Engine refused: no"));
        let busy = explain(Error::busy("the Docker Engine refused: No command specified"));

        assert_eq!(strange.sentence(), "the Docker Engine refused: no");
        assert_eq!(busy.kind(), Kind::Busy);
    }
}
