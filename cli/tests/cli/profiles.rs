//! The config file, what `config` shows of it, and what `doctor` finds.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::common::{Ran, Running};

fn write(folder: &Path, mode: u32, text: &str) {
    let folder = folder.join("approve");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("config.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
}

/// The program without anything in the environment but where its config file is.
fn command(server: &Running, folder: &Path, args: &[&str]) -> Command {
    let mut command = server.command(args);
    command.env_remove("APPROVE_SERVER").env_remove("APPROVE_ACTOR").env("XDG_CONFIG_HOME", folder);
    command
}

fn run(mut command: Command) -> Ran {
    Ran::from(command.output().unwrap())
}

fn setting<'a>(config: &'a Value, name: &str) -> (&'a str, &'a str) {
    let rows = config["settings"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}: {config}"));
    (row["value"].as_str().unwrap(), row["from"].as_str().unwrap())
}

#[test]
fn a_profile_holds_where_nothing_comes_before_it() {
    let server = Running::start();
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        0o600,
        &format!("[profile.default]\nserver = {:?}\nas = \"cy\"\ngroups = [\"legal\"]\n[profile.other]\n", server.url),
    );
    let ran = run(command(&server, folder.path(), &["decide", "one", "--approve"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run(command(&server, folder.path(), &["decide", "one", "--approve", "--as", "bo", "--group", "it"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let callers = server.fake.callers.lock().unwrap().clone();
    let expected = [("user:cy", "legal"), ("user:bo", "it")].map(|(who, group)| (who.to_owned(), group.to_owned()));
    assert_eq!(callers, expected);

    let mut by_environment = command(&server, folder.path(), &["config", "-o", "json"]);
    by_environment.env("APPROVE_ACTOR", "di").env("APPROVE_PROFILE", "default");
    let config: Value = serde_json::from_str(&run(by_environment).stdout).unwrap();
    assert_eq!(setting(&config, "as"), ("user:di", "environment"));
    assert_eq!(setting(&config, "server"), (server.url.as_str(), "profile"));
    assert_eq!(setting(&config, "timeout").1, "default");
    assert_eq!(config["profiles"], serde_json::json!(["default", "other"]));
    let other = run(command(&server, folder.path(), &["config", "--profile", "other"])).stdout;
    assert!(other.contains("http://127.0.0.1:50051") && other.contains("other (of default, other)"), "{other}");
}

#[test]
fn what_is_wrong_with_the_file_is_told_by_every_command_but_those_that_need_none() {
    let server = Running::start();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0o600, "[profile.default]\nservre = \"x\"\n");
    let ran = run(command(&server, folder.path(), &["list"]));
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(ran.stderr.contains("config.toml: line 2: unknown field `servre`"), "{}", ran.stderr);
    assert_eq!(run(command(&server, folder.path(), &["completions", "bash"])).code, Some(0));
    let ran = run(command(&server, folder.path(), &["doctor"]));
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(ran.stdout.starts_with("fail  settings"), "{}", ran.stdout);
    let ran = run(command(&server, folder.path(), &["list", "--profile", "x", "--config", "/dev/null"]));
    assert!(ran.code == Some(2) && ran.stderr.contains("no profile \"x\""), "{ran:?}");
}

#[test]
fn a_token_is_neither_shown_nor_read_from_a_file_of_everybodys() {
    let server = Running::start();
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[profile.default]\nserver = {:?}\ntoken = \"apt_planted\"\n", server.url);
    write(folder.path(), 0o644, &text);
    let ran = run(command(&server, folder.path(), &["whoami"]));
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(ran.stderr.contains("chmod 600") && !ran.stderr.contains("planted"), "{}", ran.stderr);
    write(folder.path(), 0o600, &text);
    assert_eq!(run(command(&server, folder.path(), &["whoami"])).code, Some(0));
    assert_eq!(server.fake.sent("authorization").as_deref(), Some("Bearer apt_planted"));
    for args in [&["config"][..], &["config", "-o", "json"], &["doctor"]] {
        let ran = run(command(&server, folder.path(), args));
        assert!(ran.code == Some(0) && !ran.stdout.contains("planted"), "{ran:?}");
        assert!(ran.stdout.contains("(not shown)"), "{ran:?}");
    }
}

#[test]
fn a_profiles_token_is_not_sent_to_another_server() {
    let (own, other) = (Running::start(), Running::start());
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 0o600, &format!("[profile.default]\nserver = {:?}\ntoken = \"apt_planted\"\n", own.url));
    let ran = run(command(&own, folder.path(), &["whoami", "--server", &other.url]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((other.fake.sent("authorization"), other.fake.acts().len()), (None, 1));
    let ran = run(command(&own, folder.path(), &["config", "--server", &other.url]));
    assert!(ran.stderr.contains("left out"), "{ran:?}");
}

#[test]
fn doctor_finds_a_healthy_server_healthy() {
    let server = Running::start();
    let ran = server.run(&["doctor", "-o", "json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["status"], "ok");
    let checks = report["checks"].as_array().unwrap();
    let status = |name: &str| checks.iter().find(|check| check["check"] == name).map(|check| check["status"].clone());
    for name in ["settings", "address", "connection", "tls", "identity", "version", "clock", "health", "store"] {
        assert_eq!(status(name), Some("ok".into()), "{name}: {report}");
    }
    assert_eq!(status("aws"), Some("skip".into()), "{report}");
}

#[test]
fn doctor_says_where_it_ends_and_what_to_do() {
    let server = Running::start();
    for (url, name, code) in [
        ("http://127.0.0.1:1", "connection", 7),
        ("http://name.invalid:1", "address", 7),
        ("http://", "address", 6),
        (&*server.url.replace("http://", "https://"), "tls", 7),
    ] {
        let ran = server.run(&["doctor", "--server", url]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let failed: Vec<_> = ran.stdout.lines().skip_while(|line| !line.starts_with("fail")).collect();
        assert!(failed[0].starts_with(&format!("fail  {name}")), "{}", ran.stdout);
        assert!(failed[1].starts_with("          ") && failed[1].trim().len() > 10, "{}", ran.stdout);
    }
}
