//! The thread that talks to systemd, so that a systemd that does not answer delays nobody else.
//!
//! It is started at the first question on a host that has a system bus, and ends with the last
//! [`crate::host::Host`]. A question that is not answered in time stays its own problem: the next
//! caller is told so at once, until the thread is free again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use zbus::{Connection, OwnedObjectPath, OwnedVariant};

use super::{Socket, Timer, Unit, Units};
use crate::host::HostError;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const BUS_VARIABLE: &str = "DBUS_SYSTEM_BUS_ADDRESS";
const SOCKET_PATH: &str = "/run/dbus/system_bus_socket";
/// systemd has this long for a whole round of questions; then the connection is dropped.
const ROUND_MAX: Duration = Duration::from_secs(10);
/// `Type=` of a unit changes with its file: it is asked again after this many rounds.
const KINDS_KEPT_ROUNDS: u32 = 240;
/// `NRestarts` of a service that runs quietly is asked in every so many rounds; of one that is starting,
/// stopping or failed in each.
const RESTARTS_EVERY_ROUNDS: u32 = 4;

type Answer = Result<Units, String>;
type Question = mpsc::Sender<Answer>;

/// The way to the thread.
#[derive(Debug, Default)]
pub struct Bus {
    questions: Mutex<Option<SyncSender<Question>>>,
}

impl Bus {
    pub(super) fn units(&self, patience: Duration) -> Result<Units, HostError> {
        // libdbus' variable for another system bus, e.g. in a container.
        if !Path::new(SOCKET_PATH).exists() && std::env::var_os(BUS_VARIABLE).is_none() {
            return Err(HostError::Missing { path: SOCKET_PATH.to_owned() });
        }
        let bus = |why: String| HostError::Bus { why };
        let (answer_tx, answer) = mpsc::channel();
        self.send(answer_tx).map_err(bus)?;
        match answer.recv_timeout(patience) {
            Ok(units) => units.map_err(bus),
            Err(_) => Err(bus(format!("no answer within {} s", patience.as_secs()))),
        }
    }

    fn send(&self, mut question: Question) -> Result<(), String> {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = questions.as_ref() {
            question = match way.try_send(question) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => return Err("still busy with a question".to_owned()),
                Err(TrySendError::Disconnected(question)) => question,
            };
        }
        let way = start_thread()?;
        let sent = way.try_send(question).map_err(|_| "the thread ended at once".to_owned());
        *questions = Some(way);
        sent
    }
}

fn start_thread() -> Result<SyncSender<Question>, String> {
    let (way, questions) = mpsc::sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| error.to_string())?;
    std::thread::Builder::new()
        .name("units".to_owned())
        .stack_size(512 * 1024)
        .spawn(move || runtime.block_on(answer_all(&questions)))
        .map_err(|error| error.to_string())?;
    Ok(way)
}

/// Body of the thread. Between questions it sleeps in `recv`, which stops the runtime too: zbus has
/// nothing to do then, and signals that nobody subscribed to are not sent.
async fn answer_all(questions: &Receiver<Question>) {
    let mut talk = None;
    while let Ok(question) = questions.recv() {
        let answer = match tokio::time::timeout(ROUND_MAX, round(&mut talk)).await {
            Ok(Ok(units)) => Ok(units),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", ROUND_MAX.as_secs())),
        };
        if answer.is_err() {
            talk = None;
        }
        // A caller whose patience ended has gone away; that is no failure of ours.
        let _gone = question.send(answer);
    }
}

/// A connection, and what does not change while it lasts.
struct Talk {
    bus: Connection,
    version: String,
    virtualization: String,
    kinds: HashMap<String, String>,
    restarts: HashMap<String, u32>,
    rounds: u32,
}

async fn round(talk: &mut Option<Talk>) -> zbus::Result<Units> {
    let talk = match talk {
        Some(talk) => talk,
        None => talk.insert(Talk::open().await?),
    };
    talk.rounds += 1;
    if talk.rounds.is_multiple_of(KINDS_KEPT_ROUNDS) {
        talk.kinds.clear();
        talk.restarts.clear();
    }
    talk.ask().await
}

/// `ListUnits`' row: name, description, load, active, sub, following, path, job id, type and path.
type Row =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

