//! The vocabulary: what can be asked, what is answered, and how both travel and look.

mod answer;
mod call;
pub mod frame;
mod git_io;
mod render;
mod vocabulary;
pub mod wire;
mod words;

pub use answer::{Answer, AppDetails, AppRow, ConfigRow, Done, Entry, KeyRow, ProcessRow, ReleaseRow, ServerStatus, VersionInfo, WhoAmI};
pub use call::{Call, End, Event, Input, Lines, LogRecord, Reply, Terminal};
pub use git_io::{GitIo, GitService};
pub use render::{megabytes, render_answer, render_error, render_event};
pub use vocabulary::{Assignment, Command, Need};
pub use words::{Asked, parse_words};
