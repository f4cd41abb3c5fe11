//! Signing in to the inbox at an OpenID Connect provider, and those who try without.

use std::fs;

use approve_client::proto::ApprovalStatus;
use approve_tests::{
    LocalAws, Server,
    approvals::ask,
    browser::{Browser, encode},
    provider::{CLIENT_ID, CLIENT_SECRET, Provider},
    server::write_config,
    workflows::{ASK, apply, ask_input, of_group, spec, with_rule},
};
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Where people think the inbox is: a proxy would be there.
const PUBLIC: &str = "https://approve.example.com";

const ROLES: &str = r#"
[[role]]
name = "finance"
members = ["group:finance"]
permissions = ["view", "decide"]
workflows = ["pay"]

[[role]]
name = "admins"
members = ["group:admins"]
permissions = ["view", "decide", "start", "provision", "operate", "audit"]
"#;

struct Signed {
    server: Server,
    provider: Provider,
    _aws: LocalAws,
}

impl Signed {
    async fn start() -> Self {
        let (provider, aws, folder) = (Provider::start().await, LocalAws::start().await, TempDir::new().unwrap());
        let secret = folder.path().join("client.secret");
        fs::write(&secret, format!("{CLIENT_SECRET}\n")).unwrap();
        let (aws_url, url) = (aws.url(), provider.url());
        let config = format!(
            r#"
[aws]
region = "us-east-1"
endpoint = "{aws_url}"

[auth]
api_tokens = true

[[auth.jwt]]
issuer = "{url}"
audience = "approve"
jwks_url = "{url}/keys"
algorithms = ["ES256"]
leeway_seconds = 0

[web]
public_url = "{PUBLIC}"

[web.oidc]
issuer = "{url}"
client_id = "{CLIENT_ID}"
client_secret_file = {secret:?}
{ROLES}"#
        );
        write_config(folder.path(), &config);
        Self { server: Server::serve_folder(folder, &[]).await, provider, _aws: aws }
    }

    fn browser(&self) -> Browser {
        Browser::at(self.server.url(), PUBLIC)
    }

    /// A browser that was sent to the provider, and what with.
    async fn sent(&self) -> (Browser, String) {
        let mut browser = self.browser();
        let page = browser.get("/history?text=a").await;
        let start = page.location().to_owned();
        assert_eq!(start, "/sign-in/start?next=%2Fhistory%3Ftext%3Da");
        let location = browser.get(&start).await.location().to_owned();
        (browser, location)
    }

    /// A browser in which somebody signed in.
    async fn signed_in(&self, name: &str, groups: &[&str]) -> Browser {
        let (mut browser, location) = self.sent().await;
        let (code, state) = self.provider.sign_in(&location, name, groups, |_| {});
        let page = browser.get(&format!("/sign-in/callback?{}", encode(&[("code", &code), ("state", &state)]))).await;
        assert_eq!(page.location(), "/history?text=a");
        for cookie in page.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.starts_with("__Host-approve-"), "{cookie}");
            for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
                assert!(cookie.contains(attribute), "{cookie}");
            }
        }
        browser
    }
}

#[tokio::test]
async fn whoever_signs_in_sees_and_decides_what_their_groups_may() {
    let signed = Signed::start().await;
    let bearer = |groups: &[&str]| {
        let now = jiff::Timestamp::now().as_second();
        json!({"iss": signed.provider.url(), "aud": "approve", "sub": "root", "groups": groups, "exp": now + 600})
    };
    let token = signed.provider.token(&bearer(&["admins"]));
    let config =
        approve_client::Config::new(signed.server.url()).credentials(approve_client::Credentials::bearer(token));
    let admin = approve_client::Client::connect(config).await.unwrap();
    apply(&admin, with_rule(spec("pay", ASK), of_group("finance", 1))).await;
    apply(&admin, spec("ship", ASK)).await;
    let (_, pay) = ask(&admin, "pay", &ask_input("Pay invoice 4711", "user:req")).await;
    let (_, ship) = ask(&admin, "ship", &ask_input("Ship it", "user:req")).await;

    let mut ana = signed.signed_in("ana", &["finance"]).await;
    let inbox = ana.get("/").await;
    assert!(inbox.text.contains("Pay invoice 4711") && inbox.text.contains(">ana<"), "{}", inbox.text);
    assert!(!inbox.text.contains("Ship it"));
    // What one does not see, and what is not there, look alike.
    let hidden = ana.get(&format!("/approvals/{}", ship.id)).await;
    let none = ana.get("/approvals/apr_00000000000000000000000000").await;
    assert_eq!((hidden.status, &hidden.text), (StatusCode::NOT_FOUND, &none.text));
    // The record is for those who audit.
    assert_eq!(ana.get(&format!("/approvals/{}/audit", pay.id)).await.status, StatusCode::FORBIDDEN);
    let form = ana.get(&format!("/approvals/{}", pay.id)).await;
    let (csrf, etag) = (form.hidden("csrf"), form.hidden("etag"));
    let fields = [("csrf", csrf.as_str()), ("etag", &etag), ("choice", "approve")];
    let refused = ana.post(&format!("/approvals/{}/decide", ship.id), &fields).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert_eq!(admin.get(&ship.id).await.unwrap().votes.len(), 0);
    // Whoever sees it and is not an approver decides nothing, either.
    let mut root = signed.signed_in("root", &["admins"]).await;
    let page = root.get(&format!("/approvals/{}", pay.id)).await;
    assert!(page.text.contains("Its rule does not let you decide."), "{}", page.text);
    let csrf_of_root = root.get("/").await.hidden("csrf");
    let theirs = [("csrf", csrf_of_root.as_str()), ("etag", &etag), ("choice", "approve")];
    let refused = root.post(&format!("/approvals/{}/decide", pay.id), &theirs).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);

    let decided = ana.post(&format!("/approvals/{}/decide", pay.id), &fields).await;
    assert_eq!(decided.location(), format!("/approvals/{}?done=yes", pay.id));
    let after = admin.get(&pay.id).await.unwrap();
    assert_eq!((after.status(), after.decided_by.as_slice()), (ApprovalStatus::Approved, &["user:ana".to_owned()][..]));
    let record = root.get(&format!("/approvals/{}/audit", pay.id)).await;
    assert!(record.text.contains("in this inbox"), "{}", record.text);
}

