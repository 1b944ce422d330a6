//! Stories of what is found, in; what is told, out.

use expect_test::{Expect, expect};
use muster_proto::verdict::Urgency;

use super::*;
use crate::checks::door::{START_S, at};
use crate::checks::settings::Override;
use crate::facts::mounts::Mount;
use crate::facts::statfs::{Room, Usage};
use crate::facts::units::{Unit, Units};

/// One filesystem with that much free, in percent; `None`: it is not mounted.
fn case(second: u64, free: Option<u64>) -> Case {
    let mut case = Case::unread(at(second));
    let usage = |free: u64| {
        Usage::Known(Room {
            size_bytes: 1000,
            free_bytes: free * 10,
            avail_bytes: free * 10,
            files: 0,
            files_free: 0,
        })
    };
    let mount = |free| Mount {
        mountpoint: "/srv".into(),
        fstype: "ext4".into(),
        usage: usage(free),
        ..Mount::default()
    };
    case.facts.mounts = Ok(free.map(mount).into_iter().collect());
    case
}

const ONLY_SPACE: &[&dyn Check] = &[&crate::checks::fs_space::FsSpace];

/// One record a line, with the second it came at.
fn lines(second: u64, records: &[StateRecord]) -> String {
    let line = |record: &StateRecord| match record {
        StateRecord::Check(s) => {
            let since = s.since.as_secs() - START_S;
            format!("@{second} {} {} since {since}: {}\n", s.instance, s.verdict, s.message)
        }
        StateRecord::CheckGone { instance, .. } => format!("@{second} {instance} gone\n"),
        StateRecord::FullReport { .. } => format!("@{second} full report\n"),
        other => panic!("not a record of the board: {other:?}"),
    };
    records.iter().map(line).collect()
}

/// `story`: free percent every 30 s, `-` for not mounted, `?` for unreadable.
#[track_caller]
fn check(story: &str, expected: Expect) {
    let mut board = Board::with_checks(ONLY_SPACE, Settings::default());
    let mut told = String::new();
    for (index, word) in story.split_whitespace().enumerate() {
        let second = index as u64 * 30;
        let mut case = case(second, word.parse().ok());
        if word == "?" {
            case.facts.mounts = Err(crate::host::HostError::malformed("mountinfo", "rubbish"));
        }
        told.push_str(&lines(second, &board.round(at(second), &case)));
    }
    expected.assert_eq(&told);
}

