//! Who is calling: tokens of an issuer, client certificates and API tokens, on the wire, and those who try without.

use approve_client::{
    Client, CreateToken, Credentials,
    proto::{Grant, Permission, StreamPendingApprovalsRequest},
};
use approve_tests::{
    DEADLINE, SecureServer,
    certificates::Authority,
    issuer::{Mood, Signer, claims, message},
    secure::{not_let_in, with_metadata},
    wait_for, within,
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::json;

#[tokio::test]
async fn a_jwt_says_who_calls() {
    let server = SecureServer::start("").await;
    let ana = server.bearer(&server.issuer.token("ana", &["finance", "admins"])).await.unwrap();
    assert_eq!((ana.principal.as_str(), ana.via.as_str()), ("user:ana", "jwt"));
    assert_eq!(ana.groups, ["group:finance", "group:admins"]);
    assert_eq!(ana.grants.len(), 1);
    let bob = server.bearer(&server.issuer.token("bob", &[])).await.unwrap();
    assert_eq!(bob.grants, []);
    let said = not_let_in(server.caller(None, &[]).await);
    assert!(said.contains("Bearer"), "{said}");
    for value in ["", "Basic cm9vdDpyb290", "Bearer", "Bearer ", "nonsense"] {
        not_let_in(server.caller(None, &[("authorization", value)]).await);
    }
    let twice = format!("Bearer {}", server.issuer.token("ana", &[]));
    not_let_in(server.caller(None, &[("authorization", &twice), ("authorization", &twice)]).await);
}

#[tokio::test]
async fn forged_foreign_and_worn_out_jwts_are_refused() {
    let server = SecureServer::start("").await;
    let signer = &server.issuer.signer;
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = claims("ana", &["admins"], 3_600);
        claims[name] = value;
        signer.sign(&claims)
    };
    let now = jiff::Timestamp::now().as_second();
    let good = server.issuer.token("ana", &["admins"]);
    let unsigned = |alg: &str| message(&json!({"alg": alg, "kid": "first"}), &claims("ana", &["admins"], 3_600));
    let confused = {
        let message = unsigned("HS256");
        let secret = EncodingKey::from_secret(signer.public_pem().as_bytes());
        format!("{message}.{}", crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap())
    };
    let other_payload = {
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let forged = message(&json!({}), &claims("root", &["admins"], 3_600));
        format!("{}.{}.{signature}", signed.split_once('.').unwrap().0, forged.split_once('.').unwrap().1)
    };
    for (what, token, said) in [
        ("expired", with("exp", json!(now - 1)), "expired"),
        ("not valid yet", with("nbf", json!(now + 60)), "not valid yet"),
        ("another audience", with("aud", json!("payroll")), "audience"),
        ("another issuer", with("iss", json!("https://evil.example.com")), "issuer"),
        ("an unknown key", Signer::new("unknown").sign(&claims("ana", &["admins"], 60)), "not known"),
        (
            "another key by its name",
            Signer::new("first").sign(&claims("ana", &["admins"], 60)),
            "signature is not valid",
        ),
        ("no signature", format!("{}.", unsigned("none")), "not accepted"),
        ("the public key as a secret", confused, "not accepted"),
        ("another payload", other_payload, "signature"),
        ("a system's name", with("sub", json!("system:expiry")), "caller"),
        ("a service's name", with("sub", json!("service:bot")), "caller"),
    ] {
        let refused = not_let_in(server.bearer(&token).await);
        assert!(
            refused.contains(said) || said.starts_with("signature") && refused.contains("signature"),
            "{what}: {refused}"
        );
        assert!(!refused.contains(&token[..20]), "{what}: the token is in the answer");
    }
    let groups = server.bearer(&with("groups", json!(["system:x", "service:y", "ok"]))).await.unwrap();
    assert_eq!(groups.groups, ["group:ok"]);
    assert_eq!(server.bearer(&good).await.unwrap().principal, "user:ana");
}

#[tokio::test]
async fn a_jwt_that_was_good_ends_in_time_and_its_stream_with_it() {
    let server = SecureServer::start("").await;
    let token = server.issuer.signer.sign(&claims("ana", &["admins"], 4));
    server.bearer(&token).await.unwrap();
    let authorization = format!("Bearer {token}");
    let watch = with_metadata(StreamPendingApprovalsRequest::default(), &[("authorization", &authorization)]);
    let mut stream = server.raw_approvals().await.stream_pending_approvals(watch).await.unwrap().into_inner();
    let ended = within("the end of the stream", async {
        loop {
            if let Err(status) = stream.message().await.map(|message| message.expect("it ends with an error")) {
                return status;
            }
        }
    })
    .await;
    assert!(not_let_in::<()>(Err(ended)).contains("expired"));
    // The same token again, as somebody would who has overheard it.
    let refused = wait_for("the token to be refused", async || server.bearer(&token).await.err()).await;
    assert!(not_let_in::<()>(Err(refused)).contains("expired"));
}

