//! The command line towards a server that takes nobody's word: certificates, tokens, and acting for a person.

use std::{fs, path::Path};

use approve_tests::{Cli, LocalAws, Server, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

const CONFIG: &str = r#"
[tls]
cert_file = "FOLDER/server.pem"
key_file = "FOLDER/server.key"
client_ca_file = "FOLDER/ca.pem"

[auth.certificates]
principal = "cn"

[[role]]
name = "operators"
members = ["user:op"]
permissions = ["view", "decide", "start", "provision", "operate", "audit", "act_on_behalf"]

[[role]]
name = "approvers"
members = ["user:bo"]
permissions = ["view", "decide"]
workflows = ["pay"]
"#;

const PAY: &str = "name = 'pay'\n[rule]\napprovers = ['user:bo']\n";

/// Writes an authority, a certificate of the server, and one for each person.
fn write_certificates(folder: &Path, people: &[&str]) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let write = |name: &str, mut params: CertificateParams| {
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        fs::write(folder.join(format!("{name}.pem")), params.signed_by(&key, &authority).unwrap().pem()).unwrap();
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    };
    write("server", CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap());
    for person in people {
        write(person, CertificateParams::default());
    }
}

#[tokio::test]
async fn certificates_and_tokens_say_who_one_is_and_a_service_acts_for_a_person() {
    let folder = TempDir::new().unwrap();
    write_certificates(folder.path(), &["op", "bo"]);
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let aws = LocalAws::start().await;
    let config = CONFIG.replace("FOLDER", folder.path().to_str().unwrap());
    let server = Server::serve_config(&config, aws.url()).await;
    let stranger = || server.cli("op").env("APPROVE_CA", &file("ca.pem"));
    let known = |name: &str| {
        let cli = stranger().env("APPROVE_CERT", &file(&format!("{name}.pem")));
        cli.env("APPROVE_KEY", &file(&format!("{name}.key")))
    };
    let (op, bo) = (known("op"), known("bo"));

    let me = op.json(&["whoami"]).await;
    assert_eq!((me["principal"].as_str(), me["via"].as_str()), (Some("user:op"), Some("certificate")));
    stranger().run(&["whoami"]).await.exits(4);
    stranger().env("APPROVE_TOKEN", "apt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").run(&["list"]).await.exits(4);

    fs::write(folder.path().join("pay.toml"), PAY).unwrap();
    op.run(&["workflow", "apply", &file("pay.toml")]).await.ok();
    bo.run(&["workflow", "apply", &file("pay.toml")]).await.exits(4).says(&["whoami"]);
    op.run(&["start", "--workflow", "pay"]).await.ok();
    let id = pending(&bo).await;
    assert!(bo.run(&["explain", &id]).await.ok().stdout.contains("approve    yes"));
    bo.run(&["explain", &id, "--as", "op"]).await.exits(4);
    let asked = op.run(&["explain", &id, "--as", "bo"]).await.ok().stdout;
    assert!(asked.contains("If user:bo decided"), "{asked}");
    op.run(&["decide", &id, "--approve"]).await.exits(4);

    let create = ["token", "create", "bot", "--permission", "view,decide,act-on-behalf", "--workflow", "pay"];
    bo.run(&create).await.exits(4);
    let secret = op.run(&[&create[..], &["--lifetime", "1h"]].concat()).await.ok().stdout;
    fs::write(folder.path().join("token"), &secret).unwrap();
    let bot = stranger().env("APPROVE_TOKEN_FILE", &file("token"));
    assert_eq!(bot.json(&["whoami"]).await["principal"], "service:bot");
    bot.run(&["whoami", "--as", "op"]).await.exits(2);
    bot.run(&["start", "--workflow", "pay"]).await.exits(4);
    bot.run(&["decide", &id, "--approve"]).await.exits(4);
    bot.run(&["decide", &id, "--approve", "--on-behalf-of", "bo"]).await.ok();
    let shown = bo.run(&["show", &id]).await.ok().stdout;
    assert!(shown.contains("approve user:bo, through service:bot"), "{shown}");
    let logged = op.run(&["audit", "log", "--actor", "bo", "--type", "voted"]).await.ok().stdout;
    assert!(logged.contains("user:bo, through service:bot"), "{logged}");
    bo.run(&["audit", "log"]).await.exits(4);

    op.run(&["token", "revoke", "bot"]).await.ok();
    bot.run(&["list"]).await.exits(4);
    let listed = op.run(&["token", "list"]).await.ok().stdout;
    assert!(listed.contains("revoked") && !listed.contains(secret.trim()), "{listed}");
}

async fn pending(cli: &Cli) -> String {
    wait_for("the approval to be listed", async || {
        let listed = cli.json(&["list"]).await;
        listed.as_array().unwrap().first().map(|approval| approval["id"].as_str().unwrap().to_owned())
    })
    .await
}
