//! Settings and certificates that change while the server runs.

use std::{fs, path::Path};

use approve_client::{Client, Credentials, Events, List, Reason, Tls, Watch, WatchEvent, proto::AuditEvent};
use approve_tests::{
    SecureServer,
    approvals::{Watching, ask},
    certificates::{Authority, Certified},
    wait_for, within,
    workflows::{ASK, apply, ask_input, spec},
};

/// Replaces a text in the server's config file.
fn edit(folder: &Path, from: &str, to: &str) {
    let file = folder.join("approve.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&file, text.replacen(from, to, 1)).unwrap();
}

async fn told(server: &mut SecureServer, what: &str) {
    wait_for(what, async || server.server.process().stderr().contains(what).then_some(())).await;
}

/// Whether a new connection by a client that believes in this authority is let in.
async fn believes(server: &SecureServer, authority: &Authority) -> bool {
    let tls = Tls::new().ca_pem(authority.pem());
    let credentials = Credentials::bearer(server.issuer.token("ana", &["admins"]));
    Client::connect(server.config().tls(tls).credentials(credentials)).await.is_ok()
}

#[tokio::test]
async fn certificates_change_for_new_connections_and_no_open_one_is_dropped() {
    let mut server = SecureServer::start("").await;
    let client = server.admin().await;
    let mut watching = Watching::synced(&client, Watch::new()).await;
    let other = Authority::new();
    assert!(!believes(&server, &other).await);
    let folder = server.server.folder().to_owned();
    let Certified { certificate, key } = other.server();

    // In the middle of a renewal: the key is still the old one's.
    fs::write(folder.join("server.crt"), &certificate).unwrap();
    server.server.process().hangup();
    told(&mut server, "settings are left as they were").await;
    assert!(!believes(&server, &other).await);
    assert!(believes(&server, &server.authority).await);

    fs::write(folder.join("server.key"), &key).unwrap();
    server.server.process().hangup();
    told(&mut server, "new connections get other certificates").await;
    assert!(believes(&server, &other).await);
    assert!(!believes(&server, &server.authority).await);
    apply(&client, spec("payments", ASK)).await;
    let (_, approval) = ask(&client, "payments", &ask_input("Pay", "user:req")).await;
    watching.upserted("what is asked after that", |told| told.id == approval.id).await;
    let cut = |event: &WatchEvent| matches!(event, WatchEvent::Disconnected { .. } | WatchEvent::Reset);
    assert!(!watching.events.iter().any(cut), "the stream was cut: {:?}", watching.events);
}

#[tokio::test]
async fn roots_of_clients_certificates_change() {
    let mut server = SecureServer::start("").await;
    let other = Authority::new();
    let stranger = other.client("spiffe://test/stranger");
    assert!(server.caller(Some(&stranger), &[]).await.is_err());
    fs::write(server.server.folder().join("clients.pem"), other.pem()).unwrap();
    server.server.process().hangup();
    told(&mut server, "new connections get other certificates").await;
    let caller = server.caller(Some(&stranger), &[]).await.unwrap();
    assert_eq!(caller.principal, "service:stranger");
    let known = server.authority.client("spiffe://test/known");
    assert!(server.caller(Some(&known), &[]).await.is_err());
}

#[tokio::test]
async fn roles_and_the_log_level_change_at_once_and_what_can_not_is_told() {
    let mut server = SecureServer::start("").await;
    let client = server.admin().await;
    let mut watching = Watching::synced(&client, Watch::new()).await;
    let folder = server.server.folder().to_owned();
    edit(&folder, "members = [\"group:admins\"]", "members = [\"group:others\"]");
    edit(&folder, "[shutdown]\npoll_seconds = 1", "[log]\nlevel = \"debug\"\n[shutdown]\npoll_seconds = 2");
    server.server.process().hangup();
    told(&mut server, "settings were read again").await;
    told(&mut server, "settings=\"shutdown.poll_seconds\"").await;

    // Who has lost a role loses its streams, too.
    let error = within("the end of the stream", watching.ended()).await;
    assert_eq!(error.reason(), Some(&Reason::PermissionMissing), "{error:?}");
    let refused = client.list(List::pending()).await.unwrap_err();
    assert_eq!(refused.reason(), Some(&Reason::PermissionMissing));
    let others = server.client("bo", &["others"]).await;
    others.list(List::pending()).await.unwrap();
    let events = others.events(Events::new()).await.unwrap();
    let is_it = |event: &AuditEvent| event.record_json.contains("\"type\":\"roles_changed\"");
    assert!(events.events.iter().any(is_it), "{events:?}");
    told(&mut server, "DEBUG").await;
}

#[tokio::test]
async fn a_config_that_can_not_be_used_changes_nothing() {
    let mut server = SecureServer::start("").await;
    let client = server.admin().await;
    let folder = server.server.folder().to_owned();
    edit(&folder, "members = [\"group:admins\"]", "members = [\"admins\"]");
    server.server.process().hangup();
    told(&mut server, "settings are left as they were").await;
    client.list(List::pending()).await.unwrap();
    // Nor does it when one part of it could be.
    edit(&folder, "members = [\"admins\"]", "members = [\"group:others\"]");
    edit(&folder, "[shutdown]", "[log]\nlevel = \"approve_server=loud\"\n[shutdown]");
    server.server.process().hangup();
    wait_for("the second refusal", async || {
        let log = server.server.process().stderr();
        (log.matches("settings are left as they were").count() == 2).then_some(())
    })
    .await;
    client.list(List::pending()).await.unwrap();
}
