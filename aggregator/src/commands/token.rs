//! `token create|ls|revoke`: what lets hosts and aggregators get certificates, and readers use the API.

use std::process::ExitCode;
use std::time::Duration;

use muster_link::Role;
use muster_link::ca::CaError;
use muster_link::token::{Kept, Terms};
use muster_program::listing::{print_json, print_line, table};
use muster_proto::clock::Utc;
use serde_json::{Value, json};

use super::{Outcome, authority};
use crate::api::{Granted, Reader};
use crate::app::utc_now;
use crate::cli::{NewToken, RoleName, TokenVerb};
use crate::config::Config;
use crate::fatal::Fatal;
use crate::tokens;

/// Digits of a digest that name a token to people.
const ID_DIGITS: usize = 12;
/// Longest life of a token: as long as a certificate authority's.
const TTL_MAX: Duration = Duration::from_secs(3650 * 86_400);
/// Uses of a token when nobody says.
const USES_DEFAULT: u32 = 1;

pub(super) fn run(config: &Config, verb: TokenVerb) -> Outcome {
    match verb {
        TokenVerb::Create(new) => create(config, new),
        TokenVerb::Ls { json } => list(config, json),
        TokenVerb::Revoke { id } => revoke(config, &id),
    }
}

fn create(config: &Config, new: NewToken) -> Outcome {
    let NewToken { ttl, uses, host, role, classes } = new;
    let wrong = |what: &str| Err(Fatal::Usage(what.to_owned()));
    if ttl < Duration::from_secs(1) {
        return wrong("--ttl must be at least 1s: the token would never open anything");
    }
    if ttl > TTL_MAX {
        return wrong("--ttl is at most 3650d");
    }
    if role != RoleName::Reader && !classes.is_empty() {
        return wrong("--class is only for --role reader");
    }
    if matches!(role, RoleName::Reader | RoleName::Admin) && uses.is_some() {
        return wrong(
            "--uses is only for --role agent and aggregator: a reader's token lives until --ttl",
        );
    }
    let (now, uses) = (utc_now(), uses.unwrap_or(USES_DEFAULT));
    let (role, granted) = match role {
        RoleName::Agent => (Role::Agent, None),
        RoleName::Aggregator => (Role::Aggregator, None),
        RoleName::Reader => (Role::Admin, Some(Granted::Named(classes.into_iter().collect()))),
        RoleName::Admin => (Role::Admin, Some(Granted::All)),
    };
    let expires_at = now.after(ttl);
    if let Some(granted) = granted {
        let name = host.unwrap_or_else(|| role_name(&granted).to_owned());
        print_line(tokens::create(&config.state_dir, &Reader { name, granted }, expires_at)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let names = host.unwrap_or_else(|| "*".to_owned());
    let terms = Terms { role, names, uses, expires_at };
    print_line(authority::open(config)?.create_token(terms, now)?)?;
    Ok(ExitCode::SUCCESS)
}

/// One row of the list.
struct Row {
    id: String,
    role: String,
    name: String,
    uses_left: Option<u32>,
    classes: Vec<String>,
    expires_at: Utc,
}

impl Row {
    fn of_kept(kept: Kept) -> Row {
        let Terms { role, names, uses, expires_at } = kept.terms;
        let id = id_of(&kept.digest);
        Row {
            id,
            role: role.to_string(),
            name: names,
            uses_left: Some(uses),
            classes: Vec::new(),
            expires_at,
        }
    }

    fn of_reader(known: tokens::Known) -> Row {
        let Reader { name, granted } = known.reader;
        let (role, id) = (role_name(&granted).to_owned(), id_of(&known.digest));
        let classes = match granted {
            Granted::All => Vec::new(),
            Granted::Named(classes) => classes.into_iter().collect(),
        };
        Row { id, role, name, uses_left: None, classes, expires_at: known.expires_at }
    }

    fn state(&self, now: Utc) -> &'static str {
        match self.uses_left {
            _ if self.expires_at <= now => "expired",
            Some(0) => "used up",
            _ => "good",
        }
    }

    fn json(&self, now: Utc) -> Value {
        json!({
            "id": self.id, "role": self.role, "name": self.name, "uses_left": self.uses_left,
            "classes": self.classes, "expires_at": self.expires_at.as_secs(), "state": self.state(now),
        })
    }
}

fn id_of(digest: &str) -> String {
    digest.chars().take(ID_DIGITS).collect()
}

fn role_name(granted: &Granted) -> &'static str {
    match granted {
        Granted::All => "admin",
        Granted::Named(_) => "reader",
    }
}

/// Those of the authority, where there is one, then those of this aggregator's API.
fn list(config: &Config, json: bool) -> Outcome {
    let mut rows = Vec::new();
    if authority::is_here(config)? {
        rows.extend(authority::open(config)?.tokens()?.into_iter().map(Row::of_kept));
    }
    rows.extend(tokens::list(&config.state_dir)?.into_iter().map(Row::of_reader));
    let now = utc_now();
    if json {
        print_json(&rows.iter().map(|row| row.json(now)).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut printed = table(&["id", "role", "name", "uses left", "classes", "expires", "state"]);
    for row in &rows {
        let expires = jiff::Timestamp::from_second(row.expires_at.as_secs()).unwrap_or_default();
        printed.add_row([
            row.id.clone(),
            row.role.clone(),
            row.name.clone(),
            row.uses_left.map_or_else(|| "-".to_owned(), |uses| uses.to_string()),
            row.classes.join(","),
            expires.to_string(),
            row.state(now).to_owned(),
        ]);
    }
    print_line(printed)?;
    Ok(ExitCode::SUCCESS)
}

fn revoke(config: &Config, id: &str) -> Outcome {
    let is_id = id.len() >= 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        let what = format!("\"{id}\" is not an id of `muster-aggregator token ls`");
        return Err(Fatal::Usage(what));
    }
    let id = id.to_ascii_lowercase();
    if !tokens::remove(&config.state_dir, &id)? {
        authority::open(config)?.remove_token(&id).map_err(|error| match error {
            CaError::Unknown { .. } => {
                Fatal::Usage(format!("there is no token {id}: see token ls"))
            }
            error => error.into(),
        })?;
    }
    print_line(format_args!("token {id} is revoked"))?;
    Ok(ExitCode::SUCCESS)
}
