//! A question from another aggregator.

use muster_aggregator::api::ask::FleetAsk;
use muster_aggregator::api::{Granted, LogAsk, Question, RangeAsk, SeriesAsk, answer_peer};
use muster_proto::clock::Utc;
use muster_proto::limits::ANSWER_BYTES_MAX;
use muster_proto::verdict::Verdict;

use super::stand_in::StandIn;
use super::{Target, wrap};

pub(super) const TARGET: Target = Target {
    rounds: 3_000,
    // Steps of a range, and the answer as CBOR beside its rows.
    memory_bytes_max: 128 * 1024 * 1024,
    ..Target::new("question", run, seeds)
};

thread_local! {
    static ROOMS: StandIn = StandIn::build();
}

fn run(bytes: &[u8]) {
    ROOMS.with(|stand_in| {
        let answer = stand_in.runtime.block_on(answer_peer(&stand_in.rooms, bytes));
        assert!(answer.len() <= ANSWER_BYTES_MAX);
        expect_no_panic(bytes, &answer);
    });
}

/// A panic on a thread that may block ends up in the answer.
pub(super) fn expect_no_panic(question: &[u8], answer: &[u8]) {
    let says = |bytes: &[u8]| bytes.windows(8).any(|window| window == b"panicked");
    assert!(says(question) || !says(answer), "{}", String::from_utf8_lossy(answer));
}

fn seeds() -> Vec<Vec<u8>> {
    let fleet = FleetAsk {
        checks: true,
        evidence: true,
        verdicts: vec![Verdict::Crit],
        id: Some("fs.*".to_owned()),
        host: None,
    };
    let series = |range| SeriesAsk { queries: vec!["{host=\"db1\"}".to_owned()], range };
    let range = RangeAsk {
        since: Utc(wrap::AT.0 - 600_000_000),
        until: Utc(wrap::AT.0 + 600_000_000),
        step_us: 15_000_000,
    };
    let logs = |regex| LogAsk {
        text: Some("a.*b".to_owned()),
        regex,
        any_case: true,
        since: Some(Utc(0)),
        until: None,
        hosts: vec!["db*".to_owned()],
        datacenters: Vec::new(),
        classes: Vec::new(),
        programs: Vec::new(),
        sources: Vec::new(),
        severity: None,
        limit: 10,
        oldest_first: regex,
        granted: Granted::All,
    };
    let questions = [
        Question::Fleet(FleetAsk::default()),
        Question::Fleet(fleet.clone()),
        Question::Series(series(None)),
        Question::Series(series(Some(range))),
        Question::Logs(logs(true)),
        Question::Logs(logs(false)),
        Question::Federate(fleet, series(None)),
    ];
    questions.iter().map(|question| serde_cbor::to_vec(question).expect("plain data")).collect()
}
