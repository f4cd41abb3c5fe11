//! Where the programs under test are.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The server.
pub fn server() -> PathBuf {
    find("approve-server")
}

/// The CLI.
pub fn cli() -> PathBuf {
    find("approve-cli")
}

/// Whether a program of this name is on the search path.
pub(crate) fn on_path(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

fn find(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match std::env::var_os("APPROVE_BIN_DIR") {
        Some(folder) => folder.into(),
        None => build(),
    });
    let path = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.is_file(), "{} does not exist; build it, or unset APPROVE_BIN_DIR", path.display());
    path
}

/// Builds the programs in the profile and folder of the running executable, so that `cargo test -p approve-tests` never
/// tests an old server.
fn build() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    let folder = executable.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).unwrap();
    let profile = match folder.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        other => other,
    };
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(repository())
        // With this package, so that what they depend on is built with the same features, and only once.
        .args(["build", "--package", "approve-server", "--package", "approve-cli", "--package", "approve-tests"])
        .args(["--bins", "--profile", profile])
        .arg("--target-dir")
        .arg(folder.parent().unwrap())
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "cargo build failed: {status}");
    folder.to_owned()
}

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
