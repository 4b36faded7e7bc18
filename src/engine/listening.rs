//! What the processes of a container really listen on: the answer to "why does my app not answer?".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::StreamExt;

use super::Engine;
use crate::error::Result;
use crate::model::ContainerId;

/// `TCP_LISTEN` in `include/net/tcp_states.h`.
const LISTEN: &str = "0A";
/// The engine's own resolver, inside of each container on a network of its own.
const EMBEDDED_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
/// A table of 100,000 sockets is no answer.
const MAX_TABLE_BYTES: usize = 1 << 20;

impl Engine {
    /// Lists the TCP addresses on which a container listens, in order; nothing when it does not run.
    pub async fn listening(&self, container: &ContainerId) -> Result<Vec<SocketAddr>> {
        let Some(pid) = self.inspect(container).await?.and_then(|state| state.pid) else { return Ok(Vec::new()) };
        match host_table(pid).await {
            Some(table) => Ok(parse(&table)),
            None => self.listening_inside(container).await,
        }
    }

    /// Asks inside, where the host's `/proc` is not readable or is another machine's.
    pub(super) async fn listening_inside(&self, container: &ContainerId) -> Result<Vec<SocketAddr>> {
        let command = vec!["cat", "/proc/net/tcp", "/proc/net/tcp6"];
        let exec = CreateExecOptions { cmd: Some(command), attach_stdout: Some(true), ..CreateExecOptions::default() };
        let work = |docker: bollard::Docker| async move {
            let exec = docker.create_exec(container.as_str(), exec).await?;
            let mut table = Vec::new();
            if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&exec.id, None).await? {
                while let Some(piece) = output.next().await {
                    table.extend_from_slice(&piece?.into_bytes());
                    if table.len() > MAX_TABLE_BYTES {
                        break;
                    }
                }
            }
            Ok(table)
        };
        Ok(parse(&String::from_utf8_lossy(&self.call(work).await?)))
    }
}

async fn host_table(pid: u32) -> Option<String> {
    let v4 = tokio::fs::read_to_string(format!("/proc/{pid}/net/tcp")).await.ok()?;
    let v6 = tokio::fs::read_to_string(format!("/proc/{pid}/net/tcp6")).await.unwrap_or_default();
    Some(v4 + &v6)
}

/// Reads the listening sockets of `/proc/net/tcp` and `/proc/net/tcp6` (`proc_net_tcp(5)`), one after the other.
fn parse(table: &str) -> Vec<SocketAddr> {
    let socket = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let (_, local, _, state) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
        let (address, port) = local.split_once(':').filter(|_| state == LISTEN)?;
        Some(SocketAddr::new(parse_address(address)?, u16::from_str_radix(port, 16).ok()?))
    };
    let mut sockets: Vec<SocketAddr> = table.lines().filter_map(socket).filter(|socket| socket.ip() != EMBEDDED_DNS).collect();
    sockets.sort_unstable();
    sockets.dedup();
    sockets
}

/// Addresses are words of 32 bits, each printed in the host's byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |n: usize| u32::from_str_radix(hex.get(n * 8..n * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            // `::ffff:127.0.0.1`, as Java binds, is loopback too.
            Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_read_and_the_embedded_resolver_is_left_out() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:9D2B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:0BB8 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:1388 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000\n";

        let sockets: Vec<String> = parse(table).iter().map(ToString::to_string).collect();

        assert_eq!(sockets, ["127.0.0.1:3000", "[::]:5000", "[::1]:8080"]);
    }

    #[test]
    fn nonsense_is_no_socket() {
        assert_eq!(parse("0: zz:1388 0:0 0A\n0: 0100007F 0:0 0A\ncat: can't open '/proc/net/tcp6'\n"), []);
    }
}
