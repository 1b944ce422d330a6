//! Which aggregator of a datacenter a host prefers: rendezvous hashing.
//!
//! Every (host, aggregator) pair has a fixed random-looking weight; a host goes down the list by
//! weight. Load spreads evenly, and when one of N goes only its own hosts move, evenly to the rest.

use super::jitter::mix;

/// The order in which `host` tries `aggregators`, as indexes into it. Ties go by index.
///
/// The same on every agent and for ever: changing the hash moves the whole fleet.
pub fn rank(host: &str, aggregators: &[String]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..aggregators.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(weight(host, &aggregators[index])));
    order
}

/// 64-bit FNV-1a over host, a zero byte and aggregator, then a finisher, because the high bits of
/// FNV hardly depend on the last bytes.
fn weight(host: &str, aggregator: &str) -> u64 {
    let bytes = host.bytes().chain([0]).chain(aggregator.bytes());
    mix(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: usize = 10_000;

    fn four() -> Vec<String> {
        (1..=4).map(|n| format!("agg{n}.eqiad.example.org")).collect()
    }

    fn host(n: usize) -> String {
        format!("db{n}.eqiad.example.org")
    }

    #[test]
    fn ten_thousand_hosts_spread_evenly_over_four() {
        let mut hosts = [0_usize; 4];
        (0..HOSTS).for_each(|n| hosts[rank(&host(n), &four())[0]] += 1);
        let fair = HOSTS / 4;
        assert!(hosts.iter().all(|h| h.abs_diff(fair) <= fair / 10), "{hosts:?}");
    }

    #[test]
    fn only_the_hosts_of_the_one_that_leaves_move_and_they_spread() {
        let (four, three) = (four(), four()[..3].to_vec());
        let mut heirs = [0_usize; 3];
        for n in 0..HOSTS {
            let (before, after) = (rank(&host(n), &four), rank(&host(n), &three));
            if before[0] < 3 {
                assert_eq!(before[0], after[0]);
            } else {
                assert_eq!(before[1], after[0]);
                heirs[after[0]] += 1;
            }
        }
        let fair = HOSTS / 4 / 3;
        assert!(heirs.iter().all(|h| h.abs_diff(fair) <= fair / 5), "{heirs:?}");
    }

    #[test]
    fn the_order_is_the_same_for_ever() {
        let orders: Vec<_> = (0..4).map(|n| rank(&host(n), &four())).collect();
        expect_test::expect!["[[0, 3, 1, 2], [1, 2, 3, 0], [1, 3, 2, 0], [0, 2, 1, 3]]"]
            .assert_eq(&format!("{orders:?}"));
        assert_eq!(rank("DB1.eqiad.example.org", &four()), rank(&host(1), &four()));
        assert!(rank("db1", &[]).is_empty());
    }
}
