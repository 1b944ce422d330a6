//! The kernel's clock discipline: adjtimex(2).
//!
//! The only unsafe code of this room: no crate we have wraps adjtimex(2).

#![allow(unsafe_code, reason = "adjtimex(2) has no safe wrapper in nix or rustix")]

use std::io;

use crate::host::{Host, HostError};

/// What adjtimex(2) says, converted to seconds and ratios.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Timex {
    /// Between local clock and reference, seconds.
    pub offset_s: f64,
    /// Local clock frequency over nominal.
    pub frequency_ratio: f64,
    /// Maximum error, seconds. Grows by itself until something disciplines the clock.
    pub maxerror_s: f64,
    /// Estimated error, seconds.
    pub estimated_error_s: f64,
    /// `STA_…` bits.
    pub status: i64,
    /// Loop time constant.
    pub loop_time_constant: i64,
    /// Between clock ticks, seconds.
    pub tick_s: f64,
    /// Pulse-per-second: frequency, hertz.
    pub pps_frequency_hertz: f64,
    /// Pulse-per-second: jitter, seconds.
    pub pps_jitter_s: f64,
    /// Pulse-per-second: interval, seconds.
    pub pps_shift_s: f64,
    /// Pulse-per-second: stability, hertz.
    pub pps_stability_hertz: f64,
    /// Times the jitter limit was exceeded.
    pub pps_jitter_total: i64,
    /// Calibration intervals.
    pub pps_calibration_total: i64,
    /// Calibration errors.
    pub pps_error_total: i64,
    /// Times the stability limit was exceeded.
    pub pps_stability_exceeded_total: i64,
    /// Between UTC and TAI, seconds.
    pub tai_offset_s: i64,
    /// The clock is disciplined by somebody.
    pub is_synchronised: bool,
}

/// The numbers of `struct timex` that we use, as the kernel says them.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs, reason = "adjtimex(2) documents each")]
pub struct RawTimex {
    /// What the call returned: the clock's state.
    pub state: i64,
    pub offset: i64,
    pub freq: i64,
    pub maxerror: i64,
    pub esterror: i64,
    pub status: i64,
    pub constant: i64,
    pub tick: i64,
    pub ppsfreq: i64,
    pub jitter: i64,
    pub shift: i64,
    pub stabil: i64,
    pub jitcnt: i64,
    pub calcnt: i64,
    pub errcnt: i64,
    pub stbcnt: i64,
    pub tai: i64,
}

/// Asks the kernel without changing anything; in a recorded tree `recorded/timex` stands for it.
///
/// # Errors
/// [`HostError::Call`], or of the recorded file.
pub fn read(host: &Host) -> Result<Timex, HostError> {
    if host.is_live() {
        return Ok(ask_kernel()?.judge());
    }
    Ok(parse_recorded(&host.read("recorded/timex")?)?.judge())
}

/// Reads lines `field number` of a recorded tree.
///
/// # Errors
/// [`HostError::Malformed`].
pub fn parse_recorded(text: &str) -> Result<RawTimex, HostError> {
    let mut raw = RawTimex::default();
    for line in text.lines() {
        let wrong = || HostError::malformed("recorded timex", line);
        let (key, value) = line.split_once(' ').ok_or_else(wrong)?;
        let field = match key {
            "state" => &mut raw.state,
            "offset" => &mut raw.offset,
            "freq" => &mut raw.freq,
            "maxerror" => &mut raw.maxerror,
            "esterror" => &mut raw.esterror,
            "status" => &mut raw.status,
            "constant" => &mut raw.constant,
            "tick" => &mut raw.tick,
            "tai" => &mut raw.tai,
            _ => return Err(wrong()),
        };
        *field = value.trim().parse().map_err(|_| wrong())?;
    }
    Ok(raw)
}

impl RawTimex {
    fn judge(self) -> Timex {
        const MICRO: f64 = 1e-6;
        // freq, ppsfreq and stabil are parts per million with 16 bits behind the point.
        const SCALED_PPM: f64 = 65_536.0 * 1_000_000.0;
        let is_nano = self.status & i64::from(libc::STA_NANO) != 0;
        let fine = if is_nano { 1e-9 } else { MICRO };
        Timex {
            offset_s: self.offset as f64 * fine,
            frequency_ratio: 1.0 + self.freq as f64 / SCALED_PPM,
            maxerror_s: self.maxerror as f64 * MICRO,
            estimated_error_s: self.esterror as f64 * MICRO,
            status: self.status,
            loop_time_constant: self.constant,
            tick_s: self.tick as f64 * MICRO,
            pps_frequency_hertz: self.ppsfreq as f64 / SCALED_PPM,
            pps_jitter_s: self.jitter as f64 * fine,
            pps_shift_s: self.shift as f64,
            pps_stability_hertz: self.stabil as f64 / SCALED_PPM,
            pps_jitter_total: self.jitcnt,
            pps_calibration_total: self.calcnt,
            pps_error_total: self.errcnt,
            pps_stability_exceeded_total: self.stbcnt,
            tai_offset_s: self.tai,
            is_synchronised: self.state != i64::from(libc::TIME_ERROR),
        }
    }
}

fn ask_kernel() -> Result<RawTimex, HostError> {
    // SAFETY: timex is plain numbers, for which all zeros is a valid value; modes = 0 only reads.
    let mut told: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, exclusively borrowed timex of the size the kernel expects.
    let state = unsafe { libc::adjtimex(&raw mut told) };
    if state < 0 {
        return Err(HostError::Call { call: "adjtimex", source: io::Error::last_os_error() });
    }
    Ok(RawTimex {
        state: state.into(),
        offset: told.offset,
        freq: told.freq,
        maxerror: told.maxerror,
        esterror: told.esterror,
        status: told.status.into(),
        constant: told.constant,
        tick: told.tick,
        ppsfreq: told.ppsfreq,
        jitter: told.jitter,
        shift: told.shift.into(),
        stabil: told.stabil,
        jitcnt: told.jitcnt,
        calcnt: told.calcnt,
        errcnt: told.errcnt,
        stbcnt: told.stbcnt,
        tai: told.tai.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_depend_on_the_status() {
        let raw =
            RawTimex { offset: -1_500, freq: 65_536_000, tick: 10_000, ..RawTimex::default() };
        let micro = raw.judge();
        assert_eq!((micro.offset_s, micro.tick_s), (-0.0015, 0.01));
        assert_eq!(micro.frequency_ratio, 1.001);
        assert!(micro.is_synchronised);
        let nano =
            RawTimex { status: libc::STA_NANO.into(), state: libc::TIME_ERROR.into(), ..raw };
        assert_eq!(nano.judge().offset_s, -1_500.0 * 1e-9);
        assert!(!nano.judge().is_synchronised);
    }
}
