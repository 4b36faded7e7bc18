//! What shells need to complete our words. They are few and hold colons, which bash takes for the ends of words.

use std::fmt::Write;

use super::verbs;
use crate::command::{WordEntry, catalog};
use crate::error::{Error, Result};

/// A shell that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl std::str::FromStr for Shell {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "bash" => Ok(Shell::Bash),
            "zsh" => Ok(Shell::Zsh),
            "fish" => Ok(Shell::Fish),
            _ => Err(Error::usage("only bash, zsh and fish are known").hint("mini completion bash|zsh|fish")),
        }
    }
}

/// Returns the script for a shell.
#[must_use]
pub fn script(shell: Shell) -> String {
    let mut words = verbs::entries();
    for word in catalog() {
        match words.iter_mut().find(|verb| verb.name == word.name) {
            Some(both) => both.flags.extend(word.flags.into_iter().filter(|flag| !both.flags.contains(flag)).collect::<Vec<_>>()),
            None => words.push(word),
        }
    }
    for word in &mut words {
        word.flags.push("--host".into());
        if word.takes_app {
            word.flags.extend(["--app".into(), "--remote".into()]);
        }
        word.flags.sort();
        word.flags.dedup();
    }
    words.sort_by(|a, b| a.name.cmp(&b.name));
    match shell {
        Shell::Bash => bash(&words),
        Shell::Zsh => zsh(&words),
        Shell::Fish => fish(&words),
    }
}

/// bash cuts words at colons (`COMP_WORDBREAKS`) and replaces only what is behind the last one: the line itself tells the words.
fn bash(words: &[WordEntry]) -> String {
    let names: Vec<&str> = words.iter().map(|word| word.name.as_str()).collect();
    let cases = words.iter().fold(String::new(), |mut text, word| {
        let _ = writeln!(text, "        {}) reply=\"{}\" ;;", word.name, word.flags.join(" "));
        text
    });
    format!(
        r#"# mini completion bash
_mini() {{
    local line=${{COMP_LINE:0:COMP_POINT}} typed cur reply="" word
    read -ra typed <<<"$line"
    [[ $line == *[[:space:]] ]] && typed+=("")
    cur=${{typed[${{#typed[@]}}-1]}}
    word=${{typed[1]}}
    if (( ${{#typed[@]}} == 2 )); then
        reply="{names}"
    elif [[ $cur == -* ]]; then
        [[ $word != *:* && " {names} " == *" $word:${{typed[2]}} "* ]] && word=$word:${{typed[2]}}
        case $word in
{cases}        esac
    fi
    COMPREPLY=($(compgen -W "$reply" -- "$cur"))
    if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
        local before=${{cur%"${{cur##*:}}"}}
        COMPREPLY=("${{COMPREPLY[@]#"$before"}}")
    fi
}}
complete -o default -F _mini mini
"#,
        names = names.join(" "),
    )
}

fn zsh(words: &[WordEntry]) -> String {
    let described = words.iter().fold(String::new(), |mut text, word| {
        let _ = writeln!(text, "    '{}:{}'", word.name.replace(':', "\\:"), quoted(&word.about));
        text
    });
    let cases = words.iter().fold(String::new(), |mut text, word| {
        let _ = writeln!(text, "    {}) compadd -- {} ;;", word.name, word.flags.join(" "));
        text
    });
    format!(
        "#compdef mini\n_mini() {{\n  local -a known\n  known=(\n{described}  )\n  if (( CURRENT == 2 )); then\n    _describe 'command' known\n  elif [[ $PREFIX == -* ]]; then\n    case ${{words[2]}} in\n{cases}    esac\n  else\n    _files\n  fi\n}}\ncompdef _mini mini\n"
    )
}

fn fish(words: &[WordEntry]) -> String {
    let mut text = "# mini completion fish\n".to_owned();
    for word in words {
        let _ = writeln!(text, "complete -c mini -n __fish_use_subcommand -f -a '{}' -d '{}'", word.name, quoted(&word.about));
        for flag in &word.flags {
            let _ = writeln!(text, "complete -c mini -n '__fish_seen_subcommand_from {}' -l {}", word.name, flag.trim_start_matches('-'));
        }
    }
    text
}

/// Our own sentences, as they can stand between single quotes.
fn quoted(about: &str) -> String {
    about.replace('\'', "’")
}