#[tokio::test]
async fn a_sign_in_is_of_the_browser_that_began_it_and_of_its_token() {
    let signed = Signed::start().await;
    let back = |code: &str, state: &str| format!("/sign-in/callback?{}", encode(&[("code", code), ("state", state)]));
    // Another browser than the one that was sent.
    let (mut own, location) = signed.sent().await;
    let (code, state) = signed.provider.sign_in(&location, "ana", &[], |_| {});
    let mut other = signed.browser();
    let refused = other.get(&back(&code, &state)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    // The answer to another sign-in.
    let (mut second, location) = signed.sent().await;
    assert_eq!(second.get(&back(&code, &state)).await.status, StatusCode::FORBIDDEN);
    // A code of another sign-in: its challenge is another, and so is its nonce.
    let (_, own_state) = signed.provider.sign_in(&location, "eve", &[], |_| {});
    assert_eq!(second.get(&back(&code, &own_state)).await.status, StatusCode::FORBIDDEN);
    assert!(own.get(&back("made-up", &state)).await.status == StatusCode::FORBIDDEN);
    // Tokens that are not for this sign-in, or this server.
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 5] = [
        ("nonce", |claims| claims["nonce"] = json!("another")),
        ("audience", |claims| claims["aud"] = json!("payroll")),
        ("issuer", |claims| claims["iss"] = json!("https://evil.example.com")),
        ("expired", |claims| claims["exp"] = json!(1)),
        ("party", |claims| claims["azp"] = json!("another-client")),
    ];
    for (what, change) in changes {
        let (mut browser, location) = signed.sent().await;
        let (code, state) = signed.provider.sign_in(&location, "ana", &["admins"], change);
        let refused = browser.get(&back(&code, &state)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{what}: {}", refused.text);
        assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER, "{what}");
    }
}

#[tokio::test]
async fn nobody_gets_in_without_signing_in() {
    let mut signed = Signed::start().await;
    let mut browser = signed.browser();
    // A name is not picked where people have to show who they are.
    let picked = browser.post("/sign-in", &[("name", "ana"), ("groups", "admins")]).await;
    assert_eq!(picked.status, StatusCode::NOT_FOUND);
    for (name, value) in [("__Host-approve-session-0", "AAAA"), ("approve-session-0", "AAAA")] {
        browser.cookies.insert(name.to_owned(), value.to_owned());
    }
    for path in ["/", "/history", "/approvals/apr_00000000000000000000000000"] {
        assert!(browser.get(path).await.location().starts_with("/sign-in/start"), "{path}");
    }
    assert_eq!(browser.get("/live?since=0").await.status, StatusCode::UNAUTHORIZED);
    let posted = browser.post("/bulk", &[("choice", "approve")]).await;
    assert_eq!(posted.status, StatusCode::UNAUTHORIZED, "{}", posted.text);
    // Who signs out is out, and so is everybody whose session was sealed with another key.
    let mut ana = signed.signed_in("ana", &["finance"]).await;
    let mut stays = ana.clone();
    let csrf = ana.get("/").await.hidden("csrf");
    assert_eq!(ana.post("/sign-out", &[("csrf", &csrf)]).await.location(), "/sign-in");
    assert_eq!(ana.get("/").await.status, StatusCode::SEE_OTHER);
    assert_eq!(stays.get("/").await.status, StatusCode::OK);
    signed.server.kill();
    signed.server.start().await;
    assert_eq!(stays.get("/").await.status, StatusCode::SEE_OTHER);
}
