//! `muster-agent enroll`: from a one-time token to a certificate.

use std::io::IsTerminal as _;
use std::net::ToSocketAddrs as _;
use std::process::ExitCode;

use muster_link::Role;
use muster_link::enrol::{Enrolment, enrol};
use muster_link::token::Token;
use muster_program::listing::print_line;

use super::Outcome;
use crate::app::identity_dir;
use crate::config::{AggregatorAddress, Config};
use crate::fatal::Fatal;

pub(super) fn run(config: &Config, token: &str, aggregator: &str, name: Option<String>) -> Outcome {
    let token = read_token(token)?;
    let target = AggregatorAddress::parse(aggregator).map_err(Fatal::Usage)?;
    let name = name.or_else(|| config.host.name.clone()).map_or_else(own_name, Ok)?;
    let addr = (target.host.as_str(), target.port)
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| Fatal::Usage(format!("{} has no address", target.host)))?;
    let dir = identity_dir(&config.state_dir);
    let asked = Enrolment {
        addr,
        server_name: Some(&target.name),
        anchor: None,
        token: &token,
        name: &name,
        role: Role::Agent,
    };
    if std::io::stderr().is_terminal() {
        eprintln!("asking {} at {addr} …", target.name);
    }
    let runtime = muster_program::runtime::single(1)
        .map_err(|source| Fatal::System { what: "start the runtime", source })?;
    let identity =
        runtime.block_on(enrol(&asked, &dir)).map_err(|error| Fatal::Enrol(Box::new(error)))?;
    let (name, dir) = (identity.name(), dir.display());
    print_line(format_args!("enrolled as {name}; certificate in {dir}"))?;
    Ok(ExitCode::SUCCESS)
}

fn read_token(word: &str) -> Result<Token, Fatal> {
    let mut text = word.to_owned();
    if word == "-" {
        text.clear();
        std::io::stdin()
            .read_line(&mut text)
            .map_err(|source| Fatal::System { what: "read the token", source })?;
    }
    text.trim()
        .parse()
        .map_err(|error: muster_link::token::NotAToken| Fatal::Usage(error.to_string()))
}

fn own_name() -> Result<String, Fatal> {
    let name = nix::unistd::gethostname()
        .map_err(|errno| Fatal::System { what: "read the host name", source: errno.into() })?;
    muster_policy::document::parse_host_name(&name.to_string_lossy())
        .map_err(|why| Fatal::Usage(format!("{why}: say it with --name or in [host] name")))
}
