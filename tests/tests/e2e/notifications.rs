//! What happens is told: to a webhook over kills, by mail with links that decide nothing by themselves.

mod dev;
mod links;
mod reload;
mod slack;

use std::collections::BTreeSet;

use approve_client::{
    ApprovalStatus, Decide,
    proto::{ApproverSet, Rule, Stage},
};
use approve_tests::{
    LocalAws, Server,
    approvals::ask,
    browser::Browser,
    receiver::{Hook, MailServer},
    server::write_config,
    workflows::{ASK, apply, ask_input, spec, with_rule},
};
use http::StatusCode;
use tempfile::TempDir;

fn of_people(names: &[&str]) -> Rule {
    let any_of = names.iter().map(|name| format!("user:{name}")).collect();
    let stage = Stage { approver_sets: vec![ApproverSet { any_of }], required_approvals: 1, ..Stage::default() };
    Rule { stages: vec![stage], ..Rule::default() }
}

async fn serve(aws: &LocalAws, notify: &str) -> Server {
    let folder = TempDir::new().unwrap();
    write_config(folder.path(), notify);
    Server::serve_folder(folder, &[("AWS_ENDPOINT_URL", aws.url()), ("AWS_REGION", "us-east-1")]).await
}

/// A target whose messages may be slow to arrive: one that is sent again for that would be counted twice.
pub(crate) fn webhook(hook: &Hook) -> String {
    format!(
        "[[notify.target]]\nname = \"ops\"\ntimeout_seconds = 60\nwebhook = {{ url = \"{}\", allow_networks = [\"127.0.0.1/32\"] }}\n\
         [[notify.route]]\nto = [\"ops\"]\n",
        hook.url()
    )
}

#[tokio::test]
async fn a_server_that_is_killed_tells_everything_nevertheless() {
    let (aws, hook) = (LocalAws::start().await, Hook::start().await);
    let mut server = serve(&aws, &webhook(&hook)).await;
    let ana = server.client("ana").await;
    apply(&ana, spec("pay", ASK)).await;
    let (_, first) = ask(&ana, "pay", &ask_input("Pay invoice 1", "user:req")).await;
    hook.wait_for(1).await;
    // It was sent; that this was noted is not waited for.
    server.kill();
    server.start().await;
    hook.stall(Some("decided"));
    ana.decide(Decide::approve(&first.id)).await.unwrap();
    hook.wait_for_one("decided", &first.id).await;
    // It came, and was not answered: for the server it is not sent.
    server.kill();
    let before = hook.got().len();
    hook.stall(None);
    server.start().await;
    hook.wait_for(before + 1).await;
    let (_, second) = ask(&ana, "pay", &ask_input("Pay invoice 2", "user:req")).await;
    hook.wait_for_one("requested", &second.id).await;
    let got = hook.got();
    let told: BTreeSet<_> = got.iter().map(|hooked| (hooked.about(), hooked.kind(), hooked.id())).collect();
    let told: Vec<_> = told.into_iter().map(|(about, kind, _)| (about, kind)).collect();
    let (one, two) = (first.id.as_str(), second.id.as_str());
    assert_eq!(told, [(one, "decided"), (one, "requested"), (two, "requested")], "left out, or under two ids");
    let again = got.iter().skip(before).any(|hooked| (hooked.about(), hooked.kind()) == (one, "decided"));
    assert!(again, "what was not answered was not sent again");
}

#[tokio::test]
async fn a_link_in_a_mail_is_opened_by_anybody_and_decided_by_its_person_alone() {
    let (aws, mails) = (LocalAws::start().await, MailServer::start().await);
    let notify = format!(
        "[web]\n[notify]\ndomain = \"example.com\"\n[[notify.target]]\nname = \"mail\"\n\
         email = {{ server = \"127.0.0.1\", port = {}, tls = \"none\", from = \"Approve <approve@example.com>\" }}\n\
         [[notify.route]]\nto = [\"mail\"]\n",
        mails.port()
    );
    let server = serve(&aws, &notify).await;
    let client = server.client("req").await;
    apply(&client, with_rule(spec("pay", ASK), of_people(&["ana"]))).await;
    let (_, approval) = ask(&client, "pay", &ask_input("Pay invoice 4711", "user:req")).await;
    let asked = mails.wait_for(1).await.remove(0);
    assert_eq!(asked.to, ["ana@example.com"]);
    assert!(asked.text.contains("Subject: Approval needed: Pay invoice 4711"), "{}", asked.text);
    let link = asked.find(&format!("{}/link/", server.url()));
    let path = link.strip_prefix(server.url()).unwrap().to_owned();
    let pending = async || {
        let now = client.get(&approval.id).await.unwrap();
        assert_eq!((now.status(), now.votes.len()), (ApprovalStatus::Pending, 0));
    };

    // Mail scanners open it, again and again, and whatever looks like a way to decide.
    let mut scanner = Browser::new(server.url());
    for _ in 0..5 {
        for method in ["GET", "HEAD"] {
            for path in [&path, &format!("{path}?choice=approve"), &format!("{path}/decide")] {
                scanner.send(method, path, &[], None).await;
            }
        }
    }
    let blind = scanner.post(&format!("{path}/decide"), &[("choice", "approve")]).await;
    assert!(!blind.status.is_success() && !blind.text.contains("recorded"), "{}", blind.text);
    pending().await;

    // It is no key: whoever else has it gets nothing by it.
    let mut bo = Browser::picked(server.url(), "bo", "").await;
    let others = bo.get(&path).await;
    assert_eq!(others.status, StatusCode::FORBIDDEN);
    assert!(others.text.contains("for somebody else") && !others.text.contains("4711"), "{}", others.text);
    let csrf = bo.get("/").await.hidden("csrf");
    let fields = [("csrf", csrf.as_str()), ("choice", "approve"), ("etag", "1")];
    assert_eq!(bo.post(&format!("{path}/decide"), &fields).await.status, StatusCode::FORBIDDEN);

    let mut ana = Browser::picked(server.url(), "ana", "").await;
    for _ in 0..3 {
        assert_eq!(ana.get(&path).await.status, StatusCode::OK);
    }
    let changed = path.replace("/link/apr_0", "/link/apr_1");
    assert_eq!(ana.get(&changed).await.status, StatusCode::NOT_FOUND);
    pending().await;
    let page = ana.get(&path).await;
    assert!(page.text.contains("Pay invoice 4711") && page.text.contains(&format!("action=\"{path}/decide\"")));
    let (csrf, etag) = (page.hidden("csrf"), page.hidden("etag"));
    let without = [("etag", etag.as_str()), ("choice", "approve")];
    assert_eq!(ana.post(&format!("{path}/decide"), &without).await.status, StatusCode::FORBIDDEN);
    pending().await;
    let fields = [("csrf", csrf.as_str()), ("etag", &etag), ("choice", "approve"), ("comment", "looks right")];
    let done = ana.post(&format!("{path}/decide"), &fields).await;
    assert_eq!(done.location(), format!("/approvals/{}?done=yes", approval.id));
    let decided = client.get(&approval.id).await.unwrap();
    assert_eq!(
        (decided.status(), decided.decided_by.as_slice()),
        (ApprovalStatus::Approved, &["user:ana".to_owned()][..])
    );

    let outcome = mails.wait_for(2).await.remove(1);
    assert_eq!(outcome.to, ["req@example.com"]);
    assert!(outcome.text.contains("Subject: Approved: Pay invoice 4711"), "{}", outcome.text);
    assert!(!outcome.text.contains("looks right") && !outcome.text.contains("/link/"), "{}", outcome.text);
}
