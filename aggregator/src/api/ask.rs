//! Questions: path and query in, a checked question out. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_policy::selector::Selector;
use muster_proto::clock::Utc;
use muster_proto::log::Severity;
use muster_proto::verdict::Verdict;
use serde::{Deserialize, Serialize};

use super::moment::{parse_moment, parse_span};
use super::problem::Problem;

/// Lines of a log answer when the question does not say.
pub const LINES_DEFAULT: usize = 1_000;
/// Lines of one log answer.
pub const LINES_MAX: usize = 100_000;
/// Points of one series in a range.
pub const POINTS_MAX: u64 = 11_000;
/// Selectors of one `match[]` list.
pub const MATCHES_MAX: usize = 64;

/// Which log classes a reader may see beside the unrestricted ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Granted {
    /// All of them.
    All,
    /// These.
    Named(BTreeSet<String>),
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// For the audit log: `uid 0`, the name of a token.
    pub name: String,
    /// Restricted log classes.
    pub granted: Granted,
}

/// A question as it came: what HTTP says, without HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Path, percent-decoded by the caller, e.g. `/api/v1/hosts/db1`.
    pub path: String,
    /// Query pairs, decoded, in order.
    pub query: Vec<(String, String)>,
    /// Who asks.
    pub reader: Reader,
}

/// Which page is asked for.
#[derive(Debug, Clone)]
pub(super) enum Page {
    Status,
    Hosts(Selector),
    Host(String),
    Checks(Selector),
    Incidents,
    Logs,
    Metrics,
    Own,
    Federate,
}

/// A checked question.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub page: Page,
    /// What every aggregator is asked; `None` when only this one can know.
    pub question: Option<Question>,
    /// Peers are left out.
    pub local: bool,
}

/// What aggregators ask one another, as CBOR. Fields are only ever added, with a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Question {
    /// Hosts and checks.
    Fleet(FleetAsk),
    /// Log lines.
    Logs(LogAsk),
    /// Last values or ranges of series.
    Series(SeriesAsk),
    /// Hosts with all their checks, and last values: the fleet as a Prometheus page.
    Federate(FleetAsk, SeriesAsk),
    /// What is wrong with the fleet.
    Incidents(IncidentAsk),
}

/// Which incidents are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IncidentAsk {
    /// Also those that are over.
    pub all: bool,
}

/// Which hosts and checks are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FleetAsk {
    /// Only this host.
    pub host: Option<String>,
    /// Checks, too.
    pub checks: bool,
    /// Only checks that say one of these; empty = all.
    pub verdicts: Vec<Verdict>,
    /// Only checks of this id, with `*` and `?`.
    pub id: Option<String>,
    /// With the evidence.
    pub evidence: bool,
}

/// Which log lines are wanted. The fields are those of the store's own question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAsk {
    /// The line contains this text.
    pub text: Option<String>,
    /// `text` is a regular expression.
    pub regex: bool,
    /// ASCII case does not matter.
    pub any_case: bool,
    /// From this moment on.
    pub since: Option<Utc>,
    /// Before this moment.
    pub until: Option<Utc>,
    /// Any of these hosts, with `*` and `?`; empty = all, as below.
    pub hosts: Vec<String>,
    /// Any of these datacenters.
    pub datacenters: Vec<String>,
    /// Any of these classes, exactly.
    pub classes: Vec<String>,
    /// Any of these programs.
    pub programs: Vec<String>,
    /// Any of these paths or units.
    pub sources: Vec<String>,
    /// This bad or worse.
    pub severity: Option<Severity>,
    /// At most so many lines.
    pub limit: usize,
    /// The earliest line first.
    pub oldest_first: bool,
    /// What the reader may see; each aggregator applies it to its own restricted classes.
    pub granted: Granted,
}

/// Which series are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesAsk {
    /// Selectors in Prometheus' syntax, ORed: `node_load1{host="db1"}`.
    pub queries: Vec<String>,
    /// A range instead of the last values.
    pub range: Option<RangeAsk>,
}

/// A range of time in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeAsk {
    /// First moment.
    pub since: Utc,
    /// Last moment.
    pub until: Utc,
    /// Between points. Microseconds, not 0.
    pub step_us: u64,
}

