//! The files of a document: the main one, then its drop-ins in name order.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{Complaints, SourceText};

/// One configuration file. Bytes. A larger one is not a configuration.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub struct Unreadable {
    /// Which file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] Unreadable),
    /// What is written is wrong.
    #[error("{0}")]
    Wrong(Complaints),
}

/// Reads `main` and its drop-ins ([`read_with_drop_ins`]) and settles them.
///
/// # Errors
/// [`ConfigError::Read`] when a file is there but unreadable, or `main` is absent;
/// [`ConfigError::Wrong`] with every mistake of all files.
pub fn load<C>(
    main: &Path,
    settle: impl FnOnce(&[SourceText]) -> Result<C, Complaints>,
) -> Result<C, ConfigError> {
    settle(&read_with_drop_ins(main)?).map_err(ConfigError::Wrong)
}

/// Reads `main`, then every `*.toml` of the directory beside it (`agent.toml` → `agent.d/`) in name
/// order. The directory may be absent, `main` may not.
///
/// # Errors
/// [`Unreadable`] for the first file that cannot be read or is larger than 1 MiB.
pub fn read_with_drop_ins(main: &Path) -> Result<Vec<SourceText>, Unreadable> {
    let mut sources = vec![read_source(main)?];
    let drop_ins = main.with_extension("d");
    let listed = match std::fs::read_dir(&drop_ins) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(sources),
        Err(source) => return Err(Unreadable { path: drop_ins, source }),
    };
    let mut paths: Vec<PathBuf> = listed
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    for path in &paths {
        sources.push(read_source(path)?);
    }
    Ok(sources)
}

fn read_source(path: &Path) -> Result<SourceText, Unreadable> {
    let read = |path: &Path| {
        let mut text = String::new();
        std::fs::File::open(path)?.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > CONFIG_BYTES_MAX {
            return Err(std::io::Error::other("larger than 1 MiB"));
        }
        Ok(text)
    };
    let text = read(path).map_err(|source| Unreadable { path: path.to_owned(), source })?;
    Ok(SourceText { name: path.display().to_string(), text })
}
