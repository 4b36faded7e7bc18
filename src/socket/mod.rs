//! (room socket)
