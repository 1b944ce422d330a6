//! Asking the aggregator over HTTP.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use reqwest::{Certificate, ClientBuilder, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::ending::{Fatal, chain};
use crate::settings::{Settings, Target};

/// Longest wait for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for a whole answer. The aggregator gives up after 30 s.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// Longest answer. Bytes.
const ANSWER_BYTES_MAX: usize = 512 * 1024 * 1024;

/// A connection to one aggregator, opened when needed.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    target: Target,
    name: String,
}

/// problem+json, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
}

impl Client {
    /// Makes a client; nothing is asked yet.
    ///
    /// # Errors
    /// [`Fatal::Config`] for certificates that are none, [`Fatal::Ours`].
    pub fn build(settings: &Settings) -> Result<Client, Fatal> {
        let builder =
            ClientBuilder::new().connect_timeout(CONNECT_WAIT).timeout(ANSWER_WAIT).no_proxy();
        let (builder, base, token, name) = match &settings.target {
            Target::Socket(path) => {
                let builder = builder.unix_socket(path.clone());
                (builder, "http://localhost".to_owned(), None, path.display().to_string())
            }
            Target::Url { url, token, ca } => {
                let builder = match ca {
                    Some((path, pem)) => {
                        let certificates =
                            Certificate::from_pem_bundle(pem).ok().filter(|list| !list.is_empty());
                        let problem = || Fatal::Config {
                            path: path.clone(),
                            problem: "no certificates (PEM)".to_owned(),
                        };
                        builder.tls_certs_only(certificates.ok_or_else(problem)?)
                    }
                    None => builder,
                };
                (builder, url.clone(), token.clone(), url.clone())
            }
        };
        let http = builder
            .build()
            .map_err(|error| Fatal::Ours { what: "make an HTTP client", source: error.into() })?;
        Ok(Client { http, base, token, target: settings.target.clone(), name })
    }

    /// Asks for a page and reads its JSON.
    ///
    /// # Errors
    /// [`Fatal`] with the code that says what went wrong.
    pub async fn ask_json(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Fatal> {
        let body = self.ask(path, query).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Fatal::Ours { what: "read the answer", source: error.into() })
    }

    /// Asks for a page.
    ///
    /// # Errors
    /// As [`Client::ask_json`].
    pub async fn ask(&self, path: &str, query: &[(&str, String)]) -> Result<Vec<u8>, Fatal> {
        let url = format!("{}{path}{}", self.base, encode_query(query));
        let mut request = self.http.get(url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| self.fatal(error))?;
        let status = response.status().as_u16();
        let body = self.read(response).await?;
        if status == 200 {
            return Ok(body);
        }
        let detail = serde_json::from_slice::<Problem>(&body)
            .map_or_else(|_| format!("HTTP status {status}"), |problem| problem.detail);
        Err(match status {
            400 | 422 => Fatal::Question(detail),
            401 | 403 => Fatal::Unauthorised(detail),
            404 => Fatal::NotFound(detail),
            504 => Fatal::Timeout { target: self.name.clone() },
            _ => Fatal::Failed { target: self.name.clone(), why: detail },
        })
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Fatal> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.fatal(error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let why = format!("its answer has more than {ANSWER_BYTES_MAX} bytes");
                return Err(Fatal::Failed { target: self.name.clone(), why });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn fatal(&self, error: reqwest::Error) -> Fatal {
        if error.is_timeout() && !error.is_connect() {
            return Fatal::Timeout { target: self.name.clone() };
        }
        if let Target::Socket(path) = &self.target
            && io_kind(&error) == Some(io::ErrorKind::PermissionDenied)
        {
            return Fatal::Permission {
                path: path.clone(),
                source: io::ErrorKind::PermissionDenied.into(),
            };
        }
        // reqwest's own sentences only repeat the address.
        let why = error.source().map_or_else(|| error.to_string(), innermost);
        Fatal::Unreachable { target: self.name.clone(), why }
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    chain(error)
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

/// `?a=b&c=d` in percent encoding (RFC 3986 §2.1), everything but unreserved characters escaped; empty for no pairs.
fn encode_query(query: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in query {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.push_str(&encode_part(value));
    }
    text
}

/// One path segment or query value in percent encoding.
pub(crate) fn encode_part(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
