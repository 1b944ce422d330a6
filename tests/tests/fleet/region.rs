//! Three datacenters with two aggregators and four agents each, lines flowing: one aggregator, both of a
//! datacenter, a whole datacenter and the path between two are taken away in every way there is. Who
//! loses its aggregator is served elsewhere at once, everybody comes home, every line is there once.

use std::ops::RangeInclusive;
use std::time::Duration;

use muster_tests::fleet::{End, Fleet, Host, Numbered, Plan, Role};
use muster_tests::rig::{Tally, eventually, tell, tell_on, text, within};
use serde_json::Value;

/// Where it happens. Its first aggregator has the certificate authority: nothing may depend on it.
const STRUCK: &str = "eqiad";
const DATACENTERS: [&str; 3] = [STRUCK, "codfw", "esams"];
/// Who is asked about incidents: it stands where nothing is taken away.
const WITNESS: &str = "agg1.esams.test";
const PATIENCE: Duration = Duration::from_secs(90);
/// To the first acked frame elsewhere. About a second, says the design; two busy cores run 18 hosts here.
const SILENT_MS_MAX: u64 = 5_000;
/// Time between two lines of a host.
const LINE_S: f32 = 0.05;

/// How something is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Kill,
    Freeze,
    Cut,
    Stop,
    Reboot,
}

/// What is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Aggregator,
    BothAggregators,
    Datacenter,
}

/// One line of the table.
struct Row {
    what: String,
    silent_ms: Vec<u64>,
    verdict: String,
}

struct Story {
    fleet: Fleet,
}

#[test]
fn whatever_is_taken_away_agents_are_served_elsewhere_and_no_line_is_lost_or_doubled() {
    let Some(mut fleet) = Fleet::open("fleet: a region") else { return };
    fleet.boot(&plans());
    fleet.install();
    for host in fleet.with_role(Role::Aggregator) {
        // What is killed shall stay away until it is wanted again.
        host.write(
            "/etc/systemd/system/muster-aggregator.service.d/stay.conf",
            "[Service]\nRestart=no\n",
        );
        host.sh("systemctl daemon-reload");
    }
    for host in fleet.with_role(Role::Agent) {
        Numbered::begin(host, LINE_S);
    }
    fleet.wait_live();
    let mut story = Story { fleet };
    tell(&format!("{:24} {:>5} {:>8} {:>8}  incident", "taken away", "moved", "median", "worst"));
    for scope in [Scope::Aggregator, Scope::BothAggregators, Scope::Datacenter] {
        for way in [Way::Kill, Way::Freeze, Way::Cut, Way::Stop, Way::Reboot] {
            story.take_away(way, scope);
        }
    }
    story.cut_path();
    for host in story.fleet.with_role(Role::Agent) {
        let written = Numbered::of(host).end();
        Tally::settle_host(&story.fleet, Some(&host.name), written, PATIENCE);
    }
}

fn plans() -> Vec<Plan> {
    let mut plans = Vec::new();
    for datacenter in DATACENTERS {
        for n in 1..=2 {
            plans.push(Plan::aggregator(&format!("agg{n}.{datacenter}.test")));
        }
        for n in 1..=4 {
            let plan = Plan::agent(&format!("db{n}.{datacenter}.test"));
            plans.push(plan.with_config(Numbered::CONFIG));
        }
    }
    plans
}

impl Story {
    /// Takes something away, waits until whom it served is served elsewhere, gives it back, waits until
    /// everybody is home.
    fn take_away(&mut self, way: Way, scope: Scope) {
        self.wait_calm();
        let victims = self.victims(scope);
        let moved = self.served_by(&victims, scope == Scope::Datacenter);
        match (way, scope) {
            (Way::Cut, Scope::Datacenter) => {
                self.fleet.cut(End::Site(STRUCK), End::Others);
            }
            (Way::Cut, _) => victims.iter().for_each(|name| {
                self.fleet.cut(End::Host(name), End::Others);
            }),
            _ => {}
        }
        // What reboots is back in a second, and then as good as any other.
        let away: &[String] = if way == Way::Reboot { &[] } else { &victims };
        let silent_ms = std::thread::scope(|threads| {
            threads.spawn(|| self.at_once(&victims, |host| strike(host, way, scope)));
            moved.iter().map(|(name, before)| self.silence(name, *before, away)).collect()
        });
        let verdict = self.told(expected(way, scope, &victims));
        Row { what: format!("{way:?} {scope:?}"), silent_ms, verdict }.tell();
        match way {
            Way::Cut => self.fleet.heal_all(),
            _ => self.at_once(&victims, |host| mend(host, way, scope)),
        }
    }

