//! A server that can't start says why, in one place, with an exit code of its own, and leaves nothing behind.

use std::{fs, net::TcpListener, path::Path};

use approve_tests::{
    DEADLINE, Server, binaries,
    certificates::Authority,
    process::{Process, command},
    server::write_config,
};
use tempfile::TempDir;

/// As `approve-server --help` lists them.
const CONFIG: i32 = 3;
const LISTEN: i32 = 4;
const STORE: i32 = 5;

struct Refused {
    code: i32,
    stderr: String,
}

impl Refused {
    fn assert(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "stderr lacks {part:?}:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

/// Runs a server that is expected to end by itself.
async fn refused(folder: &Path, args: &[&str]) -> Refused {
    let mut command = command(binaries::server(), folder);
    command.args(args).env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let mut process = Process::spawn("refused", command, folder);
    let status = process.exit(DEADLINE).await;
    Refused { code: status.code().unwrap_or(-1), stderr: process.stderr() }
}

async fn refused_config(text: &str) -> Refused {
    let folder = TempDir::new().unwrap();
    let path = write_config(folder.path(), text);
    refused(folder.path(), &["serve", "--config", path.to_str().unwrap(), "--listen", "127.0.0.1:0"]).await
}

#[tokio::test]
async fn an_unknown_key_is_named_with_the_nearest_known_one() {
    refused_config("[aws]\nregoin = \"us-east-1\"\n").await.assert(CONFIG, &["regoin", "region", "approve.toml"]);
    refused_config("[wroker]\nmax_polls = 1\n").await.assert(CONFIG, &["wroker", "worker"]);
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_named() {
    refused_config("[log]\nformat = \"xml\"\n").await.assert(CONFIG, &["log.format"]);
    refused_config("[worker]\nmax_polls = \"many\"\n").await.assert(CONFIG, &["worker.max_polls"]);
    refused_config("[log\n").await.assert(CONFIG, &["approve.toml"]);
}

#[tokio::test]
async fn a_config_that_does_not_exist_is_named() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing.toml");
    refused(folder.path(), &["serve", "--config", missing.to_str().unwrap()]).await.assert(CONFIG, &["missing.toml"]);
}

#[tokio::test]
async fn without_identity_only_loopback_is_served() {
    let folder = TempDir::new().unwrap();
    let path = write_config(folder.path(), "");
    let args = ["serve", "--config", path.to_str().unwrap(), "--listen", "0.0.0.0:0"];
    refused(folder.path(), &args).await.assert(CONFIG, &["0.0.0.0"]);
}

#[tokio::test]
async fn serving_needs_a_region() {
    let folder = TempDir::new().unwrap();
    let config = write_config(folder.path(), "");
    let mut command = command(binaries::server(), folder.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(config);
    command.env("HOME", folder.path()).env("AWS_EC2_METADATA_DISABLED", "true");
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_CONFIG_FILE"] {
        command.env_remove(name);
    }
    let mut process = Process::spawn("refused", command, folder.path());
    let status = process.exit(DEADLINE).await;
    let refused = Refused { code: status.code().unwrap_or(-1), stderr: process.stderr() };
    refused.assert(CONFIG, &["aws.region", "AWS_REGION"]);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();

    let grpc = ["dev", "--data-dir", data, "--listen", &address, "--aws-listen", "127.0.0.1:0"];
    refused(folder.path(), &grpc).await.assert(LISTEN, &[&address, "in use"]);
    let aws = ["dev", "--data-dir", data, "--listen", "127.0.0.1:0", "--aws-listen", &address];
    refused(folder.path(), &aws).await.assert(LISTEN, &[&address, "in use"]);
    let port = taken.local_addr().unwrap().port().to_string();
    refused(folder.path(), &["local-aws", "--port", &port]).await.assert(LISTEN, &[&port, "in use"]);
}

#[tokio::test]
async fn a_data_folder_that_can_not_be_written_is_named() {
    let folder = TempDir::new().unwrap();
    // Below a file there can be no folder, not even for root.
    fs::write(folder.path().join("file"), "").unwrap();
    let data = folder.path().join("file/data");
    let data = data.to_str().unwrap();
    let args = ["dev", "--data-dir", data, "--listen", "127.0.0.1:0", "--aws-listen", "127.0.0.1:0"];
    refused(folder.path(), &args).await.assert(STORE, &[data]);
}

#[tokio::test]
async fn a_data_folder_is_used_by_one_server_at_a_time() {
    let server = Server::empty().await;
    let data = server.data_dir();
    let data = data.to_str().unwrap();
    let args = ["dev", "--data-dir", data, "--listen", "127.0.0.1:0", "--aws-listen", "127.0.0.1:0"];
    let folder = TempDir::new().unwrap();
    refused(folder.path(), &args).await.assert(STORE, &[data]);
}

#[tokio::test]
async fn a_data_folder_of_a_newer_version_is_left_alone() {
    let mut server = Server::empty().await;
    assert_eq!(server.stop(DEADLINE).await, Some(0));
    let database = database(&server.data_dir());
    // SQLite keeps the schema's version in its header: 4 bytes, big-endian, at 60.
    let mut bytes = fs::read(&database).unwrap();
    bytes[60..64].copy_from_slice(&9_999_u32.to_be_bytes());
    fs::write(&database, &bytes).unwrap();

    let data = server.data_dir();
    let data = data.to_str().unwrap();
    let args = ["dev", "--data-dir", data, "--listen", "127.0.0.1:0", "--aws-listen", "127.0.0.1:0"];
    refused(server.folder(), &args).await.assert(STORE, &["9999", "up to"]);

    assert_eq!(fs::read(&database).unwrap(), bytes, "it was written to");
}

/// The one SQLite database in a folder.
fn database(folder: &Path) -> std::path::PathBuf {
    let mut found = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0")));
    let database = found.next().expect("a database in the data folder");
    assert_eq!(found.next(), None);
    database
}

#[tokio::test]
async fn certificates_and_keys_that_can_not_be_used_are_named() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let authority = Authority::new();
    let (one, two) = (authority.server(), authority.server());
    let (cert, key) = (file("one.crt", &one.certificate), file("one.key", &one.key));
    let (other_key, nothing) = (file("two.key", &two.key), file("nothing.pem", "nothing"));
    let missing = folder.path().join("missing.pem").to_str().unwrap().to_owned();
    let identity = "[auth]\napi_tokens = true\n";
    let tls = |cert: &str, key: &str, more: &str| {
        format!("[aws]\nregion = \"us-east-1\"\n[tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n{more}{identity}")
    };
    for (config, parts) in [
        (tls(&missing, &key, ""), ["tls.cert_file", "missing.pem"]),
        (tls(&cert, &missing, ""), ["tls.key_file", "missing.pem"]),
        (tls(&nothing, &key, ""), ["tls.cert_file", "no certificate"]),
        (tls(&cert, &other_key, ""), ["two.key", "own key"]),
        (tls(&cert, &nothing, ""), ["nothing.pem", "a private key in PEM"]),
        (
            tls(&cert, &key, &format!("client_ca_file = {nothing:?}\nrequire_client_cert = true\n")),
            ["client_ca_file", "no certificate"],
        ),
    ] {
        refused_config(&config).await.assert(CONFIG, &parts);
    }
    let role = "[[role]]\nname = \"all\"\nmembers = [\"anyone\"]\npermissions = [\"view\"]\n";
    let jwt = format!(
        "[aws]\nregion = \"us-east-1\"\n[auth.jwt]\nissuer = \"i\"\naudience = \"a\"\njwks_file = {missing:?}\n{role}"
    );
    refused_config(&jwt).await.assert(CONFIG, &["missing.pem"]);
}

#[tokio::test]
async fn a_key_that_signs_nothing_is_named() {
    let aws = "[aws]\nregion = \"us-east-1\"\nendpoint = \"http://127.0.0.1:9\"\n";
    let config = |audit: &str| format!("{aws}\n[audit]\n{audit}\n");
    let missing = refused_config(&config("signing_key_file = \"/nowhere/audit.pem\"")).await;
    missing.assert(CONFIG, &["audit.signing_key_file", "/nowhere/audit.pem"]);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("audit.pem");
    fs::write(&file, "not a key").unwrap();
    let wrong = refused_config(&config(&format!("signing_key_file = {file:?}"))).await;
    wrong.assert(CONFIG, &["audit.signing_key_file", "BEGIN PRIVATE KEY"]);
    assert!(!wrong.stderr.contains("not a key"), "what is in the file is nobody's business: {}", wrong.stderr);
    refused_config(&config("anchor_interval_seconds = 0")).await.assert(CONFIG, &["audit.anchor_interval_seconds"]);
}
