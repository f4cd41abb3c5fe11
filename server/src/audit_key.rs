//! Keys that sign heads of the record: made and shown on the command line.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{app::AppError, audit::SigningKey, config::Audit};

/// Makes a key for the record in a new file; its public key, PEM.
pub fn generate(out: &Path) -> Result<String, AppError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| AppError::system("cannot make the key")(error);
    let pem = SigningKey::generate_pem().map_err(|error| failed(error.into()))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(out).and_then(|mut file| {
        file.write_all(pem.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| AppError::system("cannot write the key")(error.into()))?;
    Ok(SigningKey::from_pem(&pem).map_err(|error| failed(error.into()))?.public_pem())
}

/// The public key of a key for the record, PEM.
pub fn public(file: PathBuf) -> Result<String, AppError> {
    let settings = Audit { signing_key_file: Some(file), ..Audit::default() };
    Ok(settings.signing_key()?.map(|key| key.public_pem()).unwrap_or_default())
}
