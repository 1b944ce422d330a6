//! Tokens of the API: who may ask over HTTPS.
//!
//! One line each in `api.tokens` (0600), words with a space between. The token itself is printed once and kept
//! nowhere. The file is read for every question, so that a line that is removed counts at once.
//!
//! ```text
//! sha256 expires_at_us name admin            may read every log class
//! sha256 expires_at_us name reader -         may read what is not restricted
//! sha256 expires_at_us name reader auth,web  and these restricted classes
//! sha256 expires_at_us name                  written before there were roles: admin
//! ```
//! A line that is anything else opens nothing.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_link::crypto;
use muster_proto::clock::Utc;

use crate::api::door::TokenCheck;
use crate::api::{Granted, Reader};

/// Begins every token, so that scanners for leaked secrets know it.
const PREFIX: &str = "msta_";

/// Why a token cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The file cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No random bytes.
    #[error("cannot make a token")]
    Random(#[from] crypto::NoRandom),
}

fn file_in(state_dir: &Path) -> PathBuf {
    state_dir.join("api.tokens")
}

/// Makes a token for `reader` and keeps its hash.
///
/// # Errors
/// [`TokensError`].
pub fn create(state_dir: &Path, reader: &Reader, expires_at: Utc) -> Result<String, TokensError> {
    let token = format!("{PREFIX}{}", crypto::hex(&crypto::random::<32>()?));
    let path = file_in(state_dir);
    let name: String = reader.name.split_whitespace().collect();
    let role = write_granted(&reader.granted);
    let line = format!("{} {} {name} {role}\n", digest(&token), expires_at.0);
    let append = || {
        std::fs::create_dir_all(state_dir)?;
        let mut file =
            std::fs::File::options().create(true).append(true).mode(0o600).open(&path)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()
    };
    append().map_err(|source| TokensError::File { path: path.clone(), source })?;
    Ok(token)
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// SHA-256 of the token, hexadecimal.
    pub digest: String,
    /// Whose it is.
    pub reader: Reader,
    /// Until when it opens anything.
    pub expires_at: Utc,
}

/// The tokens that are kept, oldest first. Lines that are none are left out.
///
/// # Errors
/// [`TokensError::File`].
pub fn list(state_dir: &Path) -> Result<Vec<Known>, TokensError> {
    Ok(read(&file_in(state_dir))?.lines().filter_map(parse).collect())
}

/// Takes a token out of the list; false when there is none. In: how its digest begins.
///
/// # Errors
/// [`TokensError::File`] with nothing changed.
pub fn remove(state_dir: &Path, digest: &str) -> Result<bool, TokensError> {
    let path = file_in(state_dir);
    let text = read(&path)?;
    let is_it = |line: &&str| parse(line).is_some_and(|known| known.digest.starts_with(digest));
    if !text.lines().any(|line| is_it(&line)) {
        return Ok(false);
    }
    let kept: String =
        text.lines().filter(|line| !is_it(line)).map(|line| format!("{line}\n")).collect();
    let fresh = path.with_extension("tokens.new");
    let replace = || {
        let mut file = std::fs::File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(kept.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)
    };
    replace().map_err(|source| TokensError::File { path: path.clone(), source })?;
    Ok(true)
}

fn read(path: &Path) -> Result<String, TokensError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(TokensError::File { path: path.to_owned(), source }),
    }
}

/// Says who has a token, for the API's door.
pub fn check(state_dir: &Path) -> TokenCheck {
    let path = file_in(state_dir);
    Arc::new(move |token| {
        let text = std::fs::read_to_string(&path).ok()?;
        find(&text, token, crate::app::utc_now())
    })
}

/// The owner of a token. Only hashes are compared, so the time says nothing about the token.
fn find(text: &str, token: &str, now: Utc) -> Option<Reader> {
    let wanted = digest(token);
    let is_good = |known: &Known| known.digest == wanted && now < known.expires_at;
    text.lines().filter_map(parse).find(is_good).map(|known| known.reader)
}