/// Reads path and query.
///
/// # Errors
/// [`Problem`] 404 for a path that is none, 400 for a parameter that is unknown or wrong.
pub(super) fn parse_ask(ask: &Ask, now: Utc) -> Result<Request, Problem> {
    let mut pairs = Pairs { pairs: ask.query.clone(), now };
    let (page, question) = match ask.path.strip_prefix("/api/v1/").unwrap_or(&ask.path) {
        "status" => (Page::Status, Some(Question::Fleet(FleetAsk::default()))),
        "hosts" => (Page::Hosts(pairs.selector()?), Some(Question::Fleet(FleetAsk::default()))),
        "checks" => (Page::Checks(pairs.selector()?), Some(Question::Fleet(pairs.checks()?))),
        "incidents" => {
            let all = pairs.flag("all")?;
            (Page::Incidents, Some(Question::Incidents(IncidentAsk { all })))
        }
        "logs" => (Page::Logs, Some(Question::Logs(pairs.logs(&ask.reader)?))),
        "metrics" => (Page::Metrics, Some(Question::Series(pairs.series()?))),
        "/metrics" => (Page::Own, None),
        "/federate" => (Page::Federate, Some(pairs.federate()?)),
        path => match path.strip_prefix("hosts/") {
            Some(host) if !host.is_empty() => {
                let host = host.to_ascii_lowercase();
                let fleet = FleetAsk {
                    host: Some(host.clone()),
                    checks: true,
                    evidence: true,
                    ..FleetAsk::default()
                };
                (Page::Host(host), Some(Question::Fleet(fleet)))
            }
            _ => return Err(Problem::not_found(format!("there is no page {}", ask.path))),
        },
    };
    let local = pairs.scope()?;
    match pairs.pairs.first() {
        Some((name, _)) => {
            Err(Problem::question(format!("{} has no parameter `{name}`", ask.path)))
        }
        None => Ok(Request { page, question, local }),
    }
}

/// Query pairs that are taken one name at a time; what is left over is a mistake.
struct Pairs {
    pairs: Vec<(String, String)>,
    now: Utc,
}

impl Pairs {
    /// Every value of a name.
    fn all(&mut self, name: &str) -> Vec<String> {
        self.pairs.extract_if(.., |(key, _)| key == name).map(|(_, value)| value).collect()
    }

    /// The values of a name, with commas taken apart.
    fn list(&mut self, name: &str) -> Vec<String> {
        let values = self.all(name);
        let words = values.iter().flat_map(|value| value.split(','));
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// The one value of a name.
    fn one(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.all(name);
        if values.len() > 1 {
            return Err(Problem::question(format!("`{name}` stands {} times", values.len())));
        }
        Ok(values.pop())
    }

    fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.one(name)?.as_deref() {
            None | Some("0" | "false") => Ok(false),
            Some("" | "1" | "true") => Ok(true),
            Some(other) => {
                Err(Problem::question(format!("`{name}` is true or false, not `{other}`")))
            }
        }
    }

