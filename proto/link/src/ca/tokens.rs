//! The tokens of a CA: made, used, taken back.
//!
//! Room: `link`.  Used by: `ca`.

use muster_proto::clock::Utc;

use super::{Ca, CaError, file};
use crate::files;
use crate::peer::Role;
use crate::token::{self, Kept, Terms, Token};

impl Ca {
    /// Makes a token. It is returned once and kept as a digest only.
    ///
    /// # Errors
    /// [`CaError::Pattern`], [`CaError::Random`], [`CaError::File`].
    pub fn create_token(&self, terms: Terms, now: Utc) -> Result<Token, CaError> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-._*".contains(c);
        if terms.names.is_empty() || !terms.names.chars().all(fine) {
            return Err(CaError::Pattern(terms.names));
        }
        let token = Token::draw(self.fingerprint())?;
        let _lock = self.lock()?;
        let mut kept = self.tokens()?;
        // Those that nobody can use any more go away here, a day later, so the list stays short.
        const KEEP_US: i64 = 24 * 3600 * 1_000_000;
        kept.retain(|old| old.terms.expires_at.0.saturating_add(KEEP_US) > now.0);
        kept.push(Kept::of(&token, terms));
        self.write_tokens(&kept)?;
        Ok(token)
    }

    /// Uses a token once, for the host `name` that wants to be a `role`.
    ///
    /// In: the secret part, as it stands in [`crate::EnrolRequest::token`].
    ///
    /// # Errors
    /// [`CaError::Token`] with nothing changed; [`CaError::File`].
    pub fn use_token(&self, secret: &str, name: &str, role: Role, now: Utc) -> Result<(), CaError> {
        let _lock = self.lock()?;
        let mut kept = self.tokens()?;
        token::take(&mut kept, secret, (name, role), now)?;
        self.write_tokens(&kept)
    }

    /// The tokens that are kept, oldest first.
    ///
    /// # Errors
    /// [`CaError::File`].
    pub fn tokens(&self) -> Result<Vec<Kept>, CaError> {
        self.read("tokens.list", Kept::parse)
    }

    /// Takes a token out of the list before its time. In: how its digest begins, at least 8 digits.
    ///
    /// # Errors
    /// [`CaError::Unknown`], [`CaError::File`].
    pub fn remove_token(&self, digest: &str) -> Result<(), CaError> {
        let _lock = self.lock()?;
        let mut kept = self.tokens()?;
        let before = kept.len();
        kept.retain(|token| digest.len() < 8 || !token.digest.starts_with(digest));
        if kept.len() == before {
            return Err(CaError::Unknown { what: format!("token {digest}") });
        }
        self.write_tokens(&kept)
    }

    fn write_tokens(&self, kept: &[Kept]) -> Result<(), CaError> {
        let path = self.dir.join("tokens.list");
        let lines: String = kept.iter().map(Kept::line).collect();
        files::write_whole(&path, lines.as_bytes(), files::SECRET)
            .map_err(|source| file(&path, source))
    }
}
