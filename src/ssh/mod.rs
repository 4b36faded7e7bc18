//! (room ssh)
