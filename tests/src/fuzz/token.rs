//! A one-time token as a person pastes it, and a name for a certificate.

use muster_link::token::Token;
use muster_policy::document::{parse_bytes, parse_class, parse_host_name, parse_span, parse_word};

use super::{Target, lossy, texts};

pub(super) const TARGET: Target = Target { rounds: 60_000, ..Target::new("token", run, seeds) };

fn run(bytes: &[u8]) {
    let text = lossy(bytes);
    if let Ok(token) = text.parse::<Token>() {
        assert_eq!(token.to_string().parse(), Ok(token));
    }
    if let Ok(name) = parse_host_name(&text) {
        assert_eq!(parse_host_name(&name), Ok(name));
    }
    drop((parse_word(&text), parse_class(&text), parse_span(&text), parse_bytes(&text)));
}

fn seeds() -> Vec<Vec<u8>> {
    let token = format!("mst1.{}.{}", "0f".repeat(16), "a0".repeat(32));
    texts(&[&token, "db1.example.org", "system", "15m", "16MiB", "1.5GiB", "1h30m"])
}
