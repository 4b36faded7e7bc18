//! How a reply is to look where it is read.

/// What the reader's side can show. The default is plain text for a file or a pipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// JSON instead of text, on `--json`.
    pub json: bool,
    /// Colours, which only decorate.
    pub colour: bool,
    /// Columns of the terminal; `None` when nothing needs to fit.
    pub width: Option<usize>,
}

// === impl Look ===

impl Look {
    /// Returns the look of a pipe or a file: no colours, any width.
    #[must_use]
    pub fn plain(json: bool) -> Self {
        Look { json, ..Look::default() }
    }
}
