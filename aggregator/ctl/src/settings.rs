//! Which aggregator, and how to look: flags over environment over `ctl.toml` over defaults.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::ending::Fatal;
use crate::words::{When, Words};

/// Where the aggregator of this machine listens.
pub const SOCKET_DEFAULT: &str = "/run/muster/aggregator.sock";
/// Longest file that is read: config, token, certificates. Bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the process stands in. Only `main` makes it from the real one.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// `MUSTER_SOCKET`.
    pub socket: Option<PathBuf>,
    /// `MUSTER_URL`.
    pub url: Option<String>,
    /// `$XDG_CONFIG_HOME/muster/ctl.toml` or `~/.config/muster/ctl.toml`; `None` without a home.
    pub config: Option<PathBuf>,
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// Stdout is a terminal.
    pub is_terminal: bool,
    /// Columns of the terminal, if there is one.
    pub width: Option<u16>,
    /// The local time zone.
    pub zone: TimeZone,
    /// What the time is.
    pub clock: fn() -> Timestamp,
}

/// Where the aggregator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// On this machine.
    Socket(PathBuf),
    /// Anywhere.
    Url {
        /// `https://…`, without a slash at the end.
        url: String,
        /// The token.
        token: Option<String>,
        /// Certificates to trust, PEM.
        ca: Option<(PathBuf, Vec<u8>)>,
    },
}

/// What a run uses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the aggregator is.
    pub target: Target,
    /// Use colour.
    pub color: bool,
}

/// `ctl.toml` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    url: Option<String>,
    socket: Option<PathBuf>,
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    color: Option<When>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Surroundings {
        let path = |name: &str| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let home =
            path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")));
        let is_terminal = io::stdout().is_terminal();
        Surroundings {
            socket: path("MUSTER_SOCKET"),
            url: std::env::var("MUSTER_URL").ok().filter(|url| !url.is_empty()),
            config: home.map(|home| home.join("muster/ctl.toml")),
            no_color: path("NO_COLOR").is_some(),
            is_terminal,
            width: if is_terminal { comfy_table::Table::new().width() } else { None },
            zone: TimeZone::system(),
            clock: Timestamp::now,
        }
    }
}

impl Settings {
    /// Lays flags over environment over file over defaults.
    ///
    /// # Errors
    /// [`Fatal::Config`] for a wrong file, [`Fatal::Permission`] for one that may not be read, [`Fatal::Usage`].
    pub fn read(words: &Words, around: &Surroundings) -> Result<Settings, Fatal> {
        let file = match &around.config {
            Some(path) => read_config(path)?,
            None => File::default(),
        };
        let by_words = (words.url.clone(), words.socket.clone());
        let by_env = (around.url.clone(), around.socket.clone());
        let by_file = (file.url, file.socket);
        let named = [by_words, by_env, by_file]
            .into_iter()
            .find(|(url, socket)| url.is_some() || socket.is_some());
        let target = match named {
            Some((Some(url), _)) => {
                let token_file = words.token_file.clone().or(file.token_file);
                let ca = words.ca.clone().or(file.ca);
                Target::Url {
                    url: check_url(&url)?,
                    token: token_file.map(|path| read_token(&path)).transpose()?,
                    ca: ca.map(|path| read_file(&path).map(|bytes| (path, bytes))).transpose()?,
                }
            }
            Some((None, Some(socket))) => Target::Socket(socket),
            Some((None, None)) | None => Target::Socket(PathBuf::from(SOCKET_DEFAULT)),
        };
        let color = match words.color.or(file.color).unwrap_or(When::Auto) {
            When::Always => true,
            When::Never => false,
            When::Auto => around.is_terminal && !around.no_color,
        };
        Ok(Settings { target, color })
    }
}

/// A token goes over TLS, nowhere else: on this machine too, other users may listen on a port.
fn check_url(url: &str) -> Result<String, Fatal> {
    if url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty()) {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    Err(Fatal::Usage(format!("--url must begin with https://, not `{url}`")))
}

fn read_config(path: &Path) -> Result<File, Fatal> {
    if !path.exists() {
        return Ok(File::default());
    }
    let bytes = read_file(path)?;
    let problem = |problem: String| Fatal::Config { path: path.to_owned(), problem };
    let text = String::from_utf8(bytes).map_err(|error| problem(error.to_string()))?;
    toml::from_str(&text).map_err(|error| problem(error.to_string().trim_end().to_owned()))
}

/// As ssh(1) does with a private key: a token that others may read is no secret, and is not used.
fn read_token(path: &Path) -> Result<String, Fatal> {
    let bytes = read_file(path)?;
    let mode = fs::metadata(path).map_or(0, |meta| meta.permissions().mode()) & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Fatal::Config {
            path: path.to_owned(),
            problem: format!("mode {mode:04o}: others may use the token; chmod 0600 it"),
        });
    }
    let token = String::from_utf8_lossy(&bytes).trim().to_owned();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fatal::Config {
            path: path.to_owned(),
            problem: "there is no token in it".to_owned(),
        });
    }
    Ok(token)
}

fn read_file(path: &Path) -> Result<Vec<u8>, Fatal> {
    let wrong = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => Fatal::Permission { path: path.to_owned(), source },
        _ => Fatal::Config { path: path.to_owned(), problem: format!("cannot read it: {source}") },
    };
    let mut bytes = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(wrong)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Fatal::Config {
            path: path.to_owned(),
            problem: format!("it has more than {FILE_BYTES_MAX} bytes"),
        });
    }
    Ok(bytes)
}
