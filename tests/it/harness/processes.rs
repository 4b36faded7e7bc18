//! Processes of this machine: what they are called, whose children they are, and signals to them.

use std::process::Command;

/// `kill -NAME PID`
pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

/// The ids of a process's children.
pub fn children_of(pid: u32) -> Vec<u32> {
    let children = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = children.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect()
}

/// The ids of a process's children, their children and so on.
pub fn descendants_of(pid: u32) -> Vec<u32> {
    children_of(pid).into_iter().flat_map(|child| std::iter::once(child).chain(descendants_of(child))).collect()
}

/// Tells whether a process with `marker` in its arguments runs on this machine, in a build or a container too.
pub fn is_running(marker: &str) -> bool {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(marker))
}
