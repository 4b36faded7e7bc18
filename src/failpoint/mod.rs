//! Places in the code at which a test ends, breaks or slows the server; a build without the feature `failpoints` has none.

mod names;

pub use names::NAMES;

/// Marks the place `name`, one of [`NAMES`](crate::failpoint::NAMES).
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::reach($name);
    };
}

#[cfg(feature = "failpoints")]
mod armed;

#[cfg(feature = "failpoints")]
pub use armed::{arm, reach};
