//! Whether an app is kept off this machine, tried from inside a container.

use super::super::Platform;
use super::{bad, doubtful, good};
use crate::command::{Check, Verdict};
use crate::deploy::Reached;

const NAME: &str = "isolation";

impl Platform {
    pub(super) async fn check_isolation(&self) -> Vec<Check> {
        let (ssh, http) = (self.facts.ssh, self.facts.http);
        let reached = match self.deployer.try_isolation(ssh.port(), http.port()).await {
            Ok(Some(reached)) => reached,
            Ok(None) => {
                let seen = "not tried: there is no image here to try it with (busybox, alpine or an app's, with a shell)";
                return vec![doubtful(NAME, seen)];
            }
            Err(err) => return vec![doubtful(NAME, format!("not tried: {err}"))],
        };
        let mend = self.facts.firewall.as_ref().map(|firewall| format!("as root: {}", firewall.command()));
        // Loopback is no address of the machine that a container could try.
        judge(reached, ssh.port(), http.port(), http.ip().is_loopback(), mend.as_deref())
    }
}

/// `mend` is there if the firewall is on: what is open is then wrong, else it is meant so.
fn judge(reached: Reached, ssh: u16, http: u16, is_private: bool, mend: Option<&str>) -> Vec<Check> {
    let open = |what: String| match mend {
        Some(mend) => bad(NAME, what, mend),
        None => doubtful(NAME, format!("{what}: the firewall is off")),
    };
    let mut checks = vec![match (reached.proxy, is_private) {
        (true, _) => good(NAME, format!("an app reaches the proxy (port {http})")),
        (false, true) => doubtful(NAME, format!("apps do not reach the proxy: it listens on the loopback alone (port {http})")),
        (false, false) => {
            let seen = format!("an app does not reach the proxy (port {http}): it cannot call the public URL of another");
            bad(NAME, seen, mend.unwrap_or("look at this machine's own firewall rules"))
        }
    }];
    let kept_off = format!("an app reaches neither mini's ssh (port {ssh}) nor 169.254.169.254");
    if reached.ssh {
        checks.push(open(format!("an app reaches mini's own ssh (port {ssh})")));
    }
    if reached.metadata {
        checks.push(open("an app reaches 169.254.169.254, where clouds keep a machine's secrets".to_owned()));
    }
    if !reached.ssh && !reached.metadata {
        // A container that reaches nothing at all proves nothing.
        let verdict = if reached.proxy { Verdict::Good } else { Verdict::Doubtful };
        checks.push(Check { verdict, ..good(NAME, kept_off) });
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHUT: Reached = Reached { proxy: true, ssh: false, metadata: false };

    fn verdicts(reached: Reached, is_private: bool, is_on: bool) -> Vec<Verdict> {
        let mend = is_on.then_some("as root: mini firewall apply");
        let checks = judge(reached, 2222, 80, is_private, mend);
        for check in &checks {
            assert_eq!(check.verdict == Verdict::Bad, check.mend.is_some(), "{check:?}");
        }
        checks.into_iter().map(|check| check.verdict).collect()
    }

    #[test]
    fn an_open_port_is_bad_unless_the_firewall_is_meant_to_be_off() {
        use Verdict::{Bad, Doubtful, Good};
        assert_eq!(verdicts(SHUT, false, true), [Good, Good]);
        assert_eq!(verdicts(Reached { ssh: true, metadata: true, ..SHUT }, false, true), [Good, Bad, Bad]);
        assert_eq!(verdicts(Reached { ssh: true, ..SHUT }, false, false), [Good, Doubtful]);
    }

    #[test]
    fn a_container_that_reaches_nothing_proves_nothing() {
        use Verdict::{Bad, Doubtful};
        let nothing = Reached { proxy: false, ..SHUT };
        assert_eq!(verdicts(nothing, true, true), [Doubtful, Doubtful]);
        assert_eq!(verdicts(nothing, false, true), [Bad, Doubtful]);
    }
}
