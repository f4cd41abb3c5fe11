//! Signing in from a terminal, at a provider that the server trusts, and what becomes of the session.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use approve_tests::{
    Cli, DEADLINE, LocalAws, Server, browser::Browser, oidc::OidcProvider, process::Process, server::write_config,
    wait_for,
};
use tempfile::TempDir;

const ROLES: &str = r#"
[[role]]
name = "finance"
members = ["group:finance"]
permissions = ["view", "decide"]
"#;

struct Office {
    server: Server,
    provider: OidcProvider,
    home: TempDir,
    runs: AtomicU32,
    _aws: LocalAws,
}

impl Office {
    async fn open() -> Self {
        let (provider, aws, folder) = (OidcProvider::start().await, LocalAws::start().await, TempDir::new().unwrap());
        let aws_table = format!("[aws]\nregion = \"us-east-1\"\nendpoint = \"{}\"\n", aws.url());
        write_config(folder.path(), &format!("{aws_table}{}{ROLES}", provider.jwt_table("approve-cli")));
        let server = Server::serve_folder(folder, &[]).await;
        let home = TempDir::new().unwrap();
        let config = format!(
            "[profile.office]\nserver = {:?}\n[profile.office.login]\nissuer = {:?}\nclient_id = \"approve-cli\"\n",
            server.url(),
            provider.issuer()
        );
        fs::create_dir_all(home.path().join(".config/approve")).unwrap();
        fs::write(home.path().join(".config/approve/config.toml"), config).unwrap();
        Self { server, provider, home, runs: AtomicU32::new(0), _aws: aws }
    }

    /// The program of somebody with this profile. What the environment says of the server is the same.
    fn cli(&self) -> Cli {
        Cli::new(self.server.url(), "", self.home.path()).env("APPROVE_PROFILE", "office")
    }

    fn session(&self) -> PathBuf {
        self.home.path().join(".local/state/approve/sessions/office.json")
    }

    /// Begins to sign in with a browser; the program, and the address that it prints.
    async fn begin(&self, more: &[&str]) -> (Process, String) {
        // What an earlier one printed is of no use to this one.
        let name = format!("login-{}", self.runs.fetch_add(1, Ordering::Relaxed));
        let args = [&["login", "--flow", "browser", "--no-browser"], more].concat();
        let process = self.cli().spawn(&name, &args);
        let address = wait_for("the address to be printed", async || {
            let said = process.stderr();
            let (_, said) = said.split_once("browser at:")?;
            let (address, _) = said.trim_start().split_once('\n')?;
            Some(address.to_owned())
        })
        .await;
        (process, address)
    }

    /// Signs in as whoever the provider lets in.
    async fn sign_in(&self) {
        let (mut process, address) = self.begin(&[]).await;
        let back = self.at_provider(&address).await;
        let page = open(&back).await;
        assert!(page.contains("You are signed in"), "{page}");
        assert_eq!(process.exit(DEADLINE).await.code(), Some(0), "{}", process.stderr());
    }

    /// Where the provider sends a browser back to.
    async fn at_provider(&self, address: &str) -> String {
        let path = address.strip_prefix(self.provider.issuer()).unwrap_or_else(|| panic!("{address}"));
        Browser::new(self.provider.issuer()).get(path).await.location().to_owned()
    }
}

/// What a browser shows at an address on loopback.
async fn open(url: &str) -> String {
    let (origin, path) = url.split_once("/callback").unwrap_or_else(|| panic!("{url}"));
    Browser::new(origin).get(&format!("/callback{path}")).await.text
}

#[tokio::test]
async fn a_browser_signs_in_and_the_session_is_renewed_until_it_is_given_back() {
    let office = Office::open().await;
    office.provider.sign_in("ana", &["finance"]);
    // So short that each run has to renew it, with a refresh token that is good for one use.
    office.provider.set_lifetime(5);
    office.cli().run(&["whoami"]).await.exits(4).says(&["login"]);
    office.sign_in().await;
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&office.session()), 0o600);

    let known = office.cli().json(&["whoami"]).await;
    assert_eq!((&known["principal"], &known["via"]), (&"user:ana".into(), &"jwt".into()));
    let (a, b, c) = (office.cli(), office.cli(), office.cli());
    let (a, b, c) = tokio::join!(a.run(&["list"]), b.run(&["list"]), c.run(&["list"]));
    for each in [a, b, c] {
        each.ok();
    }
    let renewed = office.provider.grants();
    assert_eq!(renewed.first().map(String::as_str), Some("authorization_code"));
    assert!(renewed.iter().skip(1).all(|grant| grant == "refresh_token") && renewed.len() > 4, "{renewed:?}");

    let kept = fs::read_to_string(office.session()).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    for args in [&["config"][..], &["config", "--output", "json"], &["doctor"], &["whoami"]] {
        let ran = office.cli().run(args).await.ok();
        for secret in ["token", "refresh_token"] {
            let secret = kept[secret].as_str().unwrap();
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{ran}");
        }
    }

    assert_eq!(office.cli().json(&["logout"]).await, serde_json::json!({"signed_out": true, "revoked": true}));
    assert!(!office.session().exists());
    assert_eq!(office.provider.grants().last().map(String::as_str), Some("revoked"));
    office.cli().run(&["whoami"]).await.exits(4);
    office.cli().run(&["logout"]).await.ok().says(&["not signed in"]);
}

