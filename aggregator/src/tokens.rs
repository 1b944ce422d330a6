//! Tokens of the API: who may ask over HTTPS.
//!
//! One line each in `api.tokens` (0600): `sha256 expires_at_us name`. The token itself is printed
//! once and kept nowhere. The file is read for every question, so that a line that is removed counts
//! at once.

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
    /// The file cannot be written.
    #[error("cannot write {path}")]
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

/// Makes a token for `name` and keeps its hash.
///
/// # Errors
/// [`TokensError`].
pub fn create(state_dir: &Path, name: &str, expires_at: Utc) -> Result<String, TokensError> {
    let token = format!("{PREFIX}{}", crypto::hex(&crypto::random::<32>()?));
    let path = file_in(state_dir);
    let name: String = name.split_whitespace().collect();
    let line = format!("{} {} {name}\n", digest(&token), expires_at.0);
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
    text.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (hash, expires_at, name) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        let good = hash == wanted && now < Utc(expires_at);
        good.then(|| Reader { name: name.to_owned(), granted: Granted::All })
    })
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
        let token = create(folder.path(), "prometheus", Utc(100)).unwrap();
        let text = std::fs::read_to_string(file_in(folder.path())).unwrap();
        assert!(!text.contains(&token));
        assert_eq!(find(&text, &token, Utc(99)).unwrap().name, "prometheus");
        assert!(find(&text, &token, Utc(100)).is_none());
        assert!(find(&text, "msta_00", Utc(99)).is_none());
        assert!(find("garbage\n\n", &token, Utc(99)).is_none());
    }
}