#[test]
fn a_full_filesystem_stays_critical() {
    let story = format!("50 50 {} {}", "0 ".repeat(24), "5 ".repeat(24));
    check(
        &story,
        expect![[r#"
            @0 /srv ok since 0: 50.0% free (500 B of 1000 B)
            @60 /srv ok since 0: 0.0% free (0 B of 1000 B) [crit now, not yet for long enough]
            @360 /srv crit since 360: 0.0% free (0 B of 1000 B)
            @660 /srv crit since 360: 0.0% free (0 B of 1000 B)
            @780 /srv crit since 360: 5.0% free (50 B of 1000 B)
            @1080 /srv crit since 360: 5.0% free (50 B of 1000 B)
            @1380 /srv crit since 360: 5.0% free (50 B of 1000 B)
        "#]],
    );
}

#[test]
fn a_dip_is_no_news_but_a_line() {
    check(
        "50 50 3 3 50 50 50 50 50 50 50 50 50",
        expect![[r#"
            @0 /srv ok since 0: 50.0% free (500 B of 1000 B)
            @60 /srv ok since 0: 3.0% free (30 B of 1000 B) [crit now, not yet for long enough]
            @120 /srv ok since 0: 50.0% free (500 B of 1000 B)
        "#]],
    );
}

#[test]
fn what_vanishes_is_retired_and_not_resolved() {
    let story = format!("{} - - - - - 50", "1 ".repeat(12));
    check(
        &story,
        expect![[r#"
            @0 /srv ok since 0: 1.0% free (10 B of 1000 B) [crit now, not yet for long enough]
            @300 /srv crit since 300: 1.0% free (10 B of 1000 B)
            @420 /srv gone
            @510 /srv ok since 510: 50.0% free (500 B of 1000 B)
        "#]],
    );
}

#[test]
fn what_cannot_be_read_turns_unknown_where_it_was_known() {
    check(
        "50 ? 50 50 ? ? ? ? 50 50",
        expect![[r#"
            @0 /srv ok since 0: 50.0% free (500 B of 1000 B)
            @120 /srv ok since 0: cannot tell: mountinfo says "rubbish", which is not understood [unknown now, not yet for long enough]
            @180 /srv unknown since 180: cannot tell: mountinfo says "rubbish", which is not understood
            @240 /srv ok since 0: 50.0% free (500 B of 1000 B)
        "#]],
    );
}

/// `story`: state of `a.service` every 60 s, `-` for a unit that is no more, `?` for no bus at all.
#[track_caller]
fn check_unit(story: &str, expected: Expect) {
    const ONLY_UNITS: &[&dyn Check] = &[&crate::checks::unit_failed::UnitFailed];
    let mut board = Board::with_checks(ONLY_UNITS, Settings::default());
    let mut told = String::new();
    for (index, word) in story.split_whitespace().enumerate() {
        let second = index as u64 * 60;
        let mut case = Case::unread(at(second));
        let unit = |state: &str| Unit {
            name: "a.service".into(),
            active_state: state.into(),
            ..Unit::default()
        };
        case.facts.units = match word {
            "?" => {
                Err(crate::host::HostError::Missing { path: "run/dbus/system_bus_socket".into() })
            }
            "-" => Ok(Units::default()),
            state => Ok(Units { units: vec![unit(state)], ..Units::default() }),
        };
        let records = board.round(at(second), &case);
        let of_unit = lines(second, &records);
        told.extend(
            of_unit
                .lines()
                .filter(|line| line.contains("a.service"))
                .map(|line| format!("{line}\n")),
        );
    }
    expected.assert_eq(&told);
}

#[test]
fn a_failed_unit_that_runs_again_clears_and_leaves() {
    check_unit(
        "active failed failed failed failed active active active active - - - -",
        expect![[r#"
            @60 a.service ok since 60: failed () [crit now, not yet for long enough]
            @240 a.service crit since 240: failed ()
            @300 a.service crit since 240: active () [ok now, not yet for long enough]
            @420 a.service ok since 420: active ()
            @600 a.service gone
        "#]],
    );
}

#[test]
fn a_failed_unit_does_not_recover_because_the_bus_died() {
    check_unit(
        "failed failed failed failed ? ? ? ? failed",
        expect![[r#"
            @0 a.service ok since 0: failed () [crit now, not yet for long enough]
            @180 a.service crit since 180: failed ()
            @240 a.service crit since 180: cannot tell: run/dbus/system_bus_socket is not there [unknown now, not yet for long enough]
            @360 a.service unknown since 360: cannot tell: run/dbus/system_bus_socket is not there
            @480 a.service crit since 180: failed ()
        "#]],
    );
}

#[test]
fn a_restart_keeps_since_and_evidence() {
    let mut board = Board::with_checks(ONLY_SPACE, Settings::default());
    for second in (0..600).step_by(30) {
        board.round(at(second), &case(second, Some(1)));
    }
    let before = board.states();
    assert_eq!((before[0].verdict, before[0].since), (Verdict::Crit, at(300).utc));
    assert!(before[0].evidence.contains("/srv"), "{}", before[0].evidence);
    // As JSON: the store keeps text or CBOR, whichever it likes.
    let kept: Kept = serde_json::from_str(&serde_json::to_string(&board.kept()).unwrap()).unwrap();
    assert_eq!(kept, board.kept());
    let mut after = Board::restore(Settings::default(), kept);
    after.checks = ONLY_SPACE;
    assert_eq!(after.states(), before);
    after.round(at(5), &case(5, Some(1)));
    assert_eq!((after.states()[0].verdict, after.states()[0].since), (Verdict::Crit, at(300).utc));
}

#[test]
fn a_restart_retires_nothing_before_it_has_looked() {
    let mut board = Board::with_checks(ONLY_SPACE, Settings::default());
    board.round(at(0), &case(0, Some(50)));
    let mut after = Board::restore(Settings::default(), board.kept());
    after.checks = ONLY_SPACE;
    assert!(after.round(at(0), &case(0, None)).is_empty());
    assert!(after.round(at(15), &case(15, None)).is_empty());
    assert_eq!(lines(90, &after.round(at(90), &case(90, None))), "@90 /srv gone\n");
}

#[test]
fn nothing_goes_stale_while_it_is_asked() {
    let mut board = Board::with_checks(ONLY_SPACE, Settings::default());
    let mut last = 0;
    for second in (0..7200).step_by(15) {
        for record in board.round(at(second), &case(second, Some(50))) {
            assert!(matches!(record, StateRecord::Check(_)));
            assert!(second - last <= u64::from(VALID_FOR_S) / 2);
            last = second;
        }
    }
    assert!(last > 6000, "the last one came at {last}");
}

#[test]
fn settings_reach_the_records_and_silence_instances() {
    let mut settings = Settings::default();
    settings.add(
        "fs.space",
        Override {
            instance: "/s*".into(),
            warn: Some(60.0),
            urgency: Some(Urgency::Info),
            owner: Some("storage".into()),
            runbook: Some("https://wiki/space".into()),
            ..Override::default()
        },
    );
    let mut board = Board::with_checks(ONLY_SPACE, settings.clone());
    for second in (0..600).step_by(30) {
        board.round(at(second), &case(second, Some(50)));
    }
    let state = &board.states()[0];
    assert_eq!(
        (state.verdict, state.urgency, state.owner.as_str()),
        (Verdict::Warn, Urgency::Info, "storage")
    );
    assert_eq!(state.runbook, "https://wiki/space");
    settings.add("fs.space", Override { enabled: Some(false), ..Override::default() });
    let mut silent = Board::with_checks(ONLY_SPACE, settings);
    assert!(silent.round(at(0), &case(0, Some(1))).is_empty());
}

/// What happens when the wall clock is stepped at second 300: verdicts follow the other clock.
#[test]
fn a_step_of_the_wall_clock_raises_and_clears_nothing() {
    let told = |step_s: i64| {
        let mut board = Board::with_checks(ONLY_SPACE, Settings::default());
        let mut told = Vec::new();
        for second in (0..1800).step_by(30) {
            let mut now = at(second);
            now.utc.0 += if second >= 300 { step_s * 1_000_000 } else { 0 };
            let free = if (600..1200).contains(&second) { 1 } else { 50 };
            let records = board.round(now, &case(second, Some(free))).len();
            let state = board.states().remove(0);
            assert_eq!(state.at, now.utc, "a state bears the time it was asked at");
            told.push((second, records, state.verdict));
        }
        told
    };
    let untouched = told(0);
    assert!(untouched.iter().any(|(_, _, verdict)| *verdict == Verdict::Crit));
    assert_eq!(told(-86_400), untouched, "a day back");
    assert_eq!(told(86_400), untouched, "a day on");
}

#[test]
fn a_full_report_begins_with_its_mark() {
    let mut board = Board::with_checks(ONLY_SPACE, Settings::default());
    board.round(at(0), &case(0, Some(50)));
    let report = board.full_report(at(1));
    assert_eq!(
        lines(1, &report),
        "@1 full report\n@1 /srv ok since 0: 50.0% free (500 B of 1000 B)\n"
    );
}

/// Random worlds: whatever is read, a round neither panics nor floods, and `since` never lies ahead.
#[test]
fn random_worlds_do_not_upset_the_board() {
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut board = Board::new(Settings::default());
        let mut second = 0;
        let mut sent = 0;
        for _ in 0..300 {
            second += rng.u64(1..60);
            let free = rng.u64(0..120);
            let case = case(second, (free <= 100).then_some(free));
            sent += board.round(at(second), &case).len();
            assert!(
                board.states().iter().all(|state| state.since <= at(second).utc),
                "seed {seed}"
            );
        }
        assert!(sent < 300, "seed {seed}: {sent} records in 300 rounds of one filesystem");
    }
}
