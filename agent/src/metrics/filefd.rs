//! Open files.

use super::{Collector, Given, Memo, Out};
use crate::facts::filefd;
use crate::host::HostError;

/// The collector.
pub struct FileFd;

impl Collector for FileFd {
    fn name(&self) -> &'static str {
        "filefd"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let files = filefd::read(given.host)?;
        out.gauge("node_filefd_allocated", &[], files.allocated as f64);
        out.gauge("node_filefd_maximum", &[], files.maximum as f64);
        Ok(())
    }
}
