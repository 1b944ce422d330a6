//! The kernel's random pool.

use crate::host::{Host, HostError};

/// `/proc/sys/kernel/random`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entropy {
    /// Bits in the pool.
    pub available_bits: u64,
    /// Bits it can hold.
    pub pool_size_bits: u64,
}

/// Reads `entropy_avail` and `poolsize`.
///
/// # Errors
/// [`HostError`] of the files.
pub fn read(host: &Host) -> Result<Entropy, HostError> {
    Ok(Entropy {
        available_bits: host.read_number("proc/sys/kernel/random/entropy_avail")?,
        pool_size_bits: host.read_number("proc/sys/kernel/random/poolsize")?,
    })
}
