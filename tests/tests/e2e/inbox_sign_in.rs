//! Signing in to the inbox at an OpenID Connect provider, and those who try without.

use std::fs;

use approve_client::{Client, Config, Credentials, proto::ApprovalStatus};
use approve_tests::{
    LocalAws, Server,
    approvals::ask,
    browser::{Browser, encode},
    issuer::AUDIENCE,
    oidc::OidcProvider,
    server::write_config,
    workflows::{ASK, apply, ask_input, of_group, spec, with_rule},
};
use http::StatusCode;
use serde_json::json;
use tempfile::TempDir;

/// Where people think the inbox is: a proxy would be there.
const PUBLIC: &str = "https://approve.example.com";
/// Where they are sent back to.
const CALLBACK: &str = "/sign-in/callback";
/// What the provider knows the server by, and what it is shown.
const CLIENT_ID: &str = "approve-web";
const CLIENT_SECRET: &str = "s3cret/with:marks+and space";

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
    provider: OidcProvider,
    _aws: LocalAws,
}

impl Signed {
    async fn start() -> Self {
        let (provider, aws, folder) = (OidcProvider::start().await, LocalAws::start().await, TempDir::new().unwrap());
        let secret = folder.path().join("client.secret");
        fs::write(&secret, format!("{CLIENT_SECRET}\n")).unwrap();
        provider.set_secret(CLIENT_ID, CLIENT_SECRET);
        provider.allow_redirect(&format!("{PUBLIC}{CALLBACK}"));
        let (aws_url, issuer) = (aws.url(), provider.issuer());
        let config = format!(
            r#"
[aws]
region = "us-east-1"
endpoint = "{aws_url}"

{jwt}
[web]
public_url = "{PUBLIC}"

[web.oidc]
issuer = "{issuer}"
client_id = "{CLIENT_ID}"
client_secret_file = {secret:?}
{ROLES}"#,
            jwt = provider.jwt_table(AUDIENCE)
        );
        write_config(folder.path(), &config);
        Self { server: Server::serve_folder(folder, &[]).await, provider, _aws: aws }
    }

    fn browser(&self) -> Browser {
        Browser::at(self.server.url(), PUBLIC)
    }

    async fn client(&self, name: &str, groups: &[&str]) -> Client {
        let token = self.provider.access_token(name, groups);
        let config = Config::new(self.server.url()).credentials(Credentials::bearer(token));
        Client::connect(config).await.unwrap()
    }

    /// A browser that was sent to the provider, and where to.
    async fn sent(&self) -> (Browser, String) {
        let mut browser = self.browser();
        let page = browser.get("/history?text=a").await;
        let start = page.location().to_owned();
        assert_eq!(start, "/sign-in/start?next=%2Fhistory%3Ftext%3Da");
        let location = browser.get(&start).await.location().to_owned();
        (browser, location)
    }

    /// Where somebody is sent back to who signs in at the provider.
    async fn back(&self, location: &str, name: &str, groups: &str) -> String {
        let (issuer, path) = location.split_at(self.provider.issuer().len());
        assert_eq!(issuer, self.provider.issuer());
        let answer = Browser::new(issuer).get(&format!("{path}&{}", encode(&[("as", name), ("groups", groups)]))).await;
        answer.location().strip_prefix(PUBLIC).unwrap().to_owned()
    }

    /// A browser in which somebody signed in.
    async fn signed_in(&self, name: &str, groups: &str) -> Browser {
        let (mut browser, location) = self.sent().await;
        let page = browser.get(&self.back(&location, name, groups).await).await;
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

/// One of the fields of a query.
fn field<'a>(url: &'a str, name: &str) -> &'a str {
    let query = url.split_once('?').unwrap().1;
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name).unwrap().1
}

#[tokio::test]
async fn whoever_signs_in_sees_and_decides_what_their_groups_may() {
    let signed = Signed::start().await;
    let admin = signed.client("root", &["admins"]).await;
    apply(&admin, with_rule(spec("pay", ASK), of_group("finance", 1))).await;
    apply(&admin, spec("ship", ASK)).await;
    let (_, pay) = ask(&admin, "pay", &ask_input("Pay invoice 4711", "user:req")).await;
    let (_, ship) = ask(&admin, "ship", &ask_input("Ship it", "user:req")).await;

    let mut ana = signed.signed_in("ana", "finance").await;
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
    let mut root = signed.signed_in("root", "admins").await;
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
    let forbidden = async |browser: &mut Browser, path: &str, what: &str| {
        let refused = browser.get(path).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{what}: {}", refused.text);
        assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER, "{what}");
    };
    let (mut own, location) = signed.sent().await;
    for (name, expected) in [("response_type", "code"), ("client_id", CLIENT_ID), ("code_challenge_method", "S256")] {
        assert_eq!(field(&location, name), expected);
    }
    let back = signed.back(&location, "ana", "admins").await;
    forbidden(&mut signed.browser(), &back, "a browser that began none").await;
    let (mut second, of_second) = signed.sent().await;
    forbidden(&mut second, &back, "the answer to another's").await;
    // Another's code: its challenge is another.
    let mixed = format!("{CALLBACK}?code={}&state={}", field(&back, "code"), field(&of_second, "state"));
    forbidden(&mut second, &mixed, "another's code").await;
    forbidden(&mut own, &back, "a code that was tried before").await;
    // Tokens that are not for this sign-in, or this server.
    for (name, value) in [
        ("nonce", json!("another")),
        ("aud", json!("payroll")),
        ("iss", json!("https://evil.example.com")),
        ("exp", json!(1)),
        ("azp", json!("another-client")),
        ("sub", json!("system:expiry")),
    ] {
        let (mut browser, location) = signed.sent().await;
        let back = signed.back(&location, "ana", "admins").await;
        signed.provider.set_claims(&[(name, value)]);
        forbidden(&mut browser, &back, name).await;
        signed.provider.set_claims(&[]);
    }
    let (mut browser, location) = signed.sent().await;
    signed.provider.set_away(true);
    let away = browser.get(&format!("{CALLBACK}?code=x&state={}", field(&location, "state"))).await;
    assert_eq!(away.status, StatusCode::BAD_GATEWAY, "{}", away.text);
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
    let mut ana = signed.signed_in("ana", "finance").await;
    let mut stays = ana.clone();
    let csrf = ana.get("/").await.hidden("csrf");
    assert_eq!(ana.post("/sign-out", &[("csrf", &csrf)]).await.location(), "/sign-in");
    assert_eq!(ana.get("/").await.status, StatusCode::SEE_OTHER);
    assert_eq!(stays.get("/").await.status, StatusCode::OK);
    signed.server.kill();
    signed.server.start().await;
    assert_eq!(stays.get("/").await.status, StatusCode::SEE_OTHER);
}