impl Talk {
    async fn open() -> zbus::Result<Talk> {
        let bus = Connection::system().await?;
        let mut talk = Talk {
            bus,
            version: String::new(),
            virtualization: String::new(),
            kinds: HashMap::new(),
            restarts: HashMap::new(),
            rounds: 0,
        };
        talk.version = talk.property(MANAGER_PATH, MANAGER, "Version").await?;
        talk.virtualization = talk.property(MANAGER_PATH, MANAGER, "Virtualization").await?;
        if talk.virtualization.is_empty() {
            "none".clone_into(&mut talk.virtualization);
        }
        Ok(talk)
    }

    async fn ask(&mut self) -> zbus::Result<Units> {
        let mut told = Units {
            version: self.version.clone(),
            virtualization: self.virtualization.clone(),
            system_state: self.property(MANAGER_PATH, MANAGER, "SystemState").await?,
            ..Units::default()
        };
        let reply = self
            .bus
            .call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), "ListUnits", &())
            .await?;
        let rows: Vec<Row> = reply.body().deserialize()?;
        for (name, _, load_state, active_state, sub_state, _, path, ..) in rows {
            if load_state == "loaded" {
                // A unit that went away between the list and the question has no more to say.
                let _gone = self.ask_unit(&name, path.as_str(), &mut told).await;
                if name.ends_with(".service") {
                    let _gone = self.ask_restarts(&name, path.as_str(), &active_state).await;
                }
            }
            let kind = self.kinds.get(&name).cloned().unwrap_or_default();
            let restarts = self.restarts.get(&name).copied();
            told.units.push(Unit { name, load_state, active_state, sub_state, kind, restarts });
        }
        Ok(told)
    }

    async fn ask_unit(&mut self, name: &str, path: &str, told: &mut Units) -> zbus::Result<()> {
        match name.rsplit_once('.').map(|(_, suffix)| suffix) {
            Some("timer") => {
                let timer = "org.freedesktop.systemd1.Timer";
                let last_trigger_us = self.property(path, timer, "LastTriggerUSec").await?;
                told.timers.push(Timer { name: name.to_owned(), last_trigger_us });
            }
            Some("socket") => {
                let socket = "org.freedesktop.systemd1.Socket";
                let accepted: u32 = self.property(path, socket, "NAccepted").await?;
                let current: u32 = self.property(path, socket, "NConnections").await?;
                let refused: u32 = self.property(path, socket, "NRefused").await?;
                told.sockets.push(Socket {
                    name: name.to_owned(),
                    accepted: accepted.into(),
                    current: current.into(),
                    refused: refused.into(),
                });
            }
            Some(suffix @ ("service" | "mount")) if !self.kinds.contains_key(name) => {
                let interface = match suffix {
                    "service" => "org.freedesktop.systemd1.Service",
                    _ => "org.freedesktop.systemd1.Mount",
                };
                let kind = self.property(path, interface, "Type").await?;
                self.kinds.insert(name.to_owned(), kind);
            }
            _ => {}
        }
        Ok(())
    }

    async fn ask_restarts(&mut self, name: &str, path: &str, state: &str) -> zbus::Result<()> {
        let is_quiet = matches!(state, "active" | "inactive");
        let is_due = self.rounds.is_multiple_of(RESTARTS_EVERY_ROUNDS);
        if is_quiet && !is_due && self.restarts.contains_key(name) {
            return Ok(());
        }
        let interface = "org.freedesktop.systemd1.Service";
        let restarts = self.property(path, interface, "NRestarts").await?;
        self.restarts.insert(name.to_owned(), restarts);
        Ok(())
    }

    async fn property<T>(&self, path: &str, interface: &str, name: &str) -> zbus::Result<T>
    where
        T: TryFrom<OwnedVariant>,
        T::Error: Into<zbus::Error>,
    {
        let reply = self
            .bus
            .call_method(
                Some(SYSTEMD),
                path,
                Some("org.freedesktop.DBus.Properties"),
                "Get",
                &(interface, name),
            )
            .await?;
        let value: OwnedVariant = reply.body().deserialize()?;
        T::try_from(value).map_err(Into::into)
    }
}
