//! The kernel's name.

use super::{Collector, Given, Memo, Out};
use crate::facts::uname;
use crate::host::HostError;

/// The collector.
pub struct Uname;

impl Collector for Uname {
    fn name(&self) -> &'static str {
        "uname"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let name = uname::read(given.host)?;
        let labels = [
            ("domainname", name.domainname.as_str()),
            ("machine", &name.machine),
            ("nodename", &name.nodename),
            ("release", &name.release),
            ("sysname", &name.sysname),
            ("version", &name.version),
        ];
        out.gauge("node_uname_info", &labels, 1.0);
        Ok(())
    }
}