    /// Agents stay at home when only the path between two datacenters breaks.
    fn cut_path(&mut self) {
        self.wait_calm();
        let cut = self.fleet.cut(End::Site(DATACENTERS[0]), End::Site(DATACENTERS[1]));
        self.wait_home();
        let path = format!("path {} {}", DATACENTERS[1], DATACENTERS[0]);
        let verdict = self.told(Some(("path", path, 0..=0)));
        Row { what: "Cut Path".to_owned(), silent_ms: Vec::new(), verdict }.tell();
        self.fleet.heal(cut);
    }

    fn victims(&self, scope: Scope) -> Vec<String> {
        let here = self.fleet.hosts.iter().filter(|host| host.plan.datacenter() == STRUCK);
        let aggregators = here.clone().filter(|host| host.plan.role == Role::Aggregator);
        let names = |hosts: Vec<&Host>| hosts.iter().map(|host| host.name.clone()).collect();
        match scope {
            Scope::Datacenter => names(here.collect()),
            Scope::BothAggregators => names(aggregators.collect()),
            // The busier of the two.
            Scope::Aggregator => {
                let served =
                    |host: &&Host| self.served_by(std::slice::from_ref(&host.name), false).len();
                names(aggregators.max_by_key(served).into_iter().collect())
            }
        }
    }

    /// The agents that talk to one of these, and how often each has switched. When a whole datacenter
    /// goes its own agents go with it.
    fn served_by(&self, victims: &[String], with_hosts: bool) -> Vec<(String, u64)> {
        let agents = self.fleet.with_role(Role::Agent);
        agents
            .filter(|host| !with_hosts || !victims.contains(&host.name))
            .filter_map(|host| {
                let status = host.agent_status().expect("it answers");
                let is_served = victims.iter().any(|name| text(&status, "aggregator") == name);
                is_served.then(|| (host.name.clone(), status["switches"].as_u64().unwrap()))
            })
            .collect()
    }

    /// How long an agent had no ack until another one acked that is not away.
    fn silence(&self, agent: &str, before: u64, away: &[String]) -> u64 {
        let host = self.fleet.host(agent);
        let mut last = None;
        let silent_ms = within(PATIENCE, || {
            last = host.agent_status();
            let (status, switch) = (last.as_ref()?, &last.as_ref()?["last_switch"]);
            let is_new = status["switches"].as_u64()? > before;
            let is_elsewhere = !away.iter().any(|name| text(switch, "to") == name);
            (is_new && is_elsewhere).then(|| switch["silent_ms"].as_u64())?
        });
        let told = |what: &str| -> ! {
            panic!("{agent}: {what}: {last:#?}\n{}", host.journal("muster-agent"))
        };
        let silent_ms = silent_ms.unwrap_or_else(|| told("not served elsewhere"));
        if silent_ms > SILENT_MS_MAX {
            told("too long without an ack");
        }
        silent_ms
    }

    fn at_once(&self, victims: &[String], act: impl Fn(&Host) + Sync) {
        std::thread::scope(|scope| {
            for name in victims {
                scope.spawn(|| act(self.fleet.host(name)));
            }
        });
    }

    /// Incidents that are open, as the witness tells them.
    fn incidents(&self) -> Vec<Value> {
        self.fleet.host(WITNESS).ask(&["incidents", "--json"]).array()
    }

