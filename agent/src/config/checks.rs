//! `[checks."ID"]`: what the operator changed of a check.

use muster_policy::document::{Section, nearest};
use muster_proto::verdict::Urgency;

use crate::checks::{catalogue, find};

/// `[checks."fs.space"]`
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CheckConfig {
    /// Stable id, `group.name`.
    pub id: String,
    /// `false` switches the check off.
    pub enabled: Option<bool>,
    /// Threshold of WARN, in the check's own unit.
    pub warn: Option<f64>,
    /// Threshold of CRIT, in the check's own unit.
    pub crit: Option<f64>,
    /// Who should hear of it.
    pub urgency: Option<Urgency>,
    /// Who owns it.
    pub owner: Option<String>,
    /// What to do: a hint or a URL.
    pub runbook: Option<String>,
}

pub(super) fn settle(section: Section<'_>) -> Vec<CheckConfig> {
    section.named().into_iter().map(|(id, section)| settle_check(id, section)).collect()
}

fn settle_check(id: String, section: Section<'_>) -> CheckConfig {
    if find(&id).is_none() {
        let near = nearest(&id, catalogue().iter().map(|check| check.id));
        let hint = near.map_or_else(
            || "see `muster-agent checks list`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        section.complain(format!("there is no check `{id}`"), hint);
    }
    let check = CheckConfig {
        id,
        enabled: section.boolean("enabled"),
        warn: section.number("warn"),
        crit: section.number("crit"),
        urgency: section.parse("urgency", |text| match text {
            "info" => Ok(Urgency::Info),
            "ticket" => Ok(Urgency::Ticket),
            "page" => Ok(Urgency::Page),
            _ => Err(format!("\"{text}\" is not info, ticket or page")),
        }),
        owner: section.string("owner"),
        runbook: section.string("runbook"),
    };
    section.finish();
    check
}
