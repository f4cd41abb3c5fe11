use super::*;

fn load(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("approve.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(Some(&file), &Overrides::default()).map_err(|error| error.to_string())
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    let error = load("lisen = \"127.0.0.1:1\"").unwrap_err();
    assert!(error.contains("\"lisen\"") && error.contains("did you mean \"listen\""), "{error}");
    let error = load("[worker]\nmin_pols = 3").unwrap_err();
    assert!(error.contains("\"worker.min_pols\"") && error.contains("\"worker.min_polls\""), "{error}");
    assert!(error.contains("approve.toml"), "{error}");
}

#[test]
fn a_wrong_value_is_refused_by_name() {
    let error = load("[worker]\nmin_polls = \"many\"").unwrap_err();
    assert!(error.starts_with("worker.min_polls:"), "{error}");
    let error = load("[worker]\nmin_polls = 0").unwrap_err();
    assert!(error.starts_with("worker.min_polls:"), "{error}");
    let error = load("listen = \"0.0.0.0:50051\"").unwrap_err();
    assert!(error.contains("loopback") && error.contains("set listen"), "{error}");
}

#[test]
fn a_file_takes_the_place_of_defaults_only_where_it_speaks() {
    let config = load("[worker]\nmin_polls = 3").unwrap();
    assert_eq!(config.worker.min_polls, 3);
    assert_eq!(config.worker.max_polls, Worker::default().max_polls);
    assert_eq!(load("").unwrap(), Config::default());
}

#[test]
fn flags_come_last() {
    let flags = Overrides { data_dir: Some("elsewhere".into()), ..Overrides::default() };
    assert_eq!(Config::load(None, &flags).unwrap().data_dir, PathBuf::from("elsewhere"));
}

const BEYOND: &str = "listen = \"0.0.0.0:50051\"\n";
const TLS: &str = "[tls]\ncert_file = \"server.crt\"\nkey_file = \"server.key\"\n";
const JWT: &str = "[auth.jwt]\nissuer = \"https://a\"\naudience = \"approve\"\njwks_url = \"https://a/keys\"\n";
const ROLE: &str = "[[role]]\nname = \"all\"\nmembers = [\"anyone\"]\npermissions = [\"view\"]\n";

fn refusal(parts: &[&str]) -> String {
    load(&parts.concat()).unwrap_err()
}

#[test]
fn loopback_alone_is_served_on_trust() {
    assert_eq!(load("").unwrap().identity(), IdentityMode::Trust);
    assert_eq!(load("[auth]\ntrust_callers = true\n").unwrap().identity(), IdentityMode::Trust);
    assert!(refusal(&[BEYOND]).contains("not a loopback address"));
    assert!(refusal(&[BEYOND, "[auth]\ntrust_callers = true\n"]).contains("not a loopback address"));
    assert!(refusal(&[BEYOND, "[auth]\ntrust_callers = true\n", TLS]).contains("not trusted"));
    assert!(refusal(&["[auth]\ntrust_callers = false\n"]).contains("[[auth.jwt]]"));
}

#[test]
fn beyond_loopback_takes_tls_and_identity_and_roles() {
    let without_identity = refusal(&[BEYOND, TLS]);
    assert!(without_identity.contains("[[auth.jwt]]") && without_identity.contains("[tls]"), "{without_identity}");
    assert!(refusal(&[BEYOND, JWT, ROLE]).starts_with("tls:"));
    assert!(refusal(&[BEYOND, TLS, JWT]).contains("[[role]]"));
    assert!(refusal(&[BEYOND, JWT, "[auth]\ntrust_callers = true\n"]).contains("auth"));
    let served = load(&[BEYOND, TLS, JWT, ROLE].concat()).unwrap();
    assert_eq!(served.identity(), IdentityMode::Checked { api_tokens: true });
    let tokens = load(&[BEYOND, TLS, "[auth]\napi_tokens = true\n"].concat()).unwrap();
    assert_eq!(tokens.identity(), IdentityMode::Checked { api_tokens: true });
    assert_eq!(load(&[JWT, ROLE].concat()).unwrap().identity(), IdentityMode::Checked { api_tokens: true });
}

#[test]
fn trust_and_credentials_exclude_each_other() {
    let both = "[auth]\ntrust_callers = true\napi_tokens = true\n";
    assert!(refusal(&[both]).starts_with("auth.trust_callers:"));
}

#[test]
fn certificates_need_roots_and_roots_a_use() {
    let certificates = "[auth.certificates]\nprincipal = \"uri\"\n";
    let roots = "client_ca_file = \"clients.pem\"\n";
    assert!(refusal(&[TLS, certificates, ROLE]).contains("client_ca_file"));
    assert!(refusal(&[TLS, roots, JWT, ROLE]).starts_with("tls.client_ca_file:"));
    assert!(refusal(&[TLS, "require_client_cert = true\n", JWT, ROLE]).starts_with("tls.require_client_cert:"));
    load(&[TLS, roots, certificates, ROLE].concat()).unwrap();
    load(&[TLS, roots, "require_client_cert = true\n", JWT, ROLE].concat()).unwrap();
    let twice = "map = [{ prefix = \"a\", kind = \"user\" }, { prefix = \"a\", kind = \"service\" }]\n";
    assert!(refusal(&[TLS, roots, certificates, twice, ROLE]).contains("map[1].prefix"));
}

#[test]
fn an_issuer_is_checked() {
    for (line, key) in [
        ("algorithms = []\n", "algorithms"),
        ("algorithms = [\"HS256\"]\n", "algorithms"),
        ("algorithms = [\"none\"]\n", "algorithms"),
        ("leeway_seconds = 301\n", "leeway_seconds"),
        ("refresh_seconds = 0\n", "refresh_seconds"),
        ("jwks_file = \"keys.json\"\n", "jwks_file"),
        ("user_claim = \"\"\n", "user_claim"),
        ("audiance = \"x\"\n", "audiance"),
    ] {
        let error = refusal(&[JWT, line, ROLE]);
        assert!(error.contains(key), "{line}: {error}");
    }
    for url in ["http://login.example.com/keys", "ftp://a/keys", "keys", ""] {
        let jwt = JWT.replace("https://a/keys", url);
        assert!(refusal(&[&jwt, ROLE]).contains("jwks_url"), "{url}");
    }
    load(&[&JWT.replace("https://a/keys", "http://127.0.0.1:8080/keys"), ROLE].concat()).unwrap();
    let several = JWT.replace("[auth.jwt]", "[[auth.jwt]]");
    let other = several.replace("https://a\"", "https://b\"");
    assert_eq!(load(&[&several, &other, ROLE].concat()).unwrap().auth.jwt.len(), 2);
    assert!(refusal(&[&several, &several, ROLE]).contains("stands twice"));
}

#[test]
fn a_role_is_checked() {
    for (from, to, key) in [
        ("[\"anyone\"]", "[]", "role[0].members"),
        ("[\"anyone\"]", "[\"ana\"]", "role[0].members[0]"),
        ("[\"anyone\"]", "[\"system:expiry\"]", "role[0].members[0]"),
        ("[\"view\"]", "[]", "role[0].permissions"),
        ("[\"view\"]", "[\"rule\"]", "role"),
        ("[\"view\"]", "[\"view\"]\nworkflows = [\"a b\"]", "role"),
        ("[\"view\"]", "[\"view\"]\nlables = {}", "role"),
    ] {
        let error = refusal(&[JWT, &ROLE.replace(from, to)]);
        assert!(error.contains(key), "{to}: {error}");
    }
}

#[test]
fn a_limit_of_nothing_is_refused() {
    assert!(refusal(&["[limits]\nstreams = 0\n"]).starts_with("limits.streams:"));
    assert_eq!(load("[limits]\nstreams = 1\n").unwrap().limits.streams, 1);
}

#[test]
fn nothing_goes_that_is_not_written_down_first() {
    assert_eq!(load("").unwrap().retention.settings().unwrap(), None);
    let whole = "[retention]\nafter = \"365d\"\nfolder = \"/archive\"\n";
    let settings = load(whole).unwrap().retention.settings().unwrap().unwrap();
    assert_eq!((settings.after, settings.batch), (jiff::SignedDuration::from_hours(365 * 24), 200));
    assert!(refusal(&["[retention]\nafter = \"365d\"\n"]).starts_with("retention.folder:"));
    for after in ["23h", "1", "-5d", "", "soon"] {
        assert!(refusal(&[&whole.replace("365d", after)]).starts_with("retention.after:"), "{after}");
    }
    assert!(refusal(&[whole, "batch = 0\n"]).starts_with("retention.batch:"));
    assert!(refusal(&[whole, "every_seconds = 0\n"]).starts_with("retention.every_seconds:"));
}

#[test]
fn the_effective_config_says_where_everything_comes_from_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("approve.toml");
    let text = [
        "store = \"postgres://ana:hunter2@db/approve\"\n",
        "[worker]\nmin_polls = 3\n",
        JWT,
        &ROLE.replace("\"view\"", "\"view\", \"decide\""),
    ];
    std::fs::write(&file, text.concat()).unwrap();
    let flags = Overrides { data_dir: Some("else\"where".into()), ..Overrides::default() };
    let shown = Config::effective(Some(&file), &flags).unwrap();
    let line = |key: &str| {
        let found = shown.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key}: {shown}"));
        found.split("  ").filter(|part| !part.is_empty()).map(str::trim).collect::<Vec<_>>().join(" ")
    };
    let path = file.display();
    assert_eq!(line("worker.min_polls"), format!("worker.min_polls = 3 # {path}"));
    assert_eq!(line("worker.max_polls"), "worker.max_polls = 500 # default");
    assert_eq!(line("data_dir"), "data_dir = \"else\\\"where\" # flag");
    assert_eq!(line("store"), format!("store = \"postgres://ana:***@db/approve\" # {path}"));
    assert_eq!(line("# metrics_listen"), "# metrics_listen # not set");
    assert!(line("role").contains("\"decide\""));
    assert!(!shown.contains("hunter2"), "{shown}");
    // It is a config file itself: with the same settings, but for what is not told.
    let again = folder.path().join("again.toml");
    std::fs::write(&again, shown.replace("***", "hunter2")).unwrap();
    assert_eq!(
        Config::load(Some(&again), &Overrides::default()).unwrap(),
        Config::load(Some(&file), &flags).unwrap(),
        "{shown}"
    );
}

