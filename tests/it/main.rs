//! The product as a person meets it: a real server, real git, real ssh, a real engine.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod harness;

mod crashes;
mod doors;
mod failures;
mod hostile;
mod limits;
mod pushes;
mod races;
mod refusals;
mod scopes;
mod sources;
mod startup;
