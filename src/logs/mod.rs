//! (room logs)