const OIDC: &str =
    "[web]\npublic_url = \"https://approve.example.com\"\n[web.oidc]\nissuer = \"https://a\"\nclient_id = \"web\"\n";

#[test]
fn an_inbox_is_for_people_who_show_who_they_are() {
    let signed_in = load(&[JWT, ROLE, OIDC].concat()).unwrap().web.unwrap();
    assert_eq!(signed_in.url().unwrap().unwrap().to_string(), "https://approve.example.com");
    assert_eq!(load("").unwrap().web, None);
    // On loopback callers are believed, and so is whoever picks a name.
    assert!(load("[web]\n").unwrap().web.unwrap().oidc.is_none());
    assert!(refusal(&["[web]\npublic_url = \"https://approve.example.com\"\n"]).starts_with("web.public_url:"));
    assert!(refusal(&[JWT, ROLE, "[web]\n"]).starts_with("web.oidc:"));
    let other = OIDC.replace("https://a\"", "https://b\"");
    assert!(refusal(&[JWT, ROLE, &other]).starts_with("web.oidc.issuer:"));
    let insecure = OIDC.replace("https://approve", "http://approve");
    assert!(refusal(&[JWT, ROLE, &insecure]).starts_with("web.public_url:"));
    assert!(refusal(&["[web]\nsession_minutes = 0\n"]).starts_with("web.session_minutes:"));
    assert!(refusal(&["store = \"postgres://a@localhost/b\"\n[web]\n"]).starts_with("web.session_key_file:"));
    assert!(refusal(&["[web]\npublic_uri = 1\n"]).contains("\"web.public_url\""));
}

