//! The access lines of `mini proxy`, in a file or on stdout.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::model::Stamp;
use crate::route::{AccessReader, Batch};

/// Opens what `--access-log` names: a file that grows, or `-` for stdout.
pub fn open(name: &Path) -> Result<File> {
    let opened = if name == Path::new("-") {
        std::io::stdout().as_fd().try_clone_to_owned().map(File::from)
    } else {
        OpenOptions::new().create(true).append(true).open(name)
    };
    opened.map_err(|err| Error::setup(format!("--access-log {} cannot be written: {err}", name.display())).because(err))
}

/// Writes lines until `proxy_ended`, and those that are left then. A file that takes none is told of once; nothing waits for it.
pub async fn write(mut requests: AccessReader, mut file: File, proxy_ended: CancellationToken) {
    let mut is_told = false;
    loop {
        let (batches, is_end) = tokio::select! {
            batches = requests.next() => (batches, false),
            () = proxy_ended.cancelled() => (requests.take(), true),
        };
        let text = in_writing(&batches);
        let written = tokio::task::spawn_blocking(move || (file.write_all(text.as_bytes()), file)).await;
        let Ok((written, same_file)) = written else { return };
        file = same_file;
        if let Some(err) = written.err().filter(|_| !is_told) {
            tracing::warn!(error = %err, "access lines cannot be written");
            is_told = true;
        }
        if is_end {
            return;
        }
    }
}

fn in_writing(batches: &[Batch]) -> String {
    let mut text = String::new();
    // Many come within a millisecond, whose print is the dearest part of a line.
    let mut moment: Option<(Stamp, String)> = None;
    for line in batches.iter().flat_map(Batch::lines) {
        let is_now = moment.as_ref().is_some_and(|(at, _)| *at == line.at);
        if !is_now {
            moment = Some((line.at, line.at.to_string()));
        }
        let print = moment.as_ref().map_or("", |(_, print)| print);
        for part in [print, " ", line.text, "\n"] {
            text.push_str(part);
        }
    }
    let lost: u64 = batches.iter().flat_map(Batch::lost).map(|(_, count)| count).sum();
    if lost > 0 {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} (skipped {lost} requests)", Stamp::now());
    }
    text
}
