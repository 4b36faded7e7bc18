//! TCP options of every socket: small writes leave at once, and a peer whose machine vanished is noticed.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

const PROBE_AFTER: Duration = Duration::from_mins(1);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;

/// Turns Nagle's algorithm off and TCP keepalive on: five system calls. Connections inherit both from the socket that listens, from the
/// moment at which it has them (tcp(7)).
pub(super) fn watch_peer(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_inherit_what_the_listening_socket_has() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let accept = || {
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let stream = listener.accept().unwrap().0;
            let socket = SockRef::from(&stream);
            (socket.tcp_nodelay().unwrap(), socket.keepalive().unwrap(), socket.tcp_keepalive_time().unwrap())
        };
        assert!(!accept().0 && !accept().1);

        watch_peer(&listener).unwrap();

        assert_eq!(accept(), (true, true, PROBE_AFTER));
    }
}
