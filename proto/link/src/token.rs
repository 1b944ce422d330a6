//! One-time tokens: what an admin hands to a new host.
//!
//! Room: `link`.  May use: `crypto`.  Used by: `ca`, `enrol`.
//!
//! Printed form: `mst1.<32 hex digits: 128 random bits>.<64 hex digits: SHA-256 of the CA certificate>`.
//! The second half lets the host recognise the right aggregator, so one string is all it needs.
//! Kept by the CA: the SHA-256 of the random digits, never the token.

use std::fmt;
use std::str::FromStr;

use muster_proto::clock::Utc;

use crate::crypto::{self, NoRandom, hex, unhex};
use crate::peer::Role;

const PREFIX: &str = "mst1";

/// A token in full. Shown once, never logged: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// 32 hexadecimal digits: what is sent to the aggregator.
    pub secret: String,
    /// SHA-256 of the CA certificate, DER.
    pub ca: [u8; 32],
}

/// The text is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token looks like mst1.<32 hexadecimal digits>.<64 hexadecimal digits>")]
pub struct NotAToken;

impl Token {
    pub(crate) fn draw(ca: [u8; 32]) -> Result<Token, NoRandom> {
        Ok(Token { secret: hex(&crypto::random::<16>()?), ca })
    }
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Token, NotAToken> {
        let mut parts = text.trim().split('.');
        let (prefix, secret, ca) = (parts.next(), parts.next(), parts.next());
        let secret = secret.filter(|digits| digits.len() == 32 && unhex(digits).is_some());
        let ca = ca.and_then(unhex).and_then(|bytes| bytes.try_into().ok());
        match (prefix, secret, ca, parts.next()) {
            (Some(PREFIX), Some(secret), Some(ca), None) => {
                Ok(Token { secret: secret.to_ascii_lowercase(), ca })
            }
            _ => Err(NotAToken),
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.{}", self.secret, hex(&self.ca))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Role of the certificates it gives.
    pub role: Role,
    /// Names it is good for; `*` stands for any run of characters. `*` alone is every name.
    pub names: String,
    /// How often it may be used.
    pub uses: u32,
    /// Until when.
    pub expires_at: Utc,
}

/// Why a token is not taken. Shown to the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Never given out, or removed.
    #[error("the token is not known here")]
    Unknown,
    /// Too late.
    #[error("the token has expired")]
    Expired,
    /// Used as often as allowed.
    #[error("the token is used up")]
    UsedUp,
    /// Good for other names.
    #[error("the token is not good for the name {0}")]
    Name(String),
    /// Good for another role.
    #[error(
        "the token is for an {token}, not for an {wanted}: make one with token create --role {wanted}"
    )]
    Role {
        /// What it is good for.
        token: Role,
        /// What was asked for.
        wanted: Role,
    },
}

/// A token as the CA keeps it. One line: `sha256 expires_at_us uses_left role names`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of the secret's digits, hexadecimal.
    pub digest: String,
    /// What it allows; `uses` counts down.
    pub terms: Terms,
}

impl Kept {
    pub(crate) fn of(token: &Token, terms: Terms) -> Kept {
        Kept { digest: digest(&token.secret), terms }
    }

    pub(crate) fn line(&self) -> String {
        let Terms { role, names, uses, expires_at } = &self.terms;
        format!("{} {} {uses} {role} {names}\n", self.digest, expires_at.0)
    }

    pub(crate) fn parse(line: &str) -> Option<Kept> {
        let mut words = line.split(' ');
        let digest = words.next().filter(|digits| digits.len() == 64)?.to_owned();
        let expires_at = Utc(words.next()?.parse().ok()?);
        let uses = words.next()?.parse().ok()?;
        let role = words.next()?.parse().ok()?;
        let names = words.next()?.to_owned();
        words.next().is_none().then_some(())?;
        Some(Kept { digest, terms: Terms { role, names, uses, expires_at } })
    }
}

/// Judges a use of a token and counts it down in `kept`.
pub(crate) fn take(
    kept: &mut [Kept],
    secret: &str,
    (name, wanted): (&str, Role),
    now: Utc,
) -> Result<(), TokenRefused> {
    let digest = digest(secret);
    let found = kept.iter_mut().find(|token| token.digest == digest);
    let terms = &mut found.ok_or(TokenRefused::Unknown)?.terms;
    if now > terms.expires_at {
        return Err(TokenRefused::Expired);
    }
    if !fits(&terms.names, name) {
        return Err(TokenRefused::Name(name.to_owned()));
    }
    if terms.role != wanted {
        return Err(TokenRefused::Role { token: terms.role, wanted });
    }
    terms.uses = terms.uses.checked_sub(1).ok_or(TokenRefused::UsedUp)?;
    Ok(())
}

fn digest(secret: &str) -> String {
    hex(&crypto::sha256(secret.as_bytes()))
}

/// Whether `name` fits `pattern`, in which `*` stands for any run of characters.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Utc = Utc(1_000);

    fn kept(uses: u32, names: &str) -> (Token, Vec<Kept>) {
        let token = Token::draw([7; 32]).unwrap();
        let terms = Terms { role: Role::Agent, names: names.to_owned(), uses, expires_at: TTL };
        let kept = Kept::of(&token, terms);
        (token, vec![kept])
    }

    #[test]
    fn a_token_reads_back_and_hides_in_logs() {
        let (token, kept) = kept(1, "*");
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        assert_eq!(format!(" {token}\n").parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains(&token.secret));
        assert!(!kept[0].line().contains(&token.secret), "the kept form must not hold the secret");
        assert_eq!(Kept::parse(kept[0].line().trim_end()), Some(kept[0].clone()));
    }

    #[test]
    fn other_texts_are_not_tokens() {
        let (token, _) = kept(1, "*");
        let text = token.to_string();
        for wrong in ["", "mst1", &text[..text.len() - 1], &text[1..], &format!("{text}.x")] {
            assert_eq!(wrong.parse::<Token>(), Err(NotAToken), "{wrong}");
        }
    }

    #[test]
    fn a_token_counts_down_and_says_why_not() {
        let (token, mut kept) = kept(2, "db*.example.org");
        let mut check = |secret: &str, name: &str, now: i64, expected: Result<(), TokenRefused>| {
            assert_eq!(take(&mut kept, secret, (name, Role::Agent), Utc(now)), expected);
        };
        let wrong_name = TokenRefused::Name("web1.example.org".to_owned());
        check("0", "db1.example.org", 0, Err(TokenRefused::Unknown));
        check(&token.secret, "web1.example.org", 0, Err(wrong_name));
        check(&token.secret, "db1.example.org", 1_001, Err(TokenRefused::Expired));
        check(&token.secret, "db1.example.org", 1_000, Ok(()));
        check(&token.secret, "db2.example.org", 0, Ok(()));
        check(&token.secret, "db3.example.org", 0, Err(TokenRefused::UsedUp));
        let wanted = Role::Aggregator;
        let other = take(&mut kept, &token.secret, ("db3.example.org", wanted), Utc(0));
        assert_eq!(other, Err(TokenRefused::Role { token: Role::Agent, wanted }));
    }

    #[test]
    fn patterns_fit_whole_names_only() {
        for (pattern, name, expected) in [
            ("*", "anything", true),
            ("db1", "db1", true),
            ("db1", "db11", false),
            ("db*", "db", true),
            ("db*.org", "db1.example.org", true),
            ("db*.org", "db1.example.com", false),
            ("*.a.*", "x.a.y", true),
            ("a*a", "a", false),
            ("a*b*c", "aXbXc", true),
            ("a*b*c", "aXcXb", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
