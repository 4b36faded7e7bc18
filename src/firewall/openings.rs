//! The ports of the machine that are open to single apps, in a file of the data dir: root reads it without the database.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::model::BridgePrefix;

/// Lines of a bridge and a TCP port: `mini-0123456789 5432`.
const FILE: &str = "host-ports";

/// One port, open to what comes from one bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    pub bridge: String,
    pub port: u16,
}

/// Reads the file; a line that is not one of this server's bridges and a port counts for nothing, for root obeys the others.
pub fn read(data: &Path, bridges: &BridgePrefix) -> Result<Vec<Opening>> {
    let path = data.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter_map(|line| parse(line, bridges)).collect()),
        // Whatever else is wrong with the data dir is told when it is opened.
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(err) => Err(Error::failed(format!("{} cannot be read: {err}", path.display()))),
    }
}

/// Writes the file in one step.
pub fn write(data: &Path, openings: &[Opening]) -> Result<()> {
    let (path, new) = (data.join(FILE), data.join("host-ports.new"));
    let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
    let written = open().and_then(|mut file| file.write_all(text(openings).as_bytes()).and_then(|()| file.sync_all()));
    let renamed = written.and_then(|()| std::fs::rename(&new, &path));
    renamed.map_err(|err| Error::failed(format!("{} cannot be written: {err}", path.display())))
}

/// The file's text.
pub fn text(openings: &[Opening]) -> String {
    openings.iter().fold(String::new(), |mut text, Opening { bridge, port }| {
        writeln!(text, "{bridge} {port}").expect("a string takes all");
        text
    })
}

fn parse(line: &str, bridges: &BridgePrefix) -> Option<Opening> {
    let (bridge, port) = line.split_once(' ')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    bridges.is_of(bridge).then(|| Opening { bridge: bridge.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_line_that_says_more_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let openings = vec![Opening { bridge: "mini-0123456789".into(), port: 5432 }];

        assert_eq!(read(dir.path(), &BridgePrefix::default()).unwrap(), []);
        write(dir.path(), &openings).unwrap();
        assert_eq!(read(dir.path(), &BridgePrefix::default()).unwrap(), openings);

        for line in
            ["eth0 22", "mini-0123456789 0", "mini-0123456789 70000", "mini-+ 22", "mini-0123456789 22 -j ACCEPT", "mini-0123\t56789 1", ""]
        {
            assert_eq!(parse(line, &BridgePrefix::default()), None, "{line:?}");
        }
    }
}
