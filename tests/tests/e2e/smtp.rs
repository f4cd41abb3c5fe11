//! Mail to a mail server that is not ours: aiosmtpd, which takes it after STARTTLS and a password. `tests/run` installs it.

use std::{fs, net::TcpListener, path::PathBuf};

use approve_tests::{
    LocalAws, Server,
    approvals::ask,
    binaries,
    certificates::Authority,
    process::{Process, command},
    server::write_config,
    wait_for,
    workflows::{ASK, apply, ask_input, of_group, spec, with_rule},
};
use serde_json::Value;
use tempfile::TempDir;

const PASSWORD: &str = "correct horse";

/// A mail server, and the file of what it took.
async fn serve(folder: &TempDir, authority: &Authority) -> (Process, u16, PathBuf) {
    let venv: PathBuf = std::env::var_os("APPROVE_SMTP_VENV")
        .expect("APPROVE_SMTP_VENV is not set: run tests/run, which installs aiosmtpd")
        .into();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let own = authority.server();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("mail.crt"), own.certificate).unwrap();
    fs::write(path("mail.key"), own.key).unwrap();
    let mut command = command(venv.join("bin/python"), folder.path());
    command.arg(binaries::repository().join("tests/smtp/serve.py")).arg(port.to_string());
    command.arg(path("mail.crt")).arg(path("mail.key")).args(["approve", PASSWORD]).arg(path("mails.jsonl"));
    let process = Process::spawn("smtp", command, folder.path());
    wait_for("the mail server", async || process.stdout().contains("ready").then_some(())).await;
    (process, port, path("mails.jsonl"))
}

fn mails(file: &PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
#[ignore = "needs aiosmtpd"]
async fn mail_goes_by_starttls_and_with_a_password_or_not_at_all() {
    let (aws, authority) = (LocalAws::start().await, Authority::new());
    let mail = TempDir::new().unwrap();
    let (_process, port, file) = serve(&mail, &authority).await;
    let folder = TempDir::new().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (roots, others) = (path("roots.pem", authority.pem()), path("others.pem", Authority::new().pem()));
    let (password, wrong) = (path("password", PASSWORD), path("wrong", "battery staple"));
    let target = |name: &str, roots: &str, password: &str| {
        format!(
            "[[notify.target]]\nname = \"{name}\"\nemail = {{ server = \"127.0.0.1\", port = {port}, \
             ca_file = \"{roots}\", username = \"approve\", password_file = \"{password}\", \
             from = \"Approve <approve@example.com>\", to = [\"{name}@example.com\"] }}\n\
             [[notify.route]]\nto = [\"{name}\"]\n"
        )
    };
    let notify = [
        target("good", &roots, &password),
        target("untrusted", &others, &password),
        target("stranger", &roots, &wrong),
    ];
    write_config(folder.path(), &notify.concat());
    let server = Server::serve_folder(folder, &[("AWS_ENDPOINT_URL", aws.url()), ("AWS_REGION", "us-east-1")]).await;
    let client = server.client("req").await;
    apply(&client, with_rule(spec("pay", ASK), of_group("finance", 2))).await;
    let title = "Größe & <b>Preis</b>\r\nBcc: eve@evil.example";
    ask(&client, "pay", &ask_input(title, "user:req")).await;
    let mail = wait_for("the mail", async || mails(&file).pop()).await;
    assert_eq!((&mail["to"][0], &mail["encrypted"]), (&"good@example.com".into(), &true.into()));
    assert_eq!(mail["from"], "approve@example.com");
    let headers = &mail["headers"];
    assert_eq!(headers["Subject"], "Approval needed: Größe & <b>Preis</b> Bcc: eve@evil.example");
    assert_eq!((&headers["Bcc"], &headers["Auto-Submitted"]), (&Value::Null, &"auto-generated".into()));
    let (text, html) = (mail["text"].as_str().unwrap(), mail["html"].as_str().unwrap());
    assert!(text.contains("Größe & <b>Preis</b>") && text.contains("Approvals: 0 of 2"), "{text}");
    assert!(html.contains("Größe &#38; &#60;b&#62;Preis") && !html.contains("<b>Preis"), "{html}");

    // To the others nothing is sent, not even a password: that is told, and they are tried again.
    let config = server.folder().join("approve.toml").display().to_string();
    let waiting = wait_for("both failures", async || {
        let listed = server.run(&["notifications", "list", "--all", "--json", "--config", &config]).await;
        assert_eq!(listed.code, 0, "{}", listed.stderr);
        Some(listed.stdout).filter(|text| text.lines().count() == 2)
    })
    .await;
    assert!(waiting.contains("untrusted") && waiting.contains("stranger"), "{waiting}");
    assert!(waiting.contains("ertificate") && waiting.contains("535"), "{waiting}");
    assert_eq!(mails(&file).len(), 1);
}
