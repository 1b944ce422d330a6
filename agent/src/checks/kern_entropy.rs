//! `kern.entropy`: random numbers left, on kernels that can run out.

use muster_proto::verdict::Urgency;

use super::definition::{About, Check, Pace, Scale};
use super::findings::Findings;
use super::gather::Case;

const ABOUT: About = About {
    id: "kern.entropy",
    summary: "random numbers left, on kernels that can run out",
    manual: "Bits in the random pool, only where the pool is larger than 256 bits: since 5.18 the kernel does not run \
             out. WARN below 200, CRIT below 100.",
    runbook: "install haveged or rng-tools; give the virtual machine a virtio-rng",
    urgency: Urgency::Ticket,
    scale: Scale::below(200.0, 100.0, 50.0, "bits"),
    pace: Pace::MINUTES_5,
};

/// Pool of a kernel that does not run out. Bits.
const MODERN_BITS: u64 = 256;

/// The check.
pub struct KernEntropy;

impl Check for KernEntropy {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn judge(&self, case: &Case, out: &mut Findings<'_>) {
        let Some(entropy) = out.need(&case.facts.entropy) else { return };
        if entropy.pool_size_bits > MODERN_BITS {
            let (left, size) = (entropy.available_bits, entropy.pool_size_bits);
            out.level("", left as f64, format!("{left} bits of {size}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::checks::door::check;

    #[test]
    fn an_old_kernel_runs_out() {
        check(
            "kern.entropy",
            "== proc/sys/kernel/random/entropy_avail
90
== proc/sys/kernel/random/poolsize
4096
",
            expect![[r#"
                crit: 90 bits of 4096
            "#]],
        );
    }

    #[test]
    fn a_new_one_does_not() {
        check(
            "kern.entropy",
            "== proc/sys/kernel/random/entropy_avail
90
== proc/sys/kernel/random/poolsize
256
",
            expect![[""]],
        );
    }
}
