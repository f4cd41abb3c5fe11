//! How callers show who they are: over TLS on a port, and with tokens that end.

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use approve_client::{
    BearerToken, Client, Code, Config, CreateToken, Credentials, Error, Reason, Tls, Watch, WatchEvent,
};
use common::{
    Fake, Say, approval, bookmark, refusal,
    secure::{Authority, Secure},
    upserted,
};
use futures::StreamExt;

#[tokio::test]
async fn a_certificate_and_a_token_reach_the_server_over_tls() {
    let authority = Authority::new();
    let server = Secure::start(&authority, "approve.test", Some(&authority)).await;
    server.fake.state().bearer = Some("planted".into());
    let bot = authority.sign("bot.test");
    let tls = Tls::new().ca_pem(authority.pem()).client_pem(&bot.certificate, &bot.key).server_name("approve.test");
    let config = Config::new(&server.url).tls(tls).credentials(Credentials::bearer("planted"));
    assert!(!format!("{config:?}").contains("planted") && !format!("{config:?}").contains("PRIVATE"));
    let client = Client::connect(config).await.unwrap();
    assert_eq!(client.caller().await.unwrap().principal, "user:ana");
    assert_eq!(*server.shown.lock().unwrap(), [1]);
    assert!(!format!("{client:?}").contains("planted"));
}

#[tokio::test]
async fn who_is_not_trusted_is_not_talked_to() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Secure::start(&authority, "approve.test", Some(&authority)).await;
    let connect = |tls: Tls| Client::connect(Config::new(&server.url).tls(tls));
    // The name is checked, and the authority.
    for tls in [
        Tls::new().ca_pem(authority.pem()),
        Tls::new().ca_pem(other.pem()).server_name("approve.test"),
        Tls::new().server_name("approve.test"),
    ] {
        let error = connect(tls).await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    }
    // The server turns away who shows nothing, or a certificate of another authority.
    let stranger = other.sign("bot.test");
    let trusting = Tls::new().ca_pem(authority.pem()).server_name("approve.test");
    for tls in [trusting.clone(), trusting.client_pem(&stranger.certificate, &stranger.key)] {
        let error = match connect(tls).await {
            Ok(client) => client.caller().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    }
    assert!(server.shown.lock().unwrap().is_empty());
}

/// A callback that returns t0, t1, … up to t9, and how often it was asked.
fn numbered() -> (BearerToken, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let token = BearerToken::from_fn(move || {
        let n = counter.fetch_add(1, Ordering::Relaxed).min(9);
        async move { Ok::<_, std::io::Error>(format!("t{n}")) }
    });
    (token, asked)
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ended_is_asked_for_once_more() {
    let fake = Fake::default();
    fake.state().approvals = vec![approval("a")];
    let (token, asked) = numbered();
    let client = fake.client_with(Config::new("http://fake").credentials(Credentials::Bearer(token)));
    fake.state().bearer = Some("t0".into());
    client.get("a").await.unwrap();
    client.get("a").await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    fake.state().bearer = Some("t1".into());
    client.get("a").await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    fake.state().bearer = Some("never".into());
    let error = client.get("a").await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Unauthenticated, Some(&Reason::Unauthenticated)));
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_watch_outlives_its_token() {
    let fake = Fake::default();
    let ended = || Say::Fail(refusal(Code::Unauthenticated, "UNAUTHENTICATED"));
    fake.state().streams = [
        vec![bookmark(true, "r1"), Say::Wait(std::time::Duration::from_secs(1)), ended()],
        vec![upserted("a", "r2"), bookmark(true, "r2")],
    ]
    .into();
    fake.state().bearer = Some("t0".into());
    let (token, _) = numbered();
    let client = fake.client_with(Config::new("http://fake").credentials(Credentials::Bearer(token)));
    let mut events = client.watch(Watch::new());
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Synced { .. }))));
    fake.state().bearer = Some("t1".into());
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Disconnected { .. }))));
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Upserted(_)))));
    assert_eq!(fake.state().stream_requests[1].resume_token, "r1");

    // A token that nothing can renew ends it at once.
    fake.state().bearer = Some("t9".into());
    let fixed = fake.client_with(Config::new("http://fake").credentials(Credentials::bearer("t0")));
    let error = fixed.watch(Watch::new()).next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn a_service_says_for_whom_it_acts() {
    let fake = Fake::default();
    let bot = fake.client_with(Config::new("http://fake").credentials(Credentials::bearer("b")));
    let ana = bot.on_behalf_of("user:ana", ["finance", "legal"]).unwrap();
    ana.caller().await.unwrap();
    let metadata = fake.state().metadata.clone().unwrap();
    let sent = |key: &str| metadata.get(key).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(sent("approve-on-behalf-of").as_deref(), Some("user:ana"));
    assert_eq!(sent("approve-groups").as_deref(), Some("finance,legal"));
    assert_eq!(sent("authorization").as_deref(), Some("Bearer b"));
    assert_eq!(sent("approve-actor"), None);
    bot.caller().await.unwrap();
    assert!(!fake.state().metadata.as_ref().unwrap().contains_key("approve-on-behalf-of"));
    assert!(matches!(bot.on_behalf_of("user:ana\n", ["x"]), Err(Error::Config { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_can_not_be_sent_is_refused_without_being_shown() {
    let fake = Fake::default();
    for bad in ["", "planted\nx", "plantéd"] {
        let client = fake.client_with(Config::new("http://fake").credentials(Credentials::bearer(bad)));
        let error = client.caller().await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("plant"), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_tokens_secret_is_there_and_not_shown() {
    let created = Fake::default().client().create_token(CreateToken::new("bot")).await.unwrap();
    assert_eq!((created.token.name.as_str(), created.secret.expose()), ("bot", "apt_planted"));
    assert!(!format!("{created:?}").contains("planted"));
}
