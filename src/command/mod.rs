//! The vocabulary: what can be asked, what is answered, and how both travel and look.

pub mod frame;
mod git_io;

pub use git_io::{GitIo, GitService};
