//! A source becomes a build plan: what the engine is asked to build, and in what words that is told.

mod dockerfile;
mod procfile;

pub use dockerfile::{BuildPlan, plan};
