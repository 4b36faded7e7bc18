//! The vocabulary: what can be asked, what is answered, and how both travel and look.

mod answer;
mod arguments;
mod assignment;
mod backlog;
mod call;
mod catalog;
mod check;
mod conversation;
pub mod frame;
mod git_io;
mod history;
mod limit;
mod look;
mod need;
mod paint;
mod plain_words;
mod plan;
mod render;
mod scaling;
mod selection;
mod table;
mod top;
mod vocabulary;
pub mod wire;
mod words;

pub use answer::{
    Answer, AppDetails, AppRow, BuildRow, CertificateRow, ConfigRow, DomainRow, Done, Entry, FormationRow, KeyRow, NewToken, Plan,
    ProcessRow, PruneRow, RegistryRow, ReleaseDetails, ReleaseRow, ServerHello, ServerStatus, StorageRow, TokenRow, TopRow, VersionInfo,
    WhoAmI,
};
pub use arguments::{ArgumentInfo, ArgumentKind, WordInfo, arguments_of_query, from_arguments, vocabulary};
pub use assignment::Assignment;
pub use backlog::{Batch, Listener, Teller, backlog, skipped};
pub use call::{Attached, Call, End, EndError, Event, Input, Lines, LogRecord, Output, RECEIVING, Released, Reply, Resizes, Terminal};
pub use catalog::{AppSlot, WordEntry, app_slot, catalog, with_app, word_of};
pub use check::{Check, Verdict};
pub use conversation::converse;
pub use git_io::{GitIo, GitService};
pub use limit::Limit;
pub use look::Look;
pub use need::Need;
pub use plain_words::OnOff;
pub use render::{render_answer, render_error, render_event, span};
pub use scaling::{Quantity, Scaling};
pub use selection::{LogSource, Selection, Since};
pub use vocabulary::Command;
pub use words::{Asked, end_of_own, known_word, parse_words, unknown_word, usage_error};
