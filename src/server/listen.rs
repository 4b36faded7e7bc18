//! Listening sockets: the service manager's where it holds some, else our own, bound before anything else is done.

use std::io::ErrorKind;
use std::net::SocketAddr;

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket};

use super::{holder, setup};
use crate::config::{Https, Listen};
use crate::error::{Error, Result};

/// Connections that may wait to be taken in, as in a burst: the service manager's own number (`Backlog=` of systemd.socket(5)).
const BACKLOG: u32 = 4096;

/// The names of the sockets that were handed over, in their order (`sd_listen_fds(3)`).
const NAMES: &str = "LISTEN_FDNAMES";

/// Listening sockets that outlive this process: while it restarts, connections wait in their backlog.
///
/// A socket is known by its `FileDescriptorName=` (systemd.socket(5)): `ssh`, `http` or `https`.
pub struct Inherited {
    sockets: ListenFd,
    names: Vec<String>,
}

// === impl Inherited ===

impl Inherited {
    /// Takes what the environment says is ours; `LISTEN_PID` names another process's otherwise.
    #[must_use]
    pub fn from_env() -> Self {
        let names = std::env::var(NAMES).unwrap_or_default().split(':').map(str::to_owned).collect();
        Inherited { sockets: ListenFd::from_env(), names }
    }

    /// Takes the socket of this name, or binds one. Errors are of kind `Setup`.
    pub fn take_or_bind(&mut self, name: &str, listen: &Listen) -> Result<TcpListener> {
        match self.take(name)? {
            Some(listener) => Ok(listener),
            None => bind(name, listen),
        }
    }

    /// As [`take_or_bind`](Self::take_or_bind) for a socket that the server may go without: unless somebody asked for it.
    pub fn take_or_try(&mut self, name: &str, https: &Https) -> Result<Option<TcpListener>> {
        match self.take_or_bind(name, &https.listen) {
            Ok(listener) => Ok(Some(listener)),
            Err(err) if https.is_asked_for => Err(err),
            Err(err) => {
                setup::warn(&err, "apps are not served over https");
                Ok(None)
            }
        }
    }

    fn take(&mut self, name: &str) -> Result<Option<TcpListener>> {
        let Some(at) = self.names.iter().take(self.sockets.len()).position(|known| known == name) else { return Ok(None) };
        let unfit = |err: std::io::Error| {
            Error::setup(format!("the socket `{name}` that was handed over cannot be used: {err}"))
                .hint("it must be a listening TCP socket: ListenStream= of a socket unit")
        };
        let Some(listener) = self.sockets.take_tcp_listener(at).map_err(unfit)? else { return Ok(None) };
        listener.set_nonblocking(true).map_err(unfit)?;
        TcpListener::from_std(listener).map(Some).map_err(unfit)
    }
}

/// Binds the first of the addresses that this machine has; errors are of kind `Setup` and name the port.
fn bind(name: &str, listen: &Listen) -> Result<TcpListener> {
    let mut last = None;
    for address in &listen.0 {
        match listen_on(*address) {
            Ok(listener) => return Ok(listener),
            Err(err) if err.kind() == ErrorKind::AddrInUse => return Err(cannot(name, *address, &err)),
            Err(err) => last = Some(cannot(name, *address, &err)),
        }
    }
    Err(last.unwrap_or_else(|| Error::setup(format!("there is no address for {name}"))))
}

fn listen_on(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Without SO_REUSEPORT: a second server on the port must be an error, not a silent half.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Returns where a socket really listens, which matters for port 0.
pub fn address_of(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|err| Error::setup("a listening socket has no address").because(err))
}

fn cannot(name: &str, address: SocketAddr, err: &std::io::Error) -> Error {
    let port = address.port();
    match err.kind() {
        ErrorKind::AddrInUse => {
            let other = if port < 1024 { port + 8000 } else { port + 1 };
            let (holder, way) = match holder::of_port(port) {
                Some(holder) => (holder, "stop it"),
                None => ("another program".to_owned(), "stop it (`ss -ltnp` shows it)"),
            };
            Error::setup(format!("port {port} for {name} is taken by {holder}"))
                .hint(format!("{way}, or take another port: --{name} :{other}"))
        }
        ErrorKind::PermissionDenied => {
            Error::setup(format!("port {port} for {name} needs root")).hint(format!("take one above 1023: --{name} :8080"))
        }
        _ => Error::setup(format!("{name} cannot listen on {address}: {err}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_a_way_out() {
        let listen = Listen(vec!["127.0.0.1:0".parse().unwrap()]);
        let held = bind("http", &listen).unwrap();
        let taken = Listen(vec![address_of(&held).unwrap()]);

        let err = bind("http", &taken).unwrap_err();

        assert_eq!(err.exit_code(), 78);
        assert!(err.sentence().contains("taken"), "{err}");
        assert!(err.next_step().unwrap().contains("--http"), "{err}");
    }
}