#[tokio::test]
async fn a_session_that_can_not_be_renewed_says_what_to_do() {
    let office = Office::open().await;
    office.provider.sign_in("ana", &["finance"]);
    office.provider.set_lifetime(5);
    office.sign_in().await;
    office.provider.set_away(true);
    office.cli().run(&["whoami"]).await.exits(7).says(&["503"]);
    office.provider.set_away(false);
    office.cli().run(&["whoami"]).await.ok();
    office.provider.forget();
    office.cli().run(&["whoami"]).await.exits(4).says(&["session has ended", "approve-cli login"]);
    // Others may read it: it is not used.
    office.sign_in().await;
    fs::set_permissions(office.session(), fs::Permissions::from_mode(0o644)).unwrap();
    office.cli().run(&["whoami"]).await.exits(6).says(&["others on this computer", "chmod 600"]);
}

#[tokio::test]
async fn a_session_goes_to_its_own_server_alone() {
    let office = Office::open().await;
    let other = Server::dev().await;
    office.provider.sign_in("ana", &["finance"]);
    office.sign_in().await;
    let elsewhere = office.cli().json(&["whoami", "--server", other.url(), "--as", "bo"]).await;
    assert_eq!((&elsewhere["principal"], &elsewhere["via"]), (&"user:bo".into(), &"asserted".into()));
    // To name oneself where one is known is a mistake.
    office.cli().run(&["whoami", "--as", "bo"]).await.exits(2);
}

#[tokio::test]
async fn a_code_signs_in_where_there_is_no_browser() {
    let office = Office::open().await;
    for allowed in [false, true] {
        let mut process = office.cli().spawn(&format!("device-{allowed}"), &["login", "--flow", "device"]);
        let code = wait_for("the code to be printed", async || {
            let said = process.stderr();
            let (_, code) = said.rsplit_once("and enter:")?;
            code.split_whitespace().next().filter(|code| code.len() == 9).map(str::to_owned)
        })
        .await;
        if allowed {
            assert!(office.provider.approve_device(&code, "ana", &["finance"]));
            assert_eq!(process.exit(DEADLINE).await.code(), Some(0), "{}", process.stderr());
        } else {
            assert!(office.provider.deny_device(&code));
            assert_eq!(process.exit(DEADLINE).await.code(), Some(4), "{}", process.stderr());
            assert!(process.stderr().contains("access_denied"), "{}", process.stderr());
        }
    }
    assert_eq!(office.cli().json(&["whoami"]).await["principal"], "user:ana");
}

#[tokio::test]
async fn only_the_browser_that_was_sent_signs_in() {
    let office = Office::open().await;
    office.provider.sign_in("ana", &["finance"]);
    let (mut process, address) = office.begin(&[]).await;
    let back = office.at_provider(&address).await;
    let (origin, _) = back.split_once('?').unwrap();
    for forged in ["code=stolen&state=guessed", "code=stolen", "error=access_denied", ""] {
        let page = open(&format!("{origin}?{forged}")).await;
        assert!(page.contains("not the answer"), "{page}");
    }
    assert!(process.ended().is_none() && !office.session().exists());
    open(&back).await;
    assert_eq!(process.exit(DEADLINE).await.code(), Some(0), "{}", process.stderr());

    let (mut process, address) = office.begin(&[]).await;
    let back = office.at_provider(&format!("{address}&as=")).await;
    assert!(open(&back).await.contains("You are not signed in"));
    assert_eq!(process.exit(DEADLINE).await.code(), Some(4), "{}", process.stderr());
    assert!(process.stderr().contains("access_denied: you said no"), "{}", process.stderr());
}

#[tokio::test]
async fn whoever_the_server_does_not_know_is_told_so() {
    let office = Office::open().await;
    office.provider.sign_in("ana", &["finance"]);
    // Its audience is the provider's own, and not the one that the server wants.
    let (mut process, address) = office.begin(&["--token", "access"]).await;
    open(&office.at_provider(&address).await).await;
    assert_eq!(process.exit(DEADLINE).await.code(), Some(4), "{}", process.stderr());
    assert!(process.stderr().contains("audience"), "{}", process.stderr());
    for (args, code, said) in [
        (&["login", "--issuer", "http://login.example.com"][..], 2, "https://"),
        (&["login", "--issuer", "http://127.0.0.1:1"], 7, "can't be asked"),
        (&["login", "--issuer", &format!("{}/", office.provider.issuer())], 2, "calls itself"),
        (&["login", "--profile", "nobody"], 2, "no profile"),
    ] {
        office.cli().run(args).await.exits(code).says(&[said]);
    }
}
