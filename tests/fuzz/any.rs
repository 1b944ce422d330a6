//! Coverage-guided fuzzing of one target: every `[[bin]]` is this file, and its name is the target's.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    muster_tests::fuzz::run(env!("CARGO_BIN_NAME"), bytes);
});
