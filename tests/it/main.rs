//! The product as a person meets it: a real server, real git, real ssh, a real engine.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod harness;

mod api;
mod backups;
mod builds;
mod by_hand;
mod certificates;
mod churn;
mod client;
mod client_http;
mod clock;

mod config;
mod containers;
mod crashes;
mod cuts;
mod damage;
mod deaths;
mod disk_full;
mod domains;
mod doors;
mod durability;
mod edge;
mod engine_restarts;
mod exhaustion;
mod explanations;
mod failures;
#[cfg(feature = "failpoints")]
mod faults;
mod floods;
mod greed;
mod host;
mod hostile;
mod hostile_engine;
mod images;
mod isolation;
mod keys;
#[cfg(feature = "failpoints")]
mod kills;
mod limits;
mod links;
mod logs;
mod own_certificates;
mod processes;
mod pushes;
mod races;
mod refusals;
mod releases;
mod restarts;
mod router;
mod run;
mod scopes;
mod secrets;
mod ship;
mod sources;
mod startup;
mod storage;
mod tokens;
mod traffic;
mod upload_crashes;
mod uploads;
mod whole;
mod words;
