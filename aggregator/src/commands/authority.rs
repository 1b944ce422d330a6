//! `init` and `cert`: the authority and the certificates it gave out.

use std::net::ToSocketAddrs as _;
use std::process::ExitCode;

use muster_link::Role;
use muster_link::ca::{Ca, Which, Wish};
use muster_link::enrol::{Enrolment, enrol};
use muster_link::identity::{Fresh, Identity, new_key_and_csr};
use muster_link::token::Token;
use muster_policy::document::AggregatorAddress;
use muster_program::listing::{print_json, print_line, table};
use serde_json::json;

use super::Outcome;
use crate::app::{identity_dir, utc_now};
use crate::authority::CERTIFICATE_TTL;
use crate::cli::CertVerb;
use crate::config::Config;
use crate::fatal::Fatal;

/// Makes the authority and this aggregator's own certificate.
pub(super) fn init(config: &Config, organisation: &str) -> Outcome {
    if organisation.trim().is_empty() || organisation.chars().any(char::is_control) {
        return Err(Fatal::Usage("--organisation must have a name".to_owned()));
    }
    let now = utc_now();
    let ca = Ca::init(&config.ca_dir, organisation, now)?;
    let key = new_key_and_csr(&config.name).map_err(Fatal::Identity)?;
    let wish =
        Wish { csr: &key.csr, name: &config.name, role: Role::Aggregator, ttl: CERTIFICATE_TTL };
    let certified = ca.issue(&wish, now)?;
    let dir = identity_dir(&config.state_dir);
    let roots = [ca.certificate().to_vec()];
    let fresh = Fresh { key_pem: &key.key_pem, chain: &certified.chain, roots: &roots };
    Identity::install(&dir, &fresh).map_err(Fatal::Identity)?;
    print_line(format_args!("authority   {}", config.ca_dir.display()))?;
    print_line(format_args!("certificate {} for {}", dir.display(), config.name))?;
    print_line(
        "next        muster-aggregator run; then muster-aggregator token create for each host",
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Gets this aggregator's certificate from the one that has the authority.
pub(super) fn join(config: &Config, aggregator: &str, token: &str) -> Outcome {
    let target = AggregatorAddress::parse(aggregator).map_err(Fatal::Usage)?;
    let token: Token = token
        .parse()
        .map_err(|error: muster_link::token::NotAToken| Fatal::Usage(error.to_string()))?;
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
        name: &config.name,
        role: Role::Aggregator,
    };
    let runtime = muster_program::runtime::single(1)
        .map_err(|source| Fatal::System { what: "start the runtime", source })?;
    let identity =
        runtime.block_on(enrol(&asked, &dir)).map_err(|error| Fatal::Join(Box::new(error)))?;
    print_line(format_args!("certificate {} for {}", dir.display(), identity.name()))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn open(config: &Config) -> Result<Ca, Fatal> {
    if !is_here(config)? {
        return Err(Fatal::NoAuthority { dir: config.ca_dir.clone() });
    }
    Ok(Ca::open(&config.ca_dir)?)
}

/// Whether this aggregator has the authority.
pub(super) fn is_here(config: &Config) -> Result<bool, Fatal> {
    let found = config.ca_dir.join("ca.key").try_exists();
    found.map_err(|source| Fatal::System { what: "look for the authority", source })
}

/// `cert …`
pub(super) fn cert(config: &Config, verb: CertVerb) -> Outcome {
    let ca = open(config)?;
    match verb {
        CertVerb::Ls { json } => list(&ca, json),
        CertVerb::Revoke { name } => {
            let revoked = ca.revoke(Which::Name(&name), utc_now())?;
            print_line(format_args!("{} certificates of {name} revoked", revoked.len()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(ca: &Ca, json: bool) -> Outcome {
    let issued = ca.issued()?;
    let revoked = ca.revoked()?;
    let is_revoked = |serial: &[u8]| revoked.iter().any(|entry| entry.serial == serial);
    if json {
        let row = |entry: &muster_link::ca::Issued| {
            json!({
                "name": entry.name, "role": entry.role.name(), "serial": muster_link::crypto::hex(&entry.serial),
                "expires_at": entry.expires_at.as_secs(), "revoked": is_revoked(&entry.serial),
            })
        };
        print_json(&issued.iter().map(row).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&["name", "role", "serial", "expires", "state"]);
    for entry in &issued {
        let expires = jiff::Timestamp::from_second(entry.expires_at.as_secs()).unwrap_or_default();
        let state = if is_revoked(&entry.serial) { "revoked" } else { "good" };
        let serial = muster_link::crypto::hex(&entry.serial);
        rows.add_row([&entry.name, entry.role.name(), &serial, &expires.to_string(), state]);
    }
    print_line(rows)?;
    Ok(ExitCode::SUCCESS)
}
