//! What is kept of having signed in: a file for each profile, which nobody else may read.

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::LoginError;
use crate::settings::{TokenKind, is_open_to_others, is_same};

/// How long before its end a token is no longer shown, in seconds.
const MARGIN: i64 = 10;
/// The longest file that is read.
const MAX_BYTES: u64 = 256 * 1024;

/// What signing in has brought.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The server that it is for: its tokens go nowhere else.
    pub server: String,
    pub issuer: String,
    pub client_id: String,
    pub token_endpoint: String,
    pub revocation_endpoint: Option<String>,
    pub ca: Option<PathBuf>,
    pub kind: TokenKind,
    /// Whose it is, as the provider calls them.
    pub subject: String,
    pub token: String,
    pub refresh_token: Option<String>,
    /// When the token ends, in seconds since 1970. `None`: it is not known.
    pub expires: Option<i64>,
}

impl Session {
    /// Whether its token has ended, or is about to.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end.saturating_sub(MARGIN) <= now.as_second())
    }

    pub(crate) fn ends(&self) -> Option<Timestamp> {
        self.expires.and_then(|end| Timestamp::from_second(end).ok())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("server", &self.server)
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// Where a session is kept.
#[derive(Clone, Debug)]
pub(crate) struct SessionFile {
    path: PathBuf,
}

impl SessionFile {
    /// That of a profile.
    pub(crate) fn new(folder: &Path, profile: &str) -> Self {
        Self { path: folder.join(format!("{profile}.json")) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a session, and for this server. One that can't be read is told of once it is used.
    pub(crate) fn is_for(&self, url: &str) -> bool {
        match self.load() {
            Ok(session) => session.is_some_and(|session| is_same(&session.server, url)),
            Err(_) => true,
        }
    }

    /// The session; `None` where there is none.
    pub(crate) fn load(&self) -> Result<Option<Session>, LoginError> {
        let file = match fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("read", error)),
        };
        let metadata = file.metadata().map_err(|error| self.failed("read", error))?;
        if is_open_to_others(&metadata) {
            let path = self.path.display();
            return Err(LoginError::Open(format!("{path}: it holds a token, and others on this computer may read it")));
        }
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| self.failed("read", error))?;
        // What can't be read is as good as none: signing in writes it anew.
        serde_json::from_str(&text).map(Some).map_err(|_| LoginError::Ended("the kept session can't be understood"))
    }

    /// Keeps a session in place of the one before, in one piece.
    pub(crate) fn save(&self, session: &Session) -> Result<(), LoginError> {
        let write = || -> io::Result<()> {
            let folder = self.folder()?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&serde_json::to_vec_pretty(session)?)?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().map_err(|error| self.failed("write", error))
    }

    /// True: there was one.
    pub(crate) fn remove(&self) -> Result<bool, LoginError> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("remove", error)),
        }
    }

    /// Waits until no other process renews it: a refresh token is mostly good for one use.
    pub(super) async fn lock(&self) -> Result<fs::File, LoginError> {
        let this = self.clone();
        let lock = move || -> io::Result<fs::File> {
            this.folder()?;
            let path = this.path.with_extension("lock");
            let file = fs::File::options().create(true).truncate(false).write(true).open(path)?;
            file.lock()?;
            Ok(file)
        };
        let locked = tokio::task::spawn_blocking(lock).await.map_err(io::Error::other);
        locked.and_then(|locked| locked).map_err(|error| self.failed("lock", error))
    }

    /// Its folder, which is made where there is none.
    fn folder(&self) -> io::Result<&Path> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
        Ok(folder)
    }

    fn failed(&self, what: &str, source: io::Error) -> LoginError {
        LoginError::File { what: format!("can't {what} {}", self.path.display()), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn session() -> Session {
        Session {
            server: "https://approve.example.com".into(),
            issuer: "https://login.example.com".into(),
            client_id: "approve-cli".into(),
            token_endpoint: "https://login.example.com/token".into(),
            revocation_endpoint: None,
            ca: None,
            kind: TokenKind::Id,
            subject: "ana".into(),
            token: "planted".into(),
            refresh_token: Some("planted".into()),
            expires: Some(1_000),
        }
    }

    #[test]
    fn it_is_kept_for_its_owner_alone_and_for_its_server_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = SessionFile::new(&folder.path().join("a").join("b"), "prod");
        assert!(file.load().unwrap().is_none() && !file.is_for("https://approve.example.com"));
        file.save(&session()).unwrap();
        assert_eq!(file.load().unwrap().unwrap().token, "planted");
        assert!(file.is_for("https://approve.example.com/") && !file.is_for("https://elsewhere.example.com"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(file.path()), mode(file.path().parent().unwrap())), (0o600, 0o700));
            fs::set_permissions(file.path(), fs::Permissions::from_mode(0o604)).unwrap();
            let error = file.load().unwrap_err();
            assert!(matches!(error, LoginError::Open(_)) && !error.to_string().contains("planted"));
        }
        assert!(file.remove().unwrap() && !file.remove().unwrap());
    }

    #[test]
    fn what_is_damaged_is_told_when_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = SessionFile::new(folder.path(), "prod");
        file.save(&session()).unwrap();
        fs::write(file.path(), "{\"server\": 1").unwrap();
        assert!(matches!(file.load(), Err(LoginError::Ended(_))));
        assert!(file.is_for("anywhere"));
    }

    #[test]
    fn a_token_is_over_a_little_before_its_end() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(!session().is_over(at(989)) && session().is_over(at(990)));
        assert!(!Session { expires: None, ..session() }.is_over(at(i64::from(u32::MAX))));
    }

    #[test]
    fn nothing_shows_a_token() {
        assert!(!format!("{:?}", session()).contains("planted"));
    }
}
