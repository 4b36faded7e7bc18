//! Reads an app's Dockerfile before the engine does, and refuses what would reach outside of this server.

use super::procfile::process_table;
use crate::error::{Error, Result};
use crate::model::ProcessTable;

/// The name under which a plan's Dockerfile lies in the context.
const DOCKERFILE: &str = "Dockerfile";

const EXAMPLE: &str = "add a `Dockerfile` to the root of your source, for example:
  FROM busybox
  COPY . /www
  CMD httpd -f -p $PORT -h /www";

/// What the engine is asked to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildPlan {
    /// The Dockerfile's path in the context.
    pub dockerfile_name: String,
    /// What to put into the context in the Dockerfile's place, when it must not be built as it came.
    pub rewritten: Option<Vec<u8>>,
    /// What kind of app this is, as shown to the pusher: `Dockerfile app`.
    pub description: &'static str,
    /// What can be run of the image.
    pub process_table: ProcessTable,
}

/// Plans the build of a source whose root holds these files, or `None` where it does not.
pub fn plan(dockerfile: Option<&[u8]>, procfile: Option<&[u8]>) -> Result<BuildPlan> {
    let bytes = dockerfile.ok_or_else(|| Error::failed("there is no `Dockerfile` in the root of your source").hint(EXAMPLE))?;
    let text = std::str::from_utf8(bytes).map_err(|err| Error::failed("the `Dockerfile` is not UTF-8 text").because(err))?;
    if !text.trim_start_matches('\u{feff}').lines().any(is_instruction) {
        return Err(Error::failed("the `Dockerfile` is empty").hint(EXAMPLE));
    }
    Ok(BuildPlan {
        dockerfile_name: DOCKERFILE.to_owned(),
        rewritten: without_frontend(text)?,
        description: "Dockerfile app",
        process_table: process_table(procfile)?,
    })
}

fn is_instruction(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

/// Blanks the line that names the stock frontend (the engine has that built in, the line makes it pull from the Docker Hub);
/// another frontend would run a stranger's image as the builder (CVE-2024-23653), so it is refused.
fn without_frontend(text: &str) -> Result<Option<Vec<u8>>> {
    let Some((line, frontend)) = frontend(text) else { return Ok(None) };
    if !is_stock(frontend) {
        let sentence = format!("the `Dockerfile` asks for the build frontend `{}`, which is not allowed", frontend.escape_debug());
        return Err(Error::failed(sentence).hint("remove its `# syntax=` line"));
    }
    // The line stays, as a comment, so that line numbers in errors are still the author's.
    let rewritten: String = text.split_inclusive('\n').enumerate().map(|(n, kept)| if n == line { "#\n" } else { kept }).collect();
    Ok(Some(rewritten.into_bytes()))
}

/// Finds the line number and the value of the `syntax` directive. Like BuildKit it looks at the leading comments only, past a
/// shebang and a byte order mark, takes `#` and `//` comments, any letter case, and a JSON head (parser/directives.go).
fn frontend(text: &str) -> Option<(usize, &str)> {
    let text = text.trim_start_matches('\u{feff}');
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if number == 0 && line.starts_with("#!") {
            continue;
        }
        let Some(comment) = line.strip_prefix('#').or_else(|| line.strip_prefix("//")) else { break };
        let Some((name, value)) = comment.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("syntax") {
            return Some((number, value.trim()));
        }
    }
    json_frontend(text).map(|value| (0, value))
}

/// A Dockerfile may also begin with `{"syntax": "…"}`; no stock Dockerfile does, so its mere shape is enough.
fn json_frontend(text: &str) -> Option<&str> {
    text.trim_start().starts_with('{').then(|| text.trim_start().lines().next().unwrap_or_default())
}

fn is_stock(frontend: &str) -> bool {
    let name = frontend.strip_prefix("docker.io/").unwrap_or(frontend);
    let name = name.split(['@', ':']).next().unwrap_or_default();
    matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(dockerfile: Option<&[u8]>) -> Error {
        plan(dockerfile, None).unwrap_err()
    }

    #[test]
    fn a_plain_dockerfile_is_built_as_it_came() {
        let plan = plan(Some(b"# comment\nFROM busybox\n"), None).unwrap();

        assert_eq!((plan.dockerfile_name.as_str(), plan.rewritten, plan.description), ("Dockerfile", None, "Dockerfile app"));
        assert_eq!(plan.process_table, ProcessTable::default());
    }

    #[test]
    fn a_source_without_a_dockerfile_is_told_how_one_looks() {
        let err = refusal(None);

        assert_eq!(err.sentence(), "there is no `Dockerfile` in the root of your source");
        assert!(err.next_step().unwrap().contains("FROM busybox"));
    }

    #[test]
    fn the_stock_frontend_is_stripped_and_line_numbers_stay() {
        for head in
            ["# syntax=docker/dockerfile:1", "#Syntax = docker.io/docker/dockerfile:1.7-labs", "# syntax=docker/dockerfile@sha256:ab"]
        {
            let text = format!("{head}\n# escape=`\nFROM busybox\n");

            let plan = plan(Some(text.as_bytes()), None).unwrap();

            assert_eq!(plan.rewritten.unwrap(), b"#\n# escape=`\nFROM busybox\n");
        }
    }

    #[test]
    fn any_other_frontend_is_refused_however_it_is_written() {
        for text in [
            "# syntax=evil/frontend:1\nFROM a\n",
            "#!/x\n# syntax=evil/frontend:1\nFROM a\n",
            "\u{feff}# syntax=evil/frontend:1\nFROM a\n",
            "// syntax=evil/frontend:1\nFROM a\n",
            "# escape=\\\n# SYNTAX = docker/dockerfile-evil\nFROM a\n",
            "{\"syntax\": \"evil/frontend:1\"}\nFROM a\n",
            "# syntax=\nFROM a\n",
        ] {
            assert!(refusal(Some(text.as_bytes())).sentence().contains("which is not allowed"), "{text}");
        }
    }

    #[test]
    fn a_syntax_comment_below_the_head_is_only_a_comment() {
        assert_eq!(plan(Some(b"FROM a\n# syntax=evil/frontend:1\n"), None).unwrap().rewritten, None);
    }

    #[test]
    fn an_empty_or_binary_dockerfile_is_refused() {
        assert_eq!(refusal(Some(b"\n# nothing\n")).sentence(), "the `Dockerfile` is empty");
        assert_eq!(refusal(Some(b"FROM \xff\xfe")).sentence(), "the `Dockerfile` is not UTF-8 text");
    }
}
