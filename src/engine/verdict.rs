//! Why a build failed, in one sentence about the Dockerfile that its author wrote.

use std::collections::VecDeque;

use super::progress::{BuildLine, Progress, shorten};
use super::symptom::Symptom;
use crate::error::Error;

/// What the builders wrap around the reason.
const WRAPPINGS: [&str; 5] = [
    "failed to solve with frontend dockerfile.v0: ",
    "failed to solve: ",
    "failed to create LLB definition: ",
    "failed to compute cache key: ",
    "failed to calculate checksum of ref ",
];

/// Turns a builder's error text and what was seen of the build into the pusher's error; the last lines printed are its details.
pub(super) fn failure<F: FnMut(BuildLine)>(text: &str, progress: &Progress<F>) -> Error {
    let reason = unwrap(text);
    let instruction = progress.suspect.as_ref().map(|step| shorten(&step.instruction));
    let err = syntax(reason)
        .or_else(|| missing_image(reason, progress.missing_image.as_deref()))
        .or_else(|| exit(reason, instruction.as_deref(), &progress.tail))
        .or_else(|| missing_file(reason, instruction.as_deref()))
        .unwrap_or_else(|| other(reason, instruction.as_deref()));
    err.details(progress.tail.iter().cloned()).because(text.to_owned())
}

/// Tells whether the classic builder refused the Dockerfile itself: then another builder would too.
pub(super) fn is_dockerfile_error(text: &str) -> bool {
    text.contains("dockerfile parse error")
}

fn unwrap(text: &str) -> &str {
    let mut reason = text.trim();
    while let Some(rest) = WRAPPINGS.iter().find_map(|wrapping| reason.strip_prefix(wrapping)) {
        reason = rest;
    }
    reason
}

fn syntax(reason: &str) -> Option<Error> {
    let (_, rest) = reason.split_once("dockerfile parse error ")?;
    let (place, what) = rest.split_once(": ")?;
    let line = place.trim_start_matches("on ").trim_start_matches("line ");
    Some(Error::failed(format!("the Dockerfile has an error on line {line}: {what}")))
}

fn missing_image(reason: &str, image: Option<&str>) -> Option<Error> {
    let from_flag = reason.strip_prefix("invalid from flag value ").and_then(|rest| rest.split_once(": ")).map(|(image, _)| image);
    let image = from_flag.or(image)?;
    let err = Error::failed(format!("the image `{image}` could not be pulled"));
    Some(err.hint(format!("check its name, and on the server: docker pull {image}")))
}

fn exit(reason: &str, instruction: Option<&str>, tail: &VecDeque<String>) -> Option<Error> {
    let (_, code) = reason.rsplit_once("exit code: ").or_else(|| reason.rsplit_once("returned a non-zero code: "))?;
    let code: i64 = code.trim().parse().ok()?;
    let sentence = format!("`{}` failed with exit code {code}", instruction.unwrap_or("RUN"));
    if code == 137 {
        return Some(Error::failed(sentence).hint("it was killed: most likely the machine ran out of memory"));
    }
    Some(match Symptom::read(tail) {
        Some(symptom) => Error::failed(format!("{sentence}: {}", symptom.clause)).hint(symptom.hint),
        None => Error::failed(sentence),
    })
}

fn missing_file(reason: &str, instruction: Option<&str>) -> Option<Error> {
    let instruction = instruction?;
    let path = reason.split('"').nth(1).filter(|_| reason.ends_with("not found")).map(|path| path.trim_start_matches('/'));
    let path = path.or_else(|| {
        let (_, rest) = reason.split_once("file not found in build context or excluded by .dockerignore: stat ")?;
        rest.split(": ").next()
    })?;
    Some(
        Error::failed(format!("`{instruction}` failed: `{path}` is not in your source")).hint("commit it, or look for it in .dockerignore"),
    )
}

fn other(reason: &str, instruction: Option<&str>) -> Error {
    Error::failed(match instruction {
        Some(instruction) => format!("`{instruction}` failed: {reason}"),
        None => format!("the build failed: {reason}"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::progress::Step;
    use super::*;

    fn sentence(text: &str, instruction: Option<&str>, image: Option<&str>) -> String {
        let mut progress = Progress::new(|_| {});
        progress.suspect = instruction.map(|instruction| Step::new("2/2", instruction));
        progress.missing_image = image.map(str::to_owned);
        failure(text, &progress).to_string()
    }

    #[test]
    fn a_failed_command_is_named_with_its_exit_code() {
        for text in [
            "executor failed running [/bin/sh -c npm ci]: exit code: 1",
            "failed to solve: process \"/bin/sh -c npm ci\" did not complete successfully: exit code: 1",
            "The command '/bin/sh -c npm ci' returned a non-zero code: 1",
        ] {
            assert_eq!(sentence(text, Some("RUN npm ci"), None), "`RUN npm ci` failed with exit code 1");
        }
    }

    #[test]
    fn what_the_command_printed_last_is_its_cause() {
        let mut progress = Progress::new(|_| {});
        progress.suspect = Some(Step::new("2/2", "RUN npm ci"));
        progress.tail.push_back("/bin/sh: npm: not found".to_owned());

        let err = failure("executor failed running [/bin/sh -c npm ci]: exit code: 127", &progress);

        assert_eq!(err.sentence(), "`RUN npm ci` failed with exit code 127: there is no program `npm` in its image");
        assert_eq!(err.next_step(), Some("begin FROM an image that has npm, or install it in an earlier RUN"));
    }

    #[test]
    fn a_syntax_error_is_told_with_its_line() {
        for text in [
            "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: unknown instruction: RUNN",
            "failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN",
            "dockerfile parse error line 2: unknown instruction: RUNN",
        ] {
            assert_eq!(sentence(text, None, None), "the Dockerfile has an error on line 2: unknown instruction: RUNN");
        }
    }

    #[test]
    fn an_image_that_is_not_there_is_named() {
        let text = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: failed to do request: Head \"https://…\": no such host";

        assert_eq!(sentence(text, None, Some("foo:1")), "the image `foo:1` could not be pulled");
        assert_eq!(sentence("invalid from flag value foo:1: Get x", Some("COPY a b"), None), "the image `foo:1` could not be pulled");
    }

    #[test]
    fn a_file_that_is_not_in_the_source_is_named() {
        let kit = "failed to compute cache key: \"/nope\" not found: not found";
        let classic = "COPY failed: file not found in build context or excluded by .dockerignore: stat nope: file does not exist";

        for text in [kit, classic] {
            assert_eq!(sentence(text, Some("COPY nope /"), None), "`COPY nope /` failed: `nope` is not in your source");
        }
    }
}
