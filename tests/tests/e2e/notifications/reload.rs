//! Who is told what, changed while the server runs.

use std::{fs, path::Path};

use approve_client::Decide;
use approve_server::notify::Signer;
use approve_tests::{
    LocalAws, Server,
    approvals::ask,
    browser::Browser,
    receiver::{Hook, Hooked, MailServer},
    server::write_config,
    wait_for,
    workflows::{ASK, apply, ask_input, spec, with_rule},
};
use http::StatusCode;
use tempfile::TempDir;

use super::{of_people, serve};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHdlYmhvb2shIQ==";

/// A target whose messages are signed by what is in a file, and the route to it.
fn target(name: &str, hook: &Hook, secret: &Path, route: &str) -> String {
    format!(
        "[[notify.target]]\nname = \"{name}\"\ntimeout_seconds = 60\nwebhook = {{ url = \"{}\", allow_networks = [\"127.0.0.1/32\"], \
         secret_files = [\"{}\"] }}\n[[notify.route]]\nto = [\"{name}\"]\n{route}\n",
        hook.url(),
        secret.display()
    )
}

fn is_signed(hooked: &Hooked, secret: &str) -> bool {
    let header = |name: &str| hooked.headers[name].to_str().unwrap();
    let at = header("webhook-timestamp").parse().unwrap();
    Signer::new([secret]).unwrap().sign(hooked.id(), at, hooked.body.as_bytes()) == header("webhook-signature")
}

/// Has the settings read again, and waits until the log has said so, so often.
async fn reload(server: &mut Server, said: &str, times: usize) {
    server.process().hangup();
    wait_for(said, async || (server.process().stderr().matches(said).count() == times).then_some(())).await;
}

#[tokio::test]
async fn secrets_targets_and_routes_change_and_what_can_not_be_used_changes_nothing() {
    let (aws, one, other) = (LocalAws::start().await, Hook::start().await, Hook::start().await);
    let files = TempDir::new().unwrap();
    let secret = files.path().join("secret");
    fs::write(&secret, OLD).unwrap();
    let mut server = serve(&aws, &target("ops", &one, &secret, "")).await;
    let (client, ana) = (server.client("req").await, server.client("ana").await);
    apply(&client, spec("pay", ASK)).await;
    ask(&client, "pay", &ask_input("Pay invoice 1", "user:req")).await;
    assert!(is_signed(&one.wait_for(1).await[0], OLD));

    // The file's name stays, what is in it does not.
    fs::write(&secret, NEW).unwrap();
    reload(&mut server, "settings were read again", 1).await;
    let (_, second) = ask(&client, "pay", &ask_input("Pay invoice 2", "user:req")).await;
    let got = one.wait_for(2).await;
    assert!(is_signed(&got[1], NEW) && !is_signed(&got[1], OLD));

    // The target is elsewhere, and is told less; another one is where it was.
    let changed = [target("ops", &other, &secret, "on = [\"decided\"]"), target("audit", &one, &secret, "")].concat();
    write_config(server.folder(), &changed);
    reload(&mut server, "settings were read again", 2).await;
    ana.decide(Decide::approve(&second.id)).await.unwrap();
    other.wait_for_one("decided", &second.id).await;
    one.wait_for_one("decided", &second.id).await;

    // Of what can't be used nothing holds, whatever else there is.
    fs::write(&secret, "hunter2").unwrap();
    write_config(server.folder(), &target("ops", &one, &secret, ""));
    reload(&mut server, "settings are left as they were", 1).await;
    assert!(!server.process().stderr().contains("hunter2"));
    let (_, third) = ask(&client, "pay", &ask_input("Pay invoice 3", "user:req")).await;
    ana.decide(Decide::approve(&third.id)).await.unwrap();
    other.wait_for_one("decided", &third.id).await;
    one.wait_for_one("decided", &third.id).await;

    let told = |hook: &Hook| -> Vec<_> {
        let name = |hooked: &Hooked| hooked.id().split('.').next().unwrap().to_owned();
        hook.got().iter().map(|hooked| (name(hooked), hooked.kind().to_owned())).collect()
    };
    let entry = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    assert_eq!(told(&other), [entry("ops", "decided"), entry("ops", "decided")]);
    let (ops, audit) = (entry("ops", "requested"), |kind| entry("audit", kind));
    assert_eq!(told(&one), [ops.clone(), ops, audit("decided"), audit("requested"), audit("decided")]);
    assert!(other.got().iter().all(|hooked| is_signed(hooked, NEW)), "it goes by what was not taken");
}

#[tokio::test]
async fn keys_of_links_change_and_an_older_one_is_taken_as_long_as_it_is_named() {
    let (aws, mails, files) = (LocalAws::start().await, MailServer::start().await, TempDir::new().unwrap());
    let key = |name: &str| files.path().join(name).display().to_string();
    fs::write(key("old"), [1; 32]).unwrap();
    fs::write(key("new"), [2; 32]).unwrap();
    let settings = |keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|name| key(name)).collect();
        format!(
            "[web]\n[notify]\ndomain = \"example.com\"\nlink_key_files = {keys:?}\n[[notify.target]]\nname = \"mail\"\n\
             email = {{ server = \"127.0.0.1\", port = {}, tls = \"none\", from = \"Approve <approve@example.com>\" }}\n\
             [[notify.route]]\nto = [\"mail\"]\n",
            mails.port()
        )
    };
    let mut server = serve(&aws, &settings(&["old"])).await;
    let client = server.client("req").await;
    apply(&client, with_rule(spec("pay", ASK), of_people(&["ana"]))).await;
    let url = server.url().to_owned();
    let mut ana = Browser::picked(&url, "ana", "").await;
    let opened = async |mail: usize| {
        let mail = mails.wait_for(mail).await.remove(mail - 1);
        let link = mail.find(&format!("{url}/link/")).to_owned();
        link.strip_prefix(&url).unwrap().to_owned()
    };
    ask(&client, "pay", &ask_input("Pay invoice 1", "user:req")).await;
    let first = opened(1).await;
    assert_eq!(ana.get(&first).await.status, StatusCode::OK);

    write_config(server.folder(), &settings(&["new", "old"]));
    reload(&mut server, "settings were read again", 1).await;
    assert_eq!(ana.get(&first).await.status, StatusCode::OK);
    ask(&client, "pay", &ask_input("Pay invoice 2", "user:req")).await;
    let second = opened(2).await;

    write_config(server.folder(), &settings(&["new"]));
    reload(&mut server, "settings were read again", 2).await;
    assert_eq!(ana.get(&first).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ana.get(&second).await.status, StatusCode::OK);
}
