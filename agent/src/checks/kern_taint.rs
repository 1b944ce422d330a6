//! `kern.taint`: what tainted the kernel.

use muster_proto::verdict::{Urgency, Verdict};

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "kern.taint",
    summary: "what tainted the kernel",
    manual: "Bits of kernel.tainted. CRIT for M (machine check), D (died: an oops) and B (bad page); WARN for any bit \
             that was not there at first sight, such as a module from elsewhere (O) or a warning (W).",
    runbook: "dmesg -T | grep -i -e oops -e taint -e mce; the bits clear with a reboot",
    urgency: Urgency::Ticket,
    scale: Scale::PLAIN,
    pace: Pace::AT_ONCE,
};

/// Letters of the bits, from bit 0.
///
/// # Source
/// Documentation/admin-guide/tainted-kernels.rst.
const LETTERS: &[u8] = b"PFSRMBUDAWCIOELKXTN";
/// M, B and D.
const BROKEN: u64 = 1 << 4 | 1 << 5 | 1 << 7;

/// The check.
pub struct KernTaint;

impl Check for KernTaint {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(kernel) = out.need(&case.slow.kernel) else { return };
        let now = kernel.tainted;
        let normal = out.baseline("bits", &now.to_string()).parse::<u64>().unwrap_or(now);
        // A reboot clears bits; what is gone is not normal any more.
        out.relearn("bits", &(now & normal).to_string());
        let new = now & !normal;
        let verdict = match () {
            () if now & BROKEN != 0 => Verdict::Crit,
            () if new != 0 => Verdict::Warn,
            () => Verdict::Ok,
        };
        let message = match (now, new) {
            (0, _) => "not tainted".to_owned(),
            (_, 0) => format!("tainted {}", letters(now)),
            _ => format!("tainted {}, newly {}", letters(now), letters(new)),
        };
        out.add("", verdict, message);
    }
}

fn letters(bits: u64) -> String {
    let letter = |bit: u32| LETTERS.get(bit as usize).map_or('?', |letter| char::from(*letter));
    (0..64).filter(|bit| bits >> bit & 1 == 1).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn a_new_bit_warns() {
        check(
            "kern.taint",
            "== proc/sys/kernel/tainted
4096
== +60
== proc/sys/kernel/tainted
4608
",
            expect![[r#"
                warn: tainted WO, newly W
            "#]],
        );
    }

    #[test]
    fn an_oops_is_critical_at_first_sight() {
        check(
            "kern.taint",
            "== proc/sys/kernel/tainted
128
",
            expect![[r#"
                crit: tainted D
            "#]],
        );
    }

    #[test]
    fn a_bit_known_from_the_start_is_normal() {
        check(
            "kern.taint",
            "== proc/sys/kernel/tainted
4097
",
            expect![[r#"
                ok: tainted PO
            "#]],
        );
    }
}
