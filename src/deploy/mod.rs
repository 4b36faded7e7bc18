//! (room deploy)
