//! A source, whoever brought it: a spooled build context, what is in it, and the rules and limits under which it was made.

mod archive;
mod budget;
mod context;
mod emit;
mod entries;
mod extended;
mod feed;
mod ignore;
mod manifest;
mod pack;
mod path;
mod pattern;
mod squeeze;
mod writer;

pub use archive::{Upload, check_target, respool};
pub use budget::{Budget, Spent};
pub use context::Context;
pub use entries::{ContextEntries, ContextEntry, EntryKind};
pub use ignore::Ignore;
pub use manifest::Manifest;
pub use pack::{Packed, Packer};
pub use writer::ContextWriter;

/// The file with the ignore rules, at the root of a source.
pub const IGNORE_FILE: &str = ".dockerignore";

/// The largest root file whose content detection may read; larger ones are only listed.
pub const MAX_ROOT_FILE_BYTES: u64 = 64 * crate::model::limits::KIB;

/// Root files that are for `mini` or the builder: read even when `.dockerignore` leaves them out of the image.
pub const CONTROL_FILES: &[&str] = &["Dockerfile", IGNORE_FILE, "Procfile", "app.json", "mini.toml"];

/// Root files from which detection learns how to build, when they are part of the context.
const DETECTION_FILES: &[&str] = &[
    ".node-version",
    ".nvmrc",
    ".python-version",
    ".ruby-version",
    ".tool-versions",
    "Cargo.toml",
    "Gemfile",
    "Pipfile",
    "build.gradle",
    "build.gradle.kts",
    "bun.lockb",
    "composer.json",
    "deno.json",
    "go.mod",
    "index.html",
    "index.php",
    "mix.exs",
    "package.json",
    "pnpm-workspace.yaml",
    "pom.xml",
    "pyproject.toml",
    "requirements.txt",
    "runtime.txt",
    "rust-toolchain.toml",
    "tsconfig.json",
    "uv.toml",
];

/// Dockerfile and `.dockerignore` stay in every context: without them it could not be built.
fn is_always_kept(path: &str) -> bool {
    path == "Dockerfile" || path == IGNORE_FILE
}

fn is_control_file(path: &str) -> bool {
    CONTROL_FILES.contains(&path)
}

fn is_read_by_detection(path: &str) -> bool {
    is_control_file(path) || DETECTION_FILES.contains(&path)
}
