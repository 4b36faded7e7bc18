#![no_main]
// Each target uses some of what they share.
#![allow(dead_code)]

#[path = "../checks.rs"]
mod checks;
#[path = "../../conformance/judge.rs"]
mod judge;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::check_host(bytes));
