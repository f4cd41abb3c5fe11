use clap::Parser as _;

use super::*;
use crate::args::Cli;

const FILE: &str = r#"
default_profile = "prod"

[profile.prod]
server = "https://approve.example.com"
as = "ana"
groups = ["finance"]
token = "planted"
ca = "ca.pem"
output = "json"
timeout = "5s"

[profile.test]
server = "127.0.0.1:1"
"#;

fn write(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    (folder, path)
}

fn read(text: &str, mode: u32) -> Result<File, Failure> {
    File::read(&write(text, mode).1, true)
}

/// Settings for these arguments. What the environment says is left out.
fn settings(args: &[&str]) -> Result<Settings, Failure> {
    let mut global = Cli::parse_from(["approve-cli", "list"].iter().chain(args)).global;
    // Only arguments: what they name is given as a flag.
    global.flags = args.iter().filter_map(|arg| arg.strip_prefix("--")).map(|arg| arg.replace('-', "_")).collect();
    Settings::merge(&global, None, read(FILE, 0o600)?, None)
}

#[test]
fn flags_come_before_the_profile_and_the_profile_before_defaults() {
    let prod = settings(&[]).unwrap();
    assert_eq!(prod.profile.as_deref(), Some("prod"));
    assert_eq!((prod.server.value.as_str(), prod.server.from), ("https://approve.example.com", Origin::Profile));
    assert_eq!((prod.output.value, prod.output.from), (OutputFormat::Json, Origin::Profile));
    assert_eq!(prod.timeout.unwrap().value, Duration::from_secs(5));
    assert!(matches!(prod.token, Some(Setting { value: Token::Text(_), from: Origin::Profile })));
    let given = settings(&["--output", "table", "--group", "legal"]).unwrap();
    assert_eq!((given.output.value, given.output.from), (OutputFormat::Table, Origin::Flag));
    assert_eq!(given.groups.value, ["legal"]);
    let test = settings(&["--profile", "test"]).unwrap();
    assert_eq!((test.url().as_str(), test.output.from), ("http://127.0.0.1:1", Origin::Default));
    let unknown = settings(&["--profile", "nope"]).unwrap_err().to_string();
    assert!(unknown.contains("has prod, test"), "{unknown}");
}

#[test]
fn a_profiles_tokens_and_certificates_go_to_its_own_server_alone() {
    let elsewhere = settings(&["--server", "https://elsewhere.example.com"]).unwrap();
    assert!(elsewhere.token.is_none() && elsewhere.ca.is_none() && elsewhere.withheld);
    assert_eq!(elsewhere.actor.unwrap().value, "ana");
    let same = settings(&["--server", "https://Approve.example.com/"]).unwrap();
    assert!(same.token.is_some() && same.ca.is_some() && !same.withheld);
}

#[test]
fn what_is_in_the_environment_comes_before_the_profile() {
    let global = Cli::parse_from(["approve-cli", "list"]).global;
    let file = read(FILE, 0o600).unwrap();
    let settings = Settings::merge(&global, None, file, Some("from the environment".into())).unwrap();
    let token = settings.token.unwrap();
    assert_eq!(token.from, Origin::Environment);
    assert!(matches!(token.value, Token::Text(secret) if secret.expose() == "from the environment"));
}

#[test]
fn a_file_that_can_not_be_meant_is_refused_with_its_line() {
    for (text, said) in [
        ("[profile.a]\nservr = \"x\"", "line 2: unknown field `servr`"),
        ("[profile.a.login]\nissuers = \"x\"", "line 2: unknown field `issuers`"),
        ("default_profile = \"b\"\n[profile.a]", "no profile \"b\""),
        ("[profile.\"../a\"]", "a name is"),
        ("[profile.a]\ntimeout = \"0s\"", "more than 0"),
        ("[profile.a]\ntoken = \"x\"\ntoken_file = \"y\"", "exclude each other"),
    ] {
        let error = read(text, 0o600).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("config.toml"), "{text}: {error}");
    }
}

#[cfg(unix)]
#[test]
fn a_token_that_others_may_read_is_refused() {
    let error = read(FILE, 0o640).unwrap_err().to_string();
    assert!(error.contains("others") && !error.contains("planted"), "{error}");
    assert!(read("[profile.a]\nserver = \"x\"", 0o644).is_ok());
}

#[test]
fn paths_are_beside_the_file() {
    let (folder, path) = write("[profile.a]\nca = \"ca.pem\"\nkey = \"/k\"\ncert = \"~/c\"", 0o600);
    let file = File::read(&path, true).unwrap();
    let profile = &file.profiles["a"];
    assert_eq!(profile.ca.as_deref(), Some(folder.path().join("ca.pem").as_path()));
    assert_eq!(profile.key.as_deref(), Some(Path::new("/k")));
    assert!(profile.cert.as_ref().unwrap().is_absolute());
    assert!(File::read(&folder.path().join("none"), false).is_ok());
    assert!(File::read(&folder.path().join("none"), true).is_err());
}

#[test]
fn nothing_shows_a_token() {
    let shown = format!("{:?} {:?}", read(FILE, 0o600).unwrap(), settings(&[]).unwrap());
    assert!(!shown.contains("planted"), "{shown}");
}
