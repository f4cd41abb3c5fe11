//! Where files are kept, by the XDG base directories.

use std::{env, fs::Metadata, path::PathBuf};

/// `approve/config.toml` in `$XDG_CONFIG_HOME`, else in `~/.config`.
pub(super) fn config_file() -> Option<PathBuf> {
    Some(base("XDG_CONFIG_HOME", ".config")?.join("approve").join("config.toml"))
}

/// `approve/sessions` in `$XDG_STATE_HOME`, else in `~/.local/state`.
pub(super) fn sessions() -> Option<PathBuf> {
    Some(base("XDG_STATE_HOME", ".local/state")?.join("approve").join("sessions"))
}

pub(super) fn home() -> Option<PathBuf> {
    env::home_dir().filter(|home| home.is_absolute())
}

/// A relative path in such a variable is to be ignored.
fn base(variable: &str, beneath_home: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| Some(home()?.join(beneath_home)))
}

/// Whether others on this computer may read or write a file.
#[cfg(unix)]
pub(crate) fn is_open_to_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o077 != 0
}

/// Elsewhere the home folder's own protection has to do.
#[cfg(not(unix))]
pub(crate) fn is_open_to_others(_: &Metadata) -> bool {
    false
}