#[tokio::test]
async fn keys_rotate_and_their_issuer_may_be_away() {
    let server = SecureServer::start("").await;
    let (old, new) = (server.issuer.token("ana", &[]), Signer::new("second"));
    server.bearer(&old).await.unwrap();
    server.issuer.publish(&[&server.issuer.signer, &new]);
    // A key that was not known is asked for: at once, or as soon as it may be asked again.
    wait_for("the new key", async || server.bearer(&new.sign(&claims("bob", &[], 60))).await.ok()).await;
    for mood in [Mood::Fails, Mood::Stalls] {
        server.issuer.set_mood(mood);
        let asked = server.issuer.asked();
        wait_for("the issuer to be asked", async || (server.issuer.asked() > asked).then_some(())).await;
        within("a call while the issuer is away", server.bearer(&old)).await.unwrap();
        within("a token not seen before", server.bearer(&new.sign(&claims("eve", &[], 61)))).await.unwrap();
    }
    server.issuer.set_mood(Mood::Serves);
    server.issuer.publish(&[&new]);
    let refused = wait_for("the old key to be forgotten", async || server.bearer(&old).await.err()).await;
    assert!(not_let_in::<()>(Err(refused)).contains("not known"));
    server.bearer(&new.sign(&claims("bob", &[], 60))).await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_says_who_calls() {
    let bots = "[[role]]\nname = \"bots\"\nmembers = [\"service:bot\"]\npermissions = [\"view\"]\n";
    let server = SecureServer::start(bots).await;
    let bot = server.authority.client("spiffe://test/bot");
    let caller = server.caller(Some(&bot), &[]).await.unwrap();
    assert_eq!((caller.principal.as_str(), caller.via.as_str()), ("service:bot", "certificate"));
    assert_eq!(caller.grants.len(), 1);
    // With both, the token says who calls.
    let authorization = format!("Bearer {}", server.issuer.token("ana", &[]));
    let caller = server.caller(Some(&bot), &[("authorization", &authorization)]).await.unwrap();
    assert_eq!(caller.principal, "user:ana");
    // A bad token is not made good by a certificate.
    not_let_in(server.caller(Some(&bot), &[("authorization", "Bearer x.y.z")]).await);
    let stranger = server.authority.client("spiffe://elsewhere/bot");
    assert!(not_let_in(server.caller(Some(&stranger), &[]).await).contains("nobody"));
    let confused = server.authority.client("spiffe://test/user:ana");
    not_let_in(server.caller(Some(&confused), &[]).await);
}

#[tokio::test]
async fn certificates_of_others_and_old_ones_end_the_handshake() {
    let server = SecureServer::start("").await;
    let foreign = Authority::new().client("spiffe://test/bot");
    let expired = server.authority.expired_client("spiffe://test/bot");
    let of_a_server = server.authority.server();
    for certified in [foreign, expired, of_a_server] {
        let refused = server.caller(Some(&certified), &[]).await.unwrap_err();
        // What TLS refuses never comes to a status of ours.
        assert!(refused.details().is_empty(), "{refused:?}");
        assert_ne!(refused.code(), tonic::Code::Unauthenticated, "it came through TLS: {refused:?}");
    }
    let strict = SecureServer::start_with("", true, &[]).await;
    let token = format!("Bearer {}", strict.issuer.token("ana", &[]));
    assert!(strict.caller(None, &[("authorization", &token)]).await.is_err(), "a client without a certificate got in");
    let bot = strict.authority.client("spiffe://test/bot");
    assert_eq!(strict.caller(Some(&bot), &[("authorization", &token)]).await.unwrap().principal, "user:ana");
}

#[tokio::test]
async fn nobody_is_believed_who_they_say_they_are() {
    let server = SecureServer::start("").await;
    let authorization = format!("Bearer {}", server.issuer.token("ana", &[]));
    for metadata in [
        &[("approve-actor", "user:root")][..],
        &[("approve-actor", "user:root"), ("approve-groups", "admins")],
        &[("approve-groups", "admins")],
        &[("authorization", &authorization), ("approve-actor", "user:root")],
        &[("authorization", &authorization), ("approve-actor", "user:ana")],
        &[("authorization", &authorization), ("approve-groups", "admins")],
    ] {
        let refused = not_let_in(server.caller(None, metadata).await);
        assert!(refused.contains("not believed"), "{metadata:?}: {refused}");
    }
}

#[tokio::test]
async fn an_api_token_lives_until_it_is_revoked() {
    let server = SecureServer::start("").await;
    let admin = server.admin().await;
    let grant = Grant { permissions: vec![Permission::View.into()], ..Grant::default() };
    let created = admin.create_token(CreateToken::new("bot").grant(grant.clone())).await.unwrap();
    let secret = created.secret.expose().to_owned();
    assert!(secret.starts_with("apt_") && secret.len() == 47);
    let bot = server.bearer(&secret).await.unwrap();
    assert_eq!((bot.principal.as_str(), bot.via.as_str()), ("service:bot", "api_token"));
    assert_eq!(bot.grants, std::slice::from_ref(&grant));
    let again = admin.create_token(CreateToken::new("bot").grant(grant.clone())).await.unwrap_err();
    assert_eq!(again.code(), tonic::Code::AlreadyExists);

    let authorization = format!("Bearer {secret}");
    let watch = with_metadata(StreamPendingApprovalsRequest::default(), &[("authorization", &authorization)]);
    let mut stream = server.raw_approvals().await.stream_pending_approvals(watch).await.unwrap().into_inner();
    stream.message().await.unwrap().expect("the end of the snapshot");
    admin.revoke_token("bot").await.unwrap();
    // At once: no call after it, and the stream ends.
    assert!(not_let_in(server.bearer(&secret).await).contains("revoked"));
    let ended = within("the end of the stream", async {
        loop {
            if let Err(status) = stream.message().await.map(|message| message.expect("it ends with an error")) {
                return status;
            }
        }
    })
    .await;
    assert!(not_let_in::<()>(Err(ended)).contains("revoked"));
    assert!(not_let_in(server.bearer("apt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await).contains("not known"));
    admin.create_token(CreateToken::new("bot").grant(grant)).await.unwrap();
    assert_eq!(admin.tokens().await.unwrap().len(), 2);
    assert!(not_let_in(server.bearer(&secret).await).contains("revoked"), "the old one came back with its name");
}

#[tokio::test]
async fn the_first_token_is_made_while_no_server_runs() {
    let mut server = SecureServer::start("").await;
    let config = server.server.folder().join("approve.toml");
    let config = config.to_str().unwrap();
    let args =
        ["token", "create", "--config", config, "--name", "first", "--permission", "operate", "--permission", "view"];
    let refused = server.server.run(&args).await;
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("another process is using the store"), "{}", refused.stderr);

    assert_eq!(server.server.stop(DEADLINE).await, Some(0));
    let made = server.server.run(&args).await;
    assert_eq!(made.code, 0, "{}", made.stderr);
    let secret = made.stdout.trim_end().to_owned();
    assert!(!made.stderr.contains(&secret));
    assert_eq!(server.server.run(&args).await.code, 1, "a second one of that name");
    for bad in [
        &["--permission", "rule_the_world"][..],
        &["--permission", "view", "--lifetime", "1s"],
        &["--permission", "view", "--lifetime", "soon"],
        &["--permission", "view", "--workflow", "a b"],
        &["--permission", "view", "--label", "x"],
    ] {
        let args = [&["token", "create", "--config", config, "--name", "second"], bad].concat();
        assert_ne!(server.server.run(&args).await.code, 0, "{bad:?}");
    }

    server.server.start().await;
    let first = server.client_with(&secret).await;
    assert_eq!(first.caller().await.unwrap().principal, "service:first");
    let grant = Grant { permissions: vec![Permission::View.into()], ..Grant::default() };
    first.create_token(CreateToken::new("second").grant(grant)).await.unwrap();
}

#[tokio::test]
async fn health_is_open_and_reflection_is_not() {
    let server = SecureServer::start("").await;
    let channel = server.channel(None).await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
    let mut reflection = tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(channel);
    let asked = reflection.server_reflection_info(tokio_stream::pending()).await;
    not_let_in(asked.map(drop));
}

#[tokio::test]
async fn a_client_that_shows_nothing_learns_what_to_show() {
    let server = SecureServer::start("").await;
    let client = Client::connect(server.config().credentials(Credentials::None)).await.unwrap();
    let error = client.caller().await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unauthenticated);
    assert!(error.to_string().contains("authorization: Bearer"), "{error}");
}
