//! journald through a real `journalctl` and journal files made by systemd-journal-remote
//! (Debian packages `systemd` and `systemd-journal-remote`, needed to run these tests).

use std::process::{Command, Stdio};

use super::*;
