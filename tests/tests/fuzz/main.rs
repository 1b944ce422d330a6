//! Every fuzz target in a seeded loop: the same mutations in every run.
//!
//! `MUSTER_FUZZ_ROUNDS=n` makes n times as many, `MUSTER_FUZZ_SEED=n` others,
//! `MUSTER_FUZZ_TARGET=name` only those of one target, `MUSTER_FUZZ_INPUT=hex` runs just these bytes.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

mod memory;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fastrand::Rng;
use memory::Counting;
use muster_tests::fuzz::{TARGETS, Target, mutate};

#[global_allocator]
static MEMORY: Counting = Counting;

/// Longest call that is no hang. A busy machine is slow, but not this slow.
const CALL_MAX: Duration = Duration::from_secs(60);

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len() / 2).map(|pair_at| pair(2 * pair_at)).collect()
}

/// What the calls of one target cost at most.
#[derive(Default)]
struct Worst {
    call: Duration,
    memory_bytes: usize,
}

/// One call, judged; `told` says where the bytes come from. The error is the story of the fault.
fn check(target: &Target, bytes: &[u8], told: &str, worst: &mut Worst) -> Result<(), String> {
    let begun = Instant::now();
    let before_bytes = memory::start();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    let memory_bytes = memory::peak().saturating_sub(before_bytes);
    let call = begun.elapsed();
    let fault = if outcome.is_err() {
        "panics".to_owned()
    } else if memory_bytes > target.memory_bytes_max {
        format!("takes {memory_bytes} bytes of memory, allowed are {}", target.memory_bytes_max)
    } else if call > CALL_MAX {
        format!("takes {call:?}")
    } else {
        worst.call = worst.call.max(call);
        worst.memory_bytes = worst.memory_bytes.max(memory_bytes);
        return Ok(());
    };
    let (name, hex) = (target.name, hex(bytes));
    Err(format!("{name} {fault} ({told})\nMUSTER_FUZZ_TARGET={name} MUSTER_FUZZ_INPUT={hex}"))
}

fn drive(target: &Target, seed: u64, times: u32) -> Result<(), String> {
    let begun = Instant::now();
    let mut worst = Worst::default();
    let seeds = (target.seeds)();
    for (number, bytes) in seeds.iter().enumerate() {
        check(target, bytes, &format!("seed input {number}"), &mut worst)?;
    }
    let mut rng = Rng::with_seed(
        target.name.bytes().fold(seed, |sum, b| sum.wrapping_mul(31) ^ u64::from(b)),
    );
    let rounds = target.rounds.saturating_mul(times);
    for round in 0..rounds {
        let mut bytes = mutate::mutate(&seeds, &mut rng);
        if rng.u32(0..4) > 0 {
            (target.mend)(&mut bytes);
        }
        check(target, &bytes, &format!("MUSTER_FUZZ_SEED={seed}, round {round}"), &mut worst)?;
    }
    let Worst { call, memory_bytes } = worst;
    println!(
        "{:18} {rounds:7} rounds in {:6.2?}; at most {call:.1?} and {} KiB a call",
        target.name,
        begun.elapsed(),
        memory_bytes / 1024
    );
    Ok(())
}

#[test]
fn no_decoder_panics_or_takes_too_much() {
    let seed: u64 = env("MUSTER_FUZZ_SEED").map_or(2, |seed| seed.parse().unwrap());
    let times = env("MUSTER_FUZZ_ROUNDS").map_or(1, |times| times.parse().unwrap());
    let only = env("MUSTER_FUZZ_TARGET");
    let input = env("MUSTER_FUZZ_INPUT").map(|digits| unhex(&digits));
    let wanted = TARGETS.iter().filter(|target| only.as_ref().is_none_or(|n| n == target.name));
    let judge = |target: &Target| match &input {
        Some(bytes) => check(target, bytes, "MUSTER_FUZZ_INPUT", &mut Worst::default()),
        None => drive(target, seed, times),
    };
    let faults: Vec<String> = wanted.filter_map(|target| judge(target).err()).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
