//! Slack, as its incoming webhook gets it.

use std::{fs, time::Duration};

use approve_client::Decide;
use approve_tests::{
    LocalAws,
    approvals::ask,
    receiver::{Answer, Hook},
    wait_for,
    workflows::{ASK, apply, ask_input, spec, with_rule},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{of_people, serve};

/// The settings of a channel whose webhook this is.
fn channel(files: &TempDir, hook: &Hook) -> String {
    let url = files.path().join("slack.url");
    fs::write(&url, hook.url()).unwrap();
    format!(
        "[web]\n[[notify.target]]\nname = \"channel\"\ntimeout_seconds = 60\n\
         slack = {{ url_file = \"{}\", allow_networks = [\"127.0.0.1/32\"] }}\n\
         [[notify.route]]\nto = [\"channel\"]\n",
        url.display()
    )
}

fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

/// A section of facts.
fn section(facts: &[(&str, &str)]) -> Value {
    let name = |text: &str| json!({ "type": "mrkdwn", "text": format!("*{text}*"), "verbatim": true });
    let fields: Vec<_> = facts.iter().flat_map(|(fact, value)| [name(fact), plain(value)]).collect();
    json!({ "type": "section", "fields": fields })
}

#[tokio::test]
async fn a_channel_gets_the_facts_and_a_title_is_nothing_but_text() {
    let (aws, hook, files) = (LocalAws::start().await, Hook::start().await, TempDir::new().unwrap());
    let server = serve(&aws, &channel(&files, &hook)).await;
    let (client, ana) = (server.client("req").await, server.client("ana").await);
    apply(&client, with_rule(spec("pay", ASK), of_people(&["ana"]))).await;
    let title = "<!channel> *Pay* <https://evil.example|4711> & _go_ :tada:";
    let escaped = "&lt;!channel&gt; *Pay* &lt;https://evil.example|4711&gt; &amp; _go_ :tada:";
    let (_, approval) = ask(&client, "pay", &ask_input(title, "user:req")).await;
    let message = |heading: &str, facts: &[(&str, &str)], button: &str| {
        let page = format!("{}/approvals/{}", server.url(), approval.id);
        json!({
            "text": format!("{heading}: {escaped}"),
            "mrkdwn": false,
            "blocks": [
                { "type": "header", "text": plain(heading) },
                { "type": "section", "text": plain(title) },
                section(facts),
                { "type": "actions", "elements": [{ "type": "button", "text": plain(button), "url": page }] },
            ],
            "unfurl_links": false,
            "unfurl_media": false,
        })
    };

    let asked = hook.wait_for(1).await.remove(0);
    assert_eq!(asked.headers["content-type"], "application/json; charset=utf-8");
    let deadline = jiff::Timestamp::from_second(approval.expire_time.unwrap().seconds).unwrap();
    let deadline = deadline.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let facts = [
        ("Requested by", "req"),
        ("Workflow", "pay"),
        ("Asked", "ana"),
        ("Deadline", &*deadline),
        ("Approvals", "0 of 1"),
    ];
    assert_eq!(asked.event, message("Approval needed", &facts, "Review"));

    ana.decide(Decide::approve(&approval.id).comment("between us")).await.unwrap();
    let decided = hook.wait_for(2).await.remove(1);
    let facts = [("Requested by", "req"), ("Workflow", "pay"), ("Decided by", "ana"), ("Approvals", "1 of 1")];
    assert_eq!(decided.event, message("Approved", &facts, "Open"));
    assert!(!decided.body.contains("between us"), "{}", decided.body);
}

#[tokio::test]
async fn slack_is_left_alone_as_long_as_it_asks_and_what_it_will_never_have_is_a_dead_letter() {
    let (aws, hook, files) = (LocalAws::start().await, Hook::start().await, TempDir::new().unwrap());
    let server = serve(&aws, &channel(&files, &hook)).await;
    let (client, ana) = (server.client("req").await, server.client("ana").await);
    apply(&client, spec("pay", ASK)).await;
    hook.answer_next([Answer { status: 429, retry_after: Some(2), text: "rate_limited" }]);
    let (_, first) = ask(&client, "pay", &ask_input("Pay invoice 1", "user:req")).await;
    let got = hook.wait_for(2).await;
    assert_eq!(got[0].event, got[1].event);
    let waited = got[1].at.duration_since(got[0].at);
    assert!(waited >= Duration::from_millis(1_900), "it was not left alone: {waited:?}");

    // Its webhook was taken away.
    hook.answer_next([Answer { status: 404, retry_after: None, text: "no_service" }]);
    ana.decide(Decide::approve(&first.id)).await.unwrap();
    let config = server.folder().join("approve.toml").display().to_string();
    let dead = async || {
        let listed = server.run(&["notifications", "list", "--json", "--config", &config]).await;
        assert_eq!(listed.code, 0, "{}", listed.stderr);
        listed.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let letter = wait_for("the dead letter", async || dead().await.pop()).await;
    assert_eq!((&letter["target"], &letter["attempts"]), (&json!("channel"), &json!(1)));
    assert_eq!(letter["error"], "it answered with status 404: no_service");

    // What comes then is not held up by it; it goes once somebody asks for it.
    ask(&client, "pay", &ask_input("Pay invoice 2", "user:req")).await;
    let got = hook.wait_for(4).await;
    assert_eq!(got[3].event["text"], "Approval needed: Pay invoice 2");
    let retried = server.run(&["notifications", "retry", "--config", &config, "--target", "channel"]).await;
    assert_eq!(retried.stdout, "1 to be tried again\n", "{}", retried.stderr);
    let got = hook.wait_for(5).await;
    assert_eq!(got[4].event, got[2].event);
    wait_for("the letter to go", async || dead().await.is_empty().then_some(())).await;
}