    fn moment(&mut self, name: &str) -> Result<Option<Utc>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let wrong = || {
            Problem::question(format!(
                "`{name}` is not a time: `{text}`; write 2026-11-20T10:00:00Z or 1h"
            ))
        };
        parse_moment(&text, self.now).map(Some).ok_or_else(wrong)
    }

    fn scope(&mut self) -> Result<bool, Problem> {
        match self.one("scope")?.as_deref() {
            None | Some("fleet") => Ok(false),
            Some("local") => Ok(true),
            Some(other) => {
                Err(Problem::question(format!("`scope` is local or fleet, not `{other}`")))
            }
        }
    }

    fn selector(&mut self) -> Result<Selector, Problem> {
        let text = self.one("selector")?.unwrap_or_default();
        text.parse().map_err(|error| Problem::question(format!("in the selector, {error}")))
    }

    fn checks(&mut self) -> Result<FleetAsk, Problem> {
        let verdicts: Result<Vec<Verdict>, Problem> =
            self.list("state").iter().map(|word| verdict(word)).collect();
        let host = self.one("host")?.map(|host| host.to_ascii_lowercase());
        Ok(FleetAsk {
            host,
            checks: true,
            verdicts: verdicts?,
            id: self.one("id")?,
            evidence: false,
        })
    }

    fn logs(&mut self, reader: &Reader) -> Result<LogAsk, Problem> {
        let limit = match self.one("limit")? {
            None => LINES_DEFAULT,
            Some(text) => match text.parse() {
                Ok(limit) if (1..=LINES_MAX).contains(&limit) => limit,
                _ => {
                    return Err(Problem::question(format!(
                        "`limit` is 1 to {LINES_MAX}, not `{text}`"
                    )));
                }
            },
        };
        let severity = self.one("severity")?.map(|word| severity(&word)).transpose()?;
        let oldest_first = match self.one("order")?.as_deref() {
            None | Some("newest") => false,
            Some("oldest") => true,
            Some(other) => {
                return Err(Problem::question(format!(
                    "`order` is newest or oldest, not `{other}`"
                )));
            }
        };
        Ok(LogAsk {
            text: self.one("q")?.filter(|text| !text.is_empty()),
            regex: self.flag("regex")?,
            any_case: self.flag("any_case")?,
            since: self.moment("since")?,
            until: self.moment("until")?,
            hosts: self.list("host"),
            datacenters: self.list("datacenter"),
            classes: self.list("class"),
            programs: self.list("program"),
            sources: self.list("source"),
            severity,
            limit,
            oldest_first,
            granted: reader.granted.clone(),
        })
    }

    fn series(&mut self) -> Result<SeriesAsk, Problem> {
        let Some(query) = self.one("q")?.filter(|query| !query.is_empty()) else {
            return Err(Problem::question("`q` is missing: which series? e.g. q=node_load1"));
        };
        let (since, until) = (self.moment("since")?, self.moment("until")?);
        let step = self.one("step")?;
        let range = match (since, until, &step) {
            (None, None, None) => None,
            (None, ..) => return Err(Problem::question("a range needs `since`")),
            (Some(since), until, step) => {
                Some(range(since, until.unwrap_or(self.now), step.as_deref())?)
            }
        };
        Ok(SeriesAsk { queries: vec![query], range })
    }

    fn federate(&mut self) -> Result<Question, Problem> {
        let mut queries = self.all("match[]");
        queries.extend(self.all("match"));
        if queries.len() > MATCHES_MAX {
            return Err(Problem::question(format!("at most {MATCHES_MAX} `match[]`")));
        }
        let fleet = FleetAsk { checks: true, ..FleetAsk::default() };
        Ok(Question::Federate(fleet, SeriesAsk { queries, range: None }))
    }
}

/// The range, with a step that keeps within [`POINTS_MAX`].
fn range(since: Utc, until: Utc, step: Option<&str>) -> Result<RangeAsk, Problem> {
    let length = until.since(since);
    if length.is_zero() {
        return Err(Problem::question("`until` must be after `since`"));
    }
    let step = match step {
        // About 250 points, and never finer than the usual scrape.
        None => (length / 250).max(Duration::from_secs(15)),
        Some(text) => match parse_span(text) {
            Some(step) if !step.is_zero() => step,
            _ => {
                return Err(Problem::question(format!(
                    "`step` is a length of time such as 1m, not `{text}`"
                )));
            }
        },
    };
    if length.as_micros() / step.as_micros() > u128::from(POINTS_MAX) {
        return Err(Problem::too_much(format!(
            "more than {POINTS_MAX} points a series; make `step` larger"
        )));
    }
    Ok(RangeAsk { since, until, step_us: u64::try_from(step.as_micros()).unwrap_or(u64::MAX) })
}

fn verdict(word: &str) -> Result<Verdict, Problem> {
    let all = [Verdict::Ok, Verdict::Warn, Verdict::Crit, Verdict::Unknown];
    let found = all.into_iter().find(|verdict| verdict.name() == word);
    found.ok_or_else(|| {
        Problem::question(format!("`state` is ok, warn, crit or unknown, not `{word}`"))
    })
}

fn severity(word: &str) -> Result<Severity, Problem> {
    let usual = match word {
        "error" => "err",
        "warn" => "warning",
        "critical" => "crit",
        "panic" | "emergency" => "emerg",
        other => other,
    };
    let found = Severity::ALL.into_iter().find(|severity| severity.name() == usual);
    found.ok_or_else(|| {
        Problem::question(format!(
            "`severity` is emerg, alert, crit, err, warning, notice, info or debug, not `{word}`"
        ))
    })
}
