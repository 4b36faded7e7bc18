//! A terminal of a given size with a program in it, as a person has one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{eventually, signal};

/// The program is killed when this is dropped.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Starts a command whose three streams are a new terminal.
    pub fn of(mut command: Command, cols: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        resize(&master, cols, rows);
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let child = command.stdin(open()).stdout(open()).stderr(open()).spawn().unwrap();
        let keyboard = File::from(master);
        let mut output = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length) = output.read(&mut chunk) {
                if length == 0 || sender.send(chunk[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, keyboard, screen, seen: String::new() }
    }

    pub fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Changes the size, and tells the program, whose controlling terminal this is not.
    pub fn resize(&self, cols: u16, rows: u16) {
        resize(&OwnedFd::from(self.keyboard.try_clone().unwrap()), cols, rows);
        signal(self.child.id(), "WINCH");
    }

    /// Waits until `text` stands on the screen, and forgets what came until then.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            match self.screen.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(err) => panic!("{err}: {text:?} is not shown, but {:?}", self.seen),
            }
        }
    }

    /// Asserts of a shell in it that it sees this size and then the `next` one, each as (columns, rows), and that ^C ends a command.
    #[track_caller]
    pub fn serves_a_shell(&mut self, size: (u16, u16), next: (u16, u16)) {
        self.sees(size);
        self.resize(next.0, next.1);
        self.sees(next);
        self.types("echo be''gun; sleep 1000\r");
        self.shows("begun");
        self.types("\x03");
        self.types("echo in''terrupted\r");
        self.shows("interrupted");
    }

    #[track_caller]
    fn sees(&mut self, (cols, rows): (u16, u16)) {
        // The quotes tell the shell's own word from the echo of what was typed.
        self.types(&format!("until [ \"$(stty size)\" = '{rows} {cols}' ]; do :; done; echo si''zed\r"));
        self.shows("sized");
    }

    /// Waits for the program's end and returns its exit code.
    pub fn ends(&mut self) -> i32 {
        let status = eventually("the end of the program in the terminal", || self.child.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }

    pub fn kill_9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(master: &OwnedFd, cols: u16, rows: u16) {
    tcsetwinsize(master, Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}
