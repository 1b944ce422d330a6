//! Which system this is: os-release(5).

use crate::host::{Host, HostError};

/// os-release(5), its fields by their own names in lower case; empty when not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "os-release(5) documents each")]
pub struct Os {
    pub build_id: String,
    pub id: String,
    pub id_like: String,
    pub image_id: String,
    pub image_version: String,
    pub name: String,
    pub pretty_name: String,
    pub support_end: String,
    pub variant: String,
    pub variant_id: String,
    pub version: String,
    pub version_codename: String,
    pub version_id: String,
}

/// Reads `etc/os-release`, else `usr/lib/os-release`.
///
/// # Errors
/// [`HostError`] of the second file.
pub fn read(host: &Host) -> Result<Os, HostError> {
    let text = host.read("etc/os-release").or_else(|_| host.read("usr/lib/os-release"))?;
    Ok(parse_os_release(&text))
}

/// Reads assignments; quotes and backslashes as a shell would. Unknown names are skipped.
pub fn parse_os_release(text: &str) -> Os {
    let mut os = Os::default();
    for (name, value) in text.lines().filter_map(|line| line.trim().split_once('=')) {
        let field = match name {
            "BUILD_ID" => &mut os.build_id,
            "ID" => &mut os.id,
            "ID_LIKE" => &mut os.id_like,
            "IMAGE_ID" => &mut os.image_id,
            "IMAGE_VERSION" => &mut os.image_version,
            "NAME" => &mut os.name,
            "PRETTY_NAME" => &mut os.pretty_name,
            "SUPPORT_END" => &mut os.support_end,
            "VARIANT" => &mut os.variant,
            "VARIANT_ID" => &mut os.variant_id,
            "VERSION" => &mut os.version,
            "VERSION_CODENAME" => &mut os.version_codename,
            "VERSION_ID" => &mut os.version_id,
            _ => continue,
        };
        *field = unquote(value);
    }
    os
}

fn unquote(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return inner.to_owned();
    }
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let mut out = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.extend(letters.next()),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unquoted_as_a_shell_would() {
        let os = parse_os_release(
            "ID=debian\nNAME=\"A \\\"B\\\" \\$C\"\nPRETTY_NAME='x \\ y'\n# VERSION=no\nODD=1\nbroken\n",
        );
        assert_eq!((os.id.as_str(), os.name.as_str()), ("debian", "A \"B\" $C"));
        assert_eq!((os.pretty_name.as_str(), os.version.as_str()), ("x \\ y", ""));
    }
}