fn parse(line: &str) -> Option<Known> {
    let words: Vec<&str> = line.split(' ').collect();
    let [digest, expires_at, name, role @ ..] = &words[..] else { return None };
    let reader = Reader { name: (*name).to_owned(), granted: parse_granted(role)? };
    let expires_at = Utc(expires_at.parse().ok()?);
    Some(Known { digest: (*digest).to_owned(), reader, expires_at })
}

/// The words of a role. A class is one word without a comma, see [`muster_policy::document::parse_class`].
fn write_granted(granted: &Granted) -> String {
    match granted {
        Granted::All => "admin".to_owned(),
        Granted::Named(classes) if classes.is_empty() => "reader -".to_owned(),
        Granted::Named(classes) => {
            format!("reader {}", classes.iter().map(String::as_str).collect::<Vec<_>>().join(","))
        }
    }
}

fn parse_granted(words: &[&str]) -> Option<Granted> {
    match words {
        [] | ["admin"] => Some(Granted::All),
        ["reader", "-"] => Some(Granted::Named(BTreeSet::new())),
        ["reader", classes] => {
            Some(Granted::Named(classes.split(',').map(str::to_owned).collect()))
        }
        _ => None,
    }
}

fn digest(token: &str) -> String {
    crypto::hex(&crypto::sha256(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_until_it_expires_and_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let prometheus = Reader { name: "prometheus".to_owned(), granted: Granted::All };
        let token = create(folder.path(), &prometheus, Utc(100)).unwrap();
        let text = std::fs::read_to_string(file_in(folder.path())).unwrap();
        assert!(!text.contains(&token));
        assert_eq!(find(&text, &token, Utc(99)).unwrap().name, "prometheus");
        assert!(find(&text, &token, Utc(100)).is_none());
        assert!(find(&text, "msta_00", Utc(99)).is_none());
        assert!(find("garbage\n\n", &token, Utc(99)).is_none());
    }

    #[test]
    fn a_removed_token_opens_nothing_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(list(folder.path()).unwrap(), []);
        let reader = |name: &str| Reader { name: name.to_owned(), granted: Granted::All };
        let [kept, gone] =
            ["a", "b"].map(|name| create(folder.path(), &reader(name), Utc(100)).unwrap());
        assert!(!remove(folder.path(), "00000000").unwrap(), "there is no such token");
        assert!(remove(folder.path(), &digest(&gone)[..12]).unwrap());
        let text = read(&file_in(folder.path())).unwrap();
        assert_eq!(find(&text, &gone, Utc(0)), None);
        assert_eq!(find(&text, &kept, Utc(0)), Some(reader("a")));
        assert_eq!(list(folder.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_token_opens_what_its_role_names_and_an_old_line_everything() {
        let folder = tempfile::tempdir().unwrap();
        let named = |classes: &[&str]| {
            Granted::Named(classes.iter().map(|class| (*class).to_owned()).collect())
        };
        for granted in [Granted::All, named(&[]), named(&["auth"]), named(&["auth", "web"])] {
            let reader = Reader { name: "alice".to_owned(), granted };
            let token = create(folder.path(), &reader, Utc(100)).unwrap();
            let text = std::fs::read_to_string(file_in(folder.path())).unwrap();
            assert_eq!(find(&text, &token, Utc(0)), Some(reader));
        }
        let line = |role: &str| format!("{} 100 alice{role}\n", digest("msta_1"));
        let granted = |role: &str| find(&line(role), "msta_1", Utc(0)).map(|reader| reader.granted);
        assert_eq!(granted(""), Some(Granted::All), "written before there were roles");
        for unknown in [" writer", " reader", " admin auth", " reader auth web", " "] {
            assert_eq!(granted(unknown), None, "`{unknown}`");
        }
    }
}