#[test]
fn keys_of_sessions_are_long_and_files_are_told_by_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.key");
    std::fs::write(&file, "short").unwrap();
    let web = Web { session_key_file: Some(file.clone()), ..Web::default() };
    assert!(web.session_key().unwrap_err().to_string().contains("at least 32 bytes"));
    std::fs::write(&file, "0123456789abcdef0123456789abcdef").unwrap();
    assert_eq!(web.session_key().unwrap().unwrap().len(), 32);
    let config = folder.path().join("approve.toml");
    std::fs::write(&config, format!("[web]\nsession_key_file = {file:?}\n")).unwrap();
    let effective = Config::effective(Some(&config), &Overrides::default()).unwrap();
    assert!(effective.contains("web.session_key_file = ") && !effective.contains("0123456789abcdef"), "{effective}");
}

const TARGET: &str = "[[notify.target]]\nname = \"ops\"\nwebhook = { url = \"https://a/hook?key=hunter2\" }\n";
const ROUTE: &str = "[[notify.route]]\nto = [\"ops\"]\n";

#[test]
fn a_target_is_checked() {
    load(&[TARGET, ROUTE].concat()).unwrap();
    assert!(refusal(&[TARGET]).contains("no [[notify.route]] leads to"));
    assert!(refusal(&[ROUTE]).contains("there is no target \"ops\""));
    assert!(refusal(&[TARGET, TARGET, ROUTE]).contains("stands twice"));
    for (from, to, key) in [
        ("\"ops\"\n", "\"o ps\"\n", "notify"),
        ("https://a/hook?key=hunter2", "http://a/hook", "webhook.url"),
        ("https://a/hook?key=hunter2", "ftp://a/hook", "webhook.url"),
        ("https://a/hook?key=hunter2", "https://ana:pw@a/hook", "webhook.url"),
        ("url =", "uri =", "notify"),
        (" }\n", ", secret_files = [\"/nowhere\"] }\n", "/nowhere"),
        (" }\n", ", allow_networks = [\"10.0.0.1/99\"] }\n", "allow_networks"),
        (" }\n", " }\ntimeout_seconds = 0\n", "timeout_seconds"),
        (" }\n", " }\ninclude = [\"everything\"]\n", "notify"),
        (" }\n", " }\nslack = { url_file = \"/nowhere\" }\n", "one of webhook, slack and email"),
        ("webhook = { url = \"https://a/hook?key=hunter2\" }\n", "", "one of webhook, slack and email"),
    ] {
        let error = refusal(&[&TARGET.replace(from, to), ROUTE]);
        assert!(error.contains(key) && !error.contains("hunter2"), "{to}: {error}");
    }
    let mail = |more: &str| {
        let target =
            "[[notify.target]]\nname = \"ops\"\nemail = { server = \"smtp.example.com\", from = \"a@example.com\"";
        format!("{target}{more} }}\n{ROUTE}")
    };
    load(&mail("")).unwrap();
    for (more, key) in [
        (", tls = \"none\"", "email.tls"),
        (", username = \"ana\"", "email.username"),
        (", to = [\"nobody\"]", "email.to"),
        (", to = []", "email.to"),
        (", password = \"hunter2\"", "notify"),
    ] {
        let error = refusal(&[&mail(more)]);
        assert!(error.contains(key) && !error.contains("hunter2"), "{more}: {error}");
    }
    assert!(refusal(&["[notify]\ndomain = \"a b\"\n"]).starts_with("notify.domain:"));
    assert!(refusal(&["[notify.addresses]\n\"user:ana\" = [\"ana\"]\n"]).starts_with("notify.addresses.user:ana:"));
    assert!(refusal(&["[notify]\nlink_key_files = [\"/nowhere\"]\n"]).contains("/nowhere"));
}

#[test]
fn the_effective_config_tells_no_secret_of_a_target() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("approve.toml");
    let addresses = "[notify.addresses]\n\"user:ana\" = [\"ana@example.com\"]\n";
    std::fs::write(&file, [TARGET, ROUTE, addresses].concat()).unwrap();
    let shown = Config::effective(Some(&file), &Overrides::default()).unwrap();
    assert!(shown.contains("https://a/hook?***") && !shown.contains("hunter2"), "{shown}");
    let again = folder.path().join("again.toml");
    std::fs::write(&again, shown.replace("***", "key=hunter2")).unwrap();
    let (one, other) =
        (Config::load(Some(&again), &Overrides::default()), Config::load(Some(&file), &Overrides::default()));
    assert_eq!(one.unwrap(), other.unwrap(), "{shown}");
}
