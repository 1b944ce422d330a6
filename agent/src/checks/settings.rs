//! The operator's will about checks: thresholds, urgency, owner, runbook, by id and by instance.
//!
//! Plain structs: reading them from a file is the config room's work. An override names an instance
//! pattern (`*` any run of characters, `?` one) and the last one that matches wins, field by field.

use std::collections::BTreeMap;

use muster_proto::verdict::Urgency;

use super::definition::{About, Scale};

/// What the operator changed about checks. The default changes nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// By check id; within one id in the order written.
    pub overrides: BTreeMap<String, Vec<Override>>,
}

/// One change to one check, for the instances it names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Override {
    /// Which instances: a pattern with `*` and `?`. Empty means all.
    pub instance: String,
    /// `false` silences the check: it does not exist any more. Default: enabled.
    pub enabled: Option<bool>,
    /// Threshold of WARN, in the unit of the check's scale.
    pub warn: Option<f64>,
    /// Threshold of CRIT, in the unit of the check's scale.
    pub crit: Option<f64>,
    /// Who hears of it.
    pub urgency: Option<Urgency>,
    /// Who owns it.
    pub owner: Option<String>,
    /// What to do: a hint or a URL.
    pub runbook: Option<String>,
}

impl Settings {
    /// Adds a change for all instances of a check, or for those a pattern names.
    pub fn add(&mut self, id: &str, change: Override) {
        self.overrides.entry(id.to_owned()).or_default().push(change);
    }

    /// Whether this instance of this check is to be asked at all.
    pub fn is_enabled(&self, id: &str, instance: &str) -> bool {
        self.last(id, instance, |change| change.enabled).unwrap_or(true)
    }

    /// The thresholds in force.
    pub fn scale(&self, about: &About, instance: &str) -> Scale {
        let warn = self.last(about.id, instance, |change| change.warn);
        let crit = self.last(about.id, instance, |change| change.crit);
        Scale { warn: warn.or(about.scale.warn), crit: crit.or(about.scale.crit), ..about.scale }
    }

    /// The urgency in force.
    pub fn urgency(&self, about: &About, instance: &str) -> Urgency {
        self.last(about.id, instance, |change| change.urgency).unwrap_or(about.urgency)
    }

    /// The owner; empty when nobody said.
    pub fn owner(&self, id: &str, instance: &str) -> String {
        self.last(id, instance, |change| change.owner.clone()).unwrap_or_default()
    }

    /// The runbook in force.
    pub fn runbook(&self, about: &About, instance: &str) -> String {
        self.last(about.id, instance, |change| change.runbook.clone())
            .unwrap_or_else(|| about.runbook.to_owned())
    }

    /// Ids that no check has: a typo that would otherwise silence nothing, silently.
    pub fn unknown_ids(&self) -> Vec<&str> {
        let is_known = |id: &str| super::CHECKS.iter().any(|check| check.id() == id);
        self.overrides.keys().map(String::as_str).filter(|id| !is_known(id)).collect()
    }

    fn last<T>(
        &self,
        id: &str,
        instance: &str,
        field: impl Fn(&Override) -> Option<T>,
    ) -> Option<T> {
        let changes = self.overrides.get(id)?;
        let matching = changes.iter().rev().filter(|change| is_match(&change.instance, instance));
        matching.filter_map(field).next()
    }
}

/// Whether a pattern names an instance. Takes at most the product of both lengths.
fn is_match(pattern: &str, instance: &str) -> bool {
    if pattern.is_empty() {
        return true;
    }
    let (pattern, text) = (pattern.as_bytes(), instance.as_bytes());
    let (mut at, mut pos) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while pos < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, pos));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[pos] => {
                at += 1;
                pos += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    at = after_star;
                    pos = from + 1;
                    retry = Some((after_star, pos));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_instances() {
        for (pattern, instance, expected) in [
            ("", "/", true),
            ("*", "", true),
            ("/srv*", "/srv/data", true),
            ("/srv*", "/var", false),
            ("*.service", "foo.service", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxxcx", false),
            ("eth?", "eth0", true),
            ("eth?", "eth10", false),
        ] {
            assert_eq!(is_match(pattern, instance), expected, "{pattern} on {instance}");
        }
    }

    #[test]
    fn the_last_match_wins_field_by_field() {
        let mut settings = Settings::default();
        settings.add(
            "fs.space",
            Override { warn: Some(20.0), owner: Some("sre".into()), ..Override::default() },
        );
        settings.add(
            "fs.space",
            Override { instance: "/srv*".into(), warn: Some(1.0), ..Override::default() },
        );
        let about = crate::checks::find("fs.space").expect("is a check").about();
        assert_eq!(settings.scale(about, "/").warn, Some(20.0));
        assert_eq!(settings.scale(about, "/srv/a").warn, Some(1.0));
        assert_eq!(settings.scale(about, "/srv/a").crit, about.scale.crit);
        assert_eq!(settings.owner("fs.space", "/srv/a"), "sre");
        settings.add("fs.spcae", Override::default());
        assert_eq!(settings.unknown_ids(), ["fs.spcae"]);
    }
}
