//! Which aggregator of a datacenter a host prefers: rendezvous hashing.
//!
//! Every (host, aggregator) pair has a fixed random-looking number; a host goes down the list by it.
//! Load spreads evenly, and when one of N goes only its own hosts move, evenly to the rest.
//!
//! With weights it spreads in their proportion: the pair's number is taken as a chance `u` of 0 to 1,
//! and the order is by `-log(u) / weight`, the smallest first (weighted rendezvous hashing). A change
//! of one weight moves only hosts from or to that aggregator. Equal weights give the plain order.

use super::Aggregator;
use super::jitter::mix;

/// Fraction bits of [`cost`].
const FRACTION_BITS: u32 = 48;
/// What a weight of 1 counts, so that a weight of 0 can count less: RFC 2782 wants "a very small
/// chance of being selected".
const WEIGHT_SCALE: u64 = 256;

/// The order in which `host` tries `aggregators`, as indexes into it: by priority, then by weight and
/// chance. Ties go by index.
///
/// The same on every agent and for ever: changing the hash moves the whole fleet.
pub fn rank(host: &str, aggregators: &[Aggregator]) -> Vec<usize> {
    let mut order: Vec<(usize, u64, u64)> = aggregators
        .iter()
        .enumerate()
        .map(|(place, one)| (place, pair_hash(host, &one.name), share(one.weight)))
        .collect();
    order.sort_by(|&(a, hash_a, share_a), &(b, hash_b, share_b)| {
        // cost_a / share_a against cost_b / share_b, without the division.
        let cost_a = u128::from(cost(hash_a)) * u128::from(share_b);
        let cost_b = u128::from(cost(hash_b)) * u128::from(share_a);
        let priorities = aggregators[a].priority.cmp(&aggregators[b].priority);
        priorities.then(cost_a.cmp(&cost_b)).then(hash_b.cmp(&hash_a))
    });
    order.into_iter().map(|(place, _, _)| place).collect()
}

fn share(weight: u16) -> u64 {
    (u64::from(weight) * WEIGHT_SCALE).max(1)
}

/// `-log2(hash / 2^64)`: 0 to 64, with [`FRACTION_BITS`] bits after the point. Integers only, so that
/// every machine gets the same. Digit by digit: squaring a number doubles its logarithm.
fn cost(hash: u64) -> u64 {
    let hash = hash.max(1);
    let whole = hash.ilog2();
    // From 1 to 2, with 63 bits after the point.
    let mut mantissa = hash << (63 - whole);
    let mut fraction = 0;
    for _ in 0..FRACTION_BITS {
        let square = u128::from(mantissa) * u128::from(mantissa);
        let digit = (square >> 127) as u64;
        mantissa = (square >> (63 + digit)) as u64;
        fraction = fraction << 1 | digit;
    }
    (64 << FRACTION_BITS) - ((u64::from(whole) << FRACTION_BITS) + fraction)
}

/// 64-bit FNV-1a over host, a zero byte and aggregator, then a finisher, because the high bits of
/// FNV hardly depend on the last bytes.
fn pair_hash(host: &str, aggregator: &str) -> u64 {
    let bytes = host.bytes().chain([0]).chain(aggregator.bytes());
    mix(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: usize = 10_000;

    fn four() -> Vec<Aggregator> {
        (1..=4).map(|n| Aggregator::equal(format!("agg{n}.eqiad.example.org"))).collect()
    }

    fn firsts(aggregators: &[Aggregator]) -> Vec<usize> {
        let mut hosts = vec![0; aggregators.len()];
        (0..HOSTS).for_each(|n| hosts[rank(&host(n), aggregators)[0]] += 1);
        hosts
    }

    fn host(n: usize) -> String {
        format!("db{n}.eqiad.example.org")
    }

    #[test]
    fn ten_thousand_hosts_spread_evenly_over_four() {
        let hosts = firsts(&four());
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
    fn weights_are_shares_and_a_new_weight_moves_only_its_own() {
        let mut weighted = four();
        [10, 20, 30, 40]
            .into_iter()
            .zip(&mut weighted)
            .for_each(|(weight, one)| one.weight = weight);
        let hosts = firsts(&weighted);
        let fair = [1, 2, 3, 4].map(|tenths| HOSTS / 10 * tenths);
        let close = hosts.iter().zip(fair).all(|(h, fair)| h.abs_diff(fair) <= fair / 10);
        assert!(close, "{hosts:?}");
        let mut changed = weighted.clone();
        changed[0].weight = 40;
        let moves = (0..HOSTS)
            .map(|n| (rank(&host(n), &weighted)[0], rank(&host(n), &changed)[0]))
            .filter(|(before, after)| before != after);
        assert!(moves.clone().count() > 0 && moves.clone().all(|(_, after)| after == 0));
    }

    #[test]
    fn a_weight_of_zero_is_nearly_nobody_and_priorities_come_first() {
        let mut weighted = four();
        weighted[3].weight = 0;
        let hosts = firsts(&weighted);
        assert!((1..HOSTS / 100).contains(&hosts[3]), "{hosts:?}");
        weighted.iter_mut().for_each(|one| one.weight = 0);
        assert_eq!(firsts(&weighted), firsts(&four()), "all alike are all alike");
        weighted[2].priority = 1;
        assert!((0..100).all(|n| rank(&host(n), &weighted)[3] == 2));
    }

    #[test]
    fn the_logarithm_is_one() {
        for hash in [1, 2, 3, 1 << 32, u64::MAX / 3, u64::MAX / 2, u64::MAX] {
            let expected = 64.0 - (hash as f64).log2();
            let cost = cost(hash) as f64 / (1_u64 << FRACTION_BITS) as f64;
            assert!((cost - expected).abs() < 1e-9, "{hash}: {cost}, {expected}");
        }
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
