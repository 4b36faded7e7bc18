//! The proxy from raw bytes: hostile, odd and broken clients before the real `mini proxy`, hostile, odd and broken apps behind it.
//!
//! Whatever comes in is refused, or forwarded in the one form that no parser can misread: [`judge`] reads every byte that the origin
//! got. After each case the next client must be served. `cargo test --test conformance -- --nocapture` shows how many cases there are.

#![allow(clippy::unwrap_used)]

mod aborts;
mod apps;
mod body_limits;
mod calls;
mod case;
#[path = "../fuzz/checks.rs"]
mod checks;
mod chunks;
mod client;
mod corpus;
mod forwarding;
mod frames;
mod framing;
mod grpc;
mod grpc_ends;
mod heads;
mod hello;
mod hops;
mod hosts;
mod hpack;
mod http2;
mod http2_frames;
mod interim;
mod judge;
mod limits;
mod origin;
mod rpc;
mod slowness;
mod stage;
mod streams;
mod targets;
mod tls;
mod tls_client;
mod tls_hellos;
mod upgrades;

use case::Case;
use stage::Stage;

/// A table of cases, and what the proxy before them is started with.
type Group = (&'static str, fn() -> Vec<Case>, &'static [&'static str]);

const GROUPS: &[Group] = &[
    ("framing", framing::cases, &[]),
    ("chunks", chunks::cases, &[]),
    ("heads", heads::cases, &[]),
    ("targets", targets::cases, &[]),
    ("hosts", hosts::cases, &[]),
    ("hops", hops::cases, &[]),
    ("forwarding", forwarding::cases, &[]),
    ("trusted", forwarding::trusted, &["--trusted-proxies", "127.0.0.1,10.0.0.0/8"]),
    ("upgrades", upgrades::cases, &[]),
    ("interim", interim::cases, &[]),
    ("apps", apps::cases, &[]),
    ("limits", limits::cases, &[]),
    ("slowness", slowness::cases, slowness::FLAGS),
    ("aborts", aborts::cases, &[]),
    ("http2", http2::cases, &[]),
    ("http2_frames", http2_frames::cases, &["--patience", "4s"]),
    ("grpc", grpc::cases, &[]),
    ("grpc_ends", grpc_ends::cases, &[]),
    ("body_limits", body_limits::cases, &[]),
    ("streams", streams::cases, &[]),
    ("tls", tls::cases, &[]),
    ("tls_hellos", tls_hellos::cases, &["--patience", "1s"]),
];

/// A test each, so that they run side by side and one can be asked for.
macro_rules! groups {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            prove(stringify!($name));
        })*

        #[test]
        fn every_group_is_a_test() {
            assert_eq!(GROUPS.iter().map(|group| group.0).collect::<Vec<_>>(), [$(stringify!($name)),*]);
        }
    };
}

/// The tests, named after their groups.
mod proxy {
    use super::{GROUPS, prove};

    groups! {
        framing chunks heads targets hosts hops forwarding trusted upgrades interim apps limits slowness aborts http2 http2_frames
        grpc grpc_ends body_limits streams tls tls_hellos
    }
}

fn prove(name: &str) {
    let (_, cases, flags) = GROUPS.iter().find(|group| group.0 == name).unwrap();
    let cases = cases();
    let failed = play(&Stage::start_with(flags), &cases);
    println!("conformance {name}: {} cases, {} failed", cases.len(), failed.len());
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// Plays the cases and returns what failed.
fn play(stage: &Stage, cases: &[Case]) -> Vec<String> {
    let failed = |case: &Case| case.play(stage).err().map(|why| format!("{}: {why}", case.name));
    cases.iter().filter_map(failed).collect()
}

#[test]
fn the_suite_is_as_large_as_it_says() {
    let counts: Vec<_> = GROUPS.iter().map(|(name, cases, _)| (name, cases().len())).collect();
    let all: usize = counts.iter().map(|(_, count)| count).sum();

    println!("conformance: {all} cases in {} groups: {counts:?}", counts.len());
    assert!(all >= 900, "{all} cases");
}

#[test]
fn names_of_cases_are_distinct_within_their_group() {
    for (group, cases, _) in GROUPS {
        let cases = cases();
        let names: std::collections::BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), cases.len(), "{group}");
    }
}

/// A check that cannot fail is none: with nothing between client and origin, most of what hangs on bytes must fail, some of it as a
/// smuggled request.
#[test]
fn the_same_judge_condemns_a_lenient_origin_without_a_proxy() {
    let stage = Stage::without_proxy();
    let cases: Vec<_> =
        ["framing", "chunks", "heads"].iter().flat_map(|name| GROUPS.iter().find(|group| group.0 == *name).unwrap().1()).collect();

    let failed = play(&stage, &cases);

    let smuggled = failed.iter().filter(|why| why.contains("SMUGGLED")).count();
    println!("conformance, negative control: {} of {} cases failed, {smuggled} smuggled", failed.len(), cases.len());
    assert!(failed.len() * 2 > cases.len(), "only {} of {} failed", failed.len(), cases.len());
    assert!(smuggled >= 5, "only {smuggled} smuggled");
}
