//! Who listens on a port, as far as `/proc` tells it.

use std::fs;

/// `TCP_LISTEN` in `include/net/tcp_states.h`.
const LISTEN: &str = "0A";

/// Names the program that listens on `port`, such as `` `nginx` (pid 812) ``; nothing where that is another user's secret.
pub fn of_port(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let sockets: Vec<String> = tables.iter().flat_map(|table| listening(table, port)).collect();
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.into_iter().find(|pid| holds(*pid, &sockets))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("`{}` (pid {pid})", name.trim_end()))
}

/// Returns the listening sockets on `port` of a table (`proc_net_tcp(5)`), as links in `/proc/PID/fd` name them.
fn listening(table: &str, port: u16) -> Vec<String> {
    let local = format!(":{port:04X}");
    let socket = |line: &str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_wanted = columns.get(1)?.ends_with(&local) && *columns.get(3)? == LISTEN;
        is_wanted.then(|| Some(format!("socket:[{}]", columns.get(9)?))).flatten()
    };
    table.lines().filter_map(socket).collect()
}

fn holds(pid: u32, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let mut links = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
    links.any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_found_by_its_port_and_a_connected_one_is_not() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n\
            1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n\
            2: 0100007F:1F91 00000000:0000 0A\n";

        assert_eq!(listening(table, 8080), ["socket:[4711]"]);
        assert_eq!(listening(table, 8081), Vec::<String>::new());
    }
}
