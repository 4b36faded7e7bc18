//! The map of `mini`: one room per module, imports point down only (`tests/layers.rs` holds it).
//!
//! A push walks `ssh` → `platform` → `deploy` → `git`, `build`, `engine`, `store`, `route`;
//! a request walks `proxy` → `route`; a word walks `ssh`, `api` or `socket` → `platform`.

// L5
pub mod server;

// L4: doors translate one outside language and decide nothing.
pub mod api;
pub mod cli;
pub mod proxy;
pub mod socket;
pub mod ssh;

// L3
pub mod care;
pub mod platform;

// L2
pub mod deploy;

// L1: rooms that never import each other.
pub mod acme;
pub mod backup;
pub mod build;
pub mod engine;
pub mod firewall;
pub mod git;
pub mod logs;
pub mod route;
pub mod store;

// L0
pub mod command;
pub mod config;
pub mod error;
pub mod failpoint;
pub mod model;
pub mod source;