    /// Waits until exactly the expected incident is told; gives its verdict. Without one, nothing is.
    fn told(&self, expected: Option<Expected>) -> String {
        let Some((kind, scope, hosts)) = expected else {
            let found = self.incidents();
            if !found.is_empty() {
                let struck = self.fleet.with_role(Role::Aggregator).map(|host| {
                    format!("{}:\n{}", host.name, host.journal(Role::Aggregator.unit()))
                });
                let journals: Vec<String> = struck.collect();
                panic!("nothing worth an incident: {found:#?}\n{}", journals.join("\n"));
            }
            return "-".to_owned();
        };
        let mut last = Vec::new();
        let told = within(PATIENCE, || {
            last = self.incidents();
            let [row] = &last[..] else { return None };
            let is_it = text(row, "kind") == kind && text(row, "scope") == scope;
            (is_it && hosts.contains(&row["hosts"].as_u64()?))
                .then(|| text(row, "verdict").to_owned())
        });
        told.unwrap_or_else(|| panic!("not {kind} of {scope} with {hosts:?} hosts: {last:#?}"))
    }

    /// Every agent is served in its own datacenter, and nothing is wrong any more.
    fn wait_calm(&self) {
        self.wait_home();
        let mut last = Vec::new();
        let calm = within(PATIENCE * 2, || {
            last = self.incidents();
            last.is_empty().then_some(())
        });
        calm.unwrap_or_else(|| panic!("still open: {last:#?}"));
    }

    /// Every agent is served in its own datacenter.
    fn wait_home(&self) {
        for host in self.fleet.with_role(Role::Agent) {
            eventually(&format!("{} is home", host.name), PATIENCE, || {
                let status = host.agent_status()?;
                let is_home = text(&status, "uplink") == "live"
                    && text(&status, "aggregator").contains(host.plan.datacenter());
                (is_home && status["last_ack_s"].as_u64()? <= 1).then_some(())
            });
        }
    }
}

/// Kind and scope of an incident, and how many hosts it takes away.
type Expected = (&'static str, String, RangeInclusive<u64>);

/// What `musterctl incidents` shall say. A reboot is over before it is worth one.
fn expected(way: Way, scope: Scope, victims: &[String]) -> Option<Expected> {
    let site = format!("site {STRUCK}");
    match (way, scope) {
        (Way::Reboot, _) => None,
        (_, Scope::Aggregator) => {
            Some(("aggregator-outage", format!("aggregator {}", victims[0]), 0..=0))
        }
        (_, Scope::BothAggregators) => Some(("aggregator-outage", site, 0..=0)),
        // Its hosts say goodbye to aggregators that go at the same time: some words get out, some do not.
        (Way::Stop, Scope::Datacenter) => Some(("site-lost", site, 0..=4)),
        (_, Scope::Datacenter) => Some(("site-lost", site, 4..=4)),
    }
}

fn strike(host: &Host, way: Way, scope: Scope) {
    let unit = host.plan.role.unit();
    match (way, scope) {
        (Way::Kill, Scope::Datacenter) => host.power_cut(),
        (Way::Kill, _) => host.kill(unit),
        (Way::Freeze, _) => host.freeze(unit),
        (Way::Stop, Scope::Datacenter) => host.power_off(),
        (Way::Stop, _) => host.stop_unit(unit),
        (Way::Reboot, _) => host.reboot(),
        (Way::Cut, _) => {}
    }
}

fn mend(host: &Host, way: Way, scope: Scope) {
    let unit = host.plan.role.unit();
    match (way, scope) {
        (Way::Kill | Way::Stop, Scope::Datacenter) => host.start(),
        (Way::Kill | Way::Stop, _) => host.start_unit(unit),
        (Way::Freeze, _) => host.thaw(unit),
        (Way::Cut | Way::Reboot, _) => {}
    }
}

impl Row {
    /// One line of the table; told at once, so that a failure shows how far the story came.
    fn tell(&self) {
        let mut silent_ms = self.silent_ms.clone();
        silent_ms.sort_unstable();
        let show = |ms: Option<&u64>| ms.map_or("-".to_owned(), |ms| format!("{ms} ms"));
        let (median, worst) = (silent_ms.get(silent_ms.len() / 2), silent_ms.last());
        let (moved, median, worst) = (silent_ms.len(), show(median), show(worst));
        tell_on(&format!("{:24} {moved:>5} {median:>8} {worst:>8}  {}", self.what, self.verdict));
    }
}
