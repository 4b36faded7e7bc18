//! What the engine holds of one server, asked with the ordinary client.

use std::process::Command;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The engine's things with one `mini.instance` label.
pub struct Docker {
    filter: String,
}

impl Docker {
    pub fn of_instance(instance: &str) -> Self {
        assert!(!instance.is_empty(), "the server has no instance yet");
        Docker { filter: format!("label=mini.instance={instance}") }
    }

    pub fn containers(&self) -> Vec<String> {
        lines(&["ps", "-aq", "--no-trunc", "--filter", &self.filter])
    }

    /// The containers of a release, such as `v3`.
    #[cfg(feature = "failpoints")]
    pub fn containers_of(&self, release: &str) -> Vec<String> {
        lines(&["ps", "-aq", "--no-trunc", "--filter", &self.filter, "--filter", &format!("label=mini.release={release}")])
    }

    pub fn images(&self) -> Vec<String> {
        lines(&["images", "-q", "--no-trunc", "--filter", &self.filter])
    }

    pub fn networks(&self) -> Vec<String> {
        lines(&["network", "ls", "-q", "--no-trunc", "--filter", &self.filter])
    }

    pub fn volumes(&self) -> Vec<String> {
        lines(&["volume", "ls", "-q", "--filter", &self.filter])
    }

    pub fn leftovers(&self) -> Vec<String> {
        [self.containers(), self.images(), self.networks(), self.volumes()].concat()
    }

    pub fn remove_all(&self) {
        type List = fn(&Docker) -> Vec<String>;
        let kinds: [(&[&str], List); 4] = [
            (&["rm", "-fv"], Docker::containers),
            (&["network", "rm"], Docker::networks),
            (&["volume", "rm"], Docker::volumes),
            (&["rmi", "-f"], Docker::images),
        ];
        for (verb, list) in kinds {
            let ids = list(self);
            if !ids.is_empty() {
                let _ = Command::new("docker").args(verb).args(ids).output();
            }
        }
    }

    /// Takes a name away again, and the image with its last one.
    pub fn untag(name: &str) {
        lines(&["rmi", name]);
    }

    /// `docker exec ID WORDS`, such as a look at a file of a running app.
    pub fn exec(id: &str, words: &[&str]) -> Vec<String> {
        lines(&[&["exec", id], words].concat())
    }

    /// `docker kill ID`
    pub fn kill(id: &str) {
        lines(&["kill", id]);
    }

    /// When a container's process ended last, by this machine's clock.
    pub fn ended_at(id: &str) -> SystemTime {
        let at = OffsetDateTime::parse(&Self::inspect(id, "{{.State.FinishedAt}}"), &Rfc3339);
        at.unwrap().into()
    }

    /// `docker inspect -f FORMAT ID`
    pub fn inspect(id: &str, format: &str) -> String {
        lines(&["inspect", "-f", format, id]).join("\n")
    }
}

#[track_caller]
fn lines(words: &[&str]) -> Vec<String> {
    let output = Command::new("docker").args(words).output().unwrap();
    assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
