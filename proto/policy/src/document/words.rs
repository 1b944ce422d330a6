//! Words of documents that have a form: names, classes, paths.
//!
//! Each `Err` is a sentence for the hint of a complaint.

use std::path::PathBuf;

/// A host name as in a certificate: letters, digits, dots and dashes (RFC 1123 §2.1), lower-cased.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_host_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if text.is_empty() || text.len() > 253 || !text.chars().all(fits) {
        return Err(format!("\"{text}\" is not a host name"));
    }
    Ok(text.to_ascii_lowercase())
}

/// One word without spaces or control characters, at most 255 bytes.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_word(text: &str) -> Result<String, String> {
    let bad = |c: char| c.is_whitespace() || c.is_control();
    if text.is_empty() || text.len() > 255 || text.chars().any(bad) {
        return Err(format!("\"{text}\" must be one word"));
    }
    Ok(text.to_owned())
}

/// A log class: a folder on the aggregator, so its letters are few.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_class(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
        return Err(format!("\"{text}\" must be 1 to 64 of a-z, 0-9, - and _"));
    }
    Ok(text.to_owned())
}

/// An absolute path.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("\"{text}\" is not an absolute path")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_a_form() {
        assert_eq!(parse_host_name("DB1.example.org"), Ok("db1.example.org".into()));
        assert!(parse_host_name("db 1").is_err() && parse_host_name("").is_err());
        assert!(parse_word("mariadb::core").is_ok() && parse_word("a b").is_err());
        assert!(parse_class("web_2").is_ok() && parse_class("../etc").is_err());
        assert!(parse_path("/srv").is_ok() && parse_path("srv").is_err());
    }
}
