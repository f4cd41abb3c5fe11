//! The inbox as a browser without scripts uses it: deciding, and what keeps others from deciding with it.

use approve_client::{
    Approval, ApprovalStatus, Client, Decide,
    proto::{CommentPolicy, Decision, ExecutionStatus, Outcome, Rule, Stage},
};
use approve_tests::{
    Server,
    approvals::{ask, ended},
    browser::Browser,
    workflows::{ASK, apply, ask_input, of_group, spec, with_rule},
};
use http::StatusCode;
use serde_json::json;

async fn asked(server: &Server, rule: Rule) -> (Client, String, Approval) {
    let client = server.client("req").await;
    apply(&client, with_rule(spec("pay", ASK), rule)).await;
    let (arn, approval) = ask(&client, "pay", &ask_input("Pay invoice 4711", "user:req")).await;
    (client, arn, approval)
}

/// The form of an approval, as its page has it.
struct Form {
    path: String,
    csrf: String,
    etag: String,
    request_id: String,
}

impl Form {
    async fn of(browser: &mut Browser, id: &str) -> Self {
        let page = browser.get(&format!("/approvals/{id}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        Self {
            path: format!("/approvals/{id}/decide"),
            csrf: page.hidden("csrf"),
            etag: page.hidden("etag"),
            request_id: page.hidden("request_id"),
        }
    }

    fn with<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = [("csrf", self.csrf.as_str()), ("etag", &self.etag), ("request_id", &self.request_id)];
        own.into_iter().chain(more.iter().copied()).collect()
    }
}

#[tokio::test]
async fn a_decision_in_the_inbox_is_one_as_any_other() {
    let server = Server::dev().await;
    let (client, arn, approval) = asked(&server, of_group("finance", 2)).await;
    let mut ana = Browser::picked(server.url(), "ana", "finance").await;
    let inbox = ana.get("/").await;
    assert!(inbox.text.contains("Pay invoice 4711"), "{}", inbox.text);
    let form = Form::of(&mut ana, &approval.id).await;
    let fields = form.with(&[("choice", "approve"), ("comment", "looks right")]);
    let done = format!("/approvals/{}?done=yes", approval.id);
    assert_eq!(ana.post(&form.path, &fields).await.location(), done);
    // Sent twice it is one decision; with something else in it, it is none.
    assert_eq!(ana.post(&form.path, &fields).await.location(), done);
    let other = ana.post(&form.path, &form.with(&[("choice", "reject"), ("comment", "looks right")])).await;
    assert_eq!(other.status, StatusCode::CONFLICT, "{}", other.text);
    let after = ana.get(&done).await;
    for expected in ["Your decision is recorded", "1 of 2 approvals from the group finance", "looks right"] {
        assert!(after.text.contains(expected), "{expected}: {}", after.text);
    }
    assert!(!ana.get("/").await.text.contains("Pay invoice 4711"), "it waits for her no more");

    let mut bo = Browser::picked(server.url(), "bo", "finance").await;
    let form = Form::of(&mut bo, &approval.id).await;
    assert_eq!(bo.post(&form.path, &form.with(&[("choice", "approve")])).await.location(), done);
    let decided = client.get(&approval.id).await.unwrap();
    assert_eq!(decided.decided_by, ["user:ana", "user:bo"]);
    assert_eq!(decided.votes[0].comment, "looks right");
    assert_eq!(ended(&client, &arn).await.status(), ExecutionStatus::Succeeded);
    let record = bo.get(&format!("/approvals/{}/audit", approval.id)).await;
    assert!(record.text.contains("in this inbox") && record.text.contains("<bdi>ana</bdi>"), "{}", record.text);
    assert!(bo.get("/history").await.text.contains("Pay invoice 4711"));
}

#[tokio::test]
async fn a_form_decides_the_version_that_it_shows_and_no_other() {
    let server = Server::dev().await;
    let (client, _, approval) = asked(&server, of_group("finance", 3)).await;
    let mut ana = Browser::picked(server.url(), "ana", "finance").await;
    let form = Form::of(&mut ana, &approval.id).await;
    let bo = server.client_in("bo", &["finance"]).await;
    bo.decide(Decide::approve(&approval.id)).await.unwrap();
    let stale = ana.post(&form.path, &form.with(&[("choice", "approve"), ("comment", "mine <b>")])).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.text.contains("It has changed since you opened it"), "{}", stale.text);
    assert!(stale.text.contains("mine &#60;b&#62;"), "what she wrote is kept: {}", stale.text);
    let blind = [("csrf", form.csrf.as_str()), ("choice", "approve")];
    assert_eq!(ana.post(&form.path, &blind).await.status, StatusCode::CONFLICT, "without a version");
    assert_eq!(client.get(&approval.id).await.unwrap().votes.len(), 1);
    // Likewise for several at once.
    let picked = format!("{}@{}", approval.id, form.etag);
    let bulk = [("csrf", form.csrf.as_str()), ("choice", "approve"), ("pick", &picked)];
    let confirm = ana.post("/bulk", &bulk).await;
    assert!(confirm.text.contains("It has changed since you selected it"), "{}", confirm.text);
    let decided = ana.post("/bulk/decide", &bulk).await;
    assert!(decided.text.contains("0 done, 1 not"), "{}", decided.text);
    assert_eq!(client.get(&approval.id).await.unwrap().votes.len(), 1);
    // What the page shows now can be decided.
    let shown = stale.hidden("etag");
    let again = [("csrf", form.csrf.as_str()), ("etag", &shown), ("choice", "approve")];
    assert!(ana.post(&form.path, &again).await.status.is_redirection());
}

#[tokio::test]
async fn no_other_site_and_no_other_session_decides() {
    let server = Server::dev().await;
    let (client, _, approval) = asked(&server, of_group("finance", 1)).await;
    let mut ana = Browser::picked(server.url(), "ana", "finance").await;
    let mut bo = Browser::picked(server.url(), "bo", "finance").await;
    let (form, of_bo) = (Form::of(&mut ana, &approval.id).await, Form::of(&mut bo, &approval.id).await);
    let fields = form.with(&[("choice", "approve")]);
    let own = server.url();
    let port = own.rsplit(':').next().unwrap();
    let elsewhere = format!("http://evil.example:{port}");
    for headers in [
        &[][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", &elsewhere)],
        &[("origin", own), ("sec-fetch-site", "cross-site")],
        &[("origin", own), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
    ] {
        let refused = ana.send("POST", &form.path, headers, Some(&fields)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{headers:?}: {}", refused.text);
    }
    for token in ["", "x", &of_bo.csrf, &format!("{} ", form.csrf)] {
        let fields = [("csrf", token), ("etag", form.etag.as_str()), ("choice", "approve")];
        let refused = ana.post(&form.path, &fields).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{token:?}: {}", refused.text);
    }
    // A GET decides nothing, whatever it says.
    let get = ana.get(&format!("{}?{}", form.path, approve_tests::browser::encode(&fields))).await;
    assert_eq!(get.status, StatusCode::METHOD_NOT_ALLOWED);
    // A name that leads here is not ours.
    let rebound = ana.send("GET", "/", &[("host", &elsewhere["http://".len()..])], None).await;
    assert_eq!(rebound.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(client.get(&approval.id).await.unwrap().votes.len(), 0);
    // Without a session nothing is decided, and one is told.
    let mut nobody = Browser::new(own);
    let refused = nobody.post(&form.path, &fields).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.text.contains("Your session has ended"), "{}", refused.text);
    assert!(refused.text.contains(&format!("/sign-in/start?next=%2Fapprovals%2F{}", approval.id)), "{}", refused.text);
    assert!(ana.post(&form.path, &fields).await.status.is_redirection());
}

#[tokio::test]
async fn browsers_are_told_to_trust_nothing_but_our_own_files() {
    let server = Server::dev().await;
    let mut ana = Browser::picked(server.url(), "ana", "").await;
    for path in ["/", "/history", "/sign-in", "/nowhere", "/approvals/x", "/live?since=x", "/assets/x/app.css"] {
        let page = ana.get(path).await;
        let policy = page.header("content-security-policy");
        for part in
            ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("referrer-policy"), "same-origin", "{path}");
        for inline in ["style=", "onclick=", "<script>", "javascript:"] {
            assert!(!page.header("content-type").contains("html") || !page.text.contains(inline), "{path}: {inline}");
        }
    }
    assert_eq!(ana.get("/").await.header("cache-control"), "no-store");
    assert_eq!(ana.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    // Whoever wants to be sent elsewhere after signing in is not.
    for next in ["https://evil.example", "//evil.example", "/\\evil.example"] {
        let mut browser = Browser::new(server.url());
        let page = browser.post("/sign-in", &[("name", "ana"), ("next", next)]).await;
        assert_eq!(page.location(), "/", "{next}");
    }
}

/// Ends a tag, an attribute or a script, wherever it stands.
const HOSTILE: &str = "\"'></textarea></title><x-xss onload=alert(1)>";

#[tokio::test]
async fn what_others_wrote_stays_text_on_every_page() {
    let server = Server::dev().await;
    let client = server.client("req").await;
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string", "title": HOSTILE, "description": HOSTILE, "default": HOSTILE},
        HOSTILE: {"enum": [HOSTILE, "b"]},
    }});
    let rule = Rule {
        stages: vec![Stage { name: HOSTILE.to_owned(), required_approvals: 2, ..Stage::default() }],
        outcomes: vec![Outcome {
            name: "more".to_owned(),
            label: HOSTILE.to_owned(),
            decision: Decision::Approve.into(),
        }],
        response_schema_json: schema.to_string(),
        required_rejections: 9,
        ..Rule::default()
    };
    let definition = ASK.replace("\"title.$\"", "\"description.$\": \"$.title\", \"title.$\"");
    apply(&client, with_rule(spec("pay", &definition), rule)).await;
    let input = json!({
        "title": HOSTILE, "requester": format!("user:{HOSTILE}"), "labels": {"team": HOSTILE},
        HOSTILE: {"deep": [HOSTILE, {HOSTILE: 1}]}, "long": HOSTILE.repeat(20),
    });
    let (_, approval) = ask(&client, "pay", &input.to_string()).await;
    let bo = server.client("bo").await;
    let answer = json!({"a": HOSTILE}).to_string();
    bo.decide(Decide::approve(&approval.id).comment(HOSTILE).response_json(&answer)).await.unwrap();

    let mut ana =
        Browser::picked(server.url(), HOSTILE.trim_start_matches("\"'>"), HOSTILE.trim_start_matches('"')).await;
    let form = Form::of(&mut ana, &approval.id).await;
    let picked = format!("{}@{}", approval.id, form.etag);
    let pages = [
        ana.get("/").await,
        ana.get(&format!("/?text={}&workflow=%22%3E%3Cx-xss%3E&priority=%22%3E%3Cx-xss%3E", "%3Cx-xss%3E")).await,
        ana.get(&format!("/approvals/{}?done=%3Cx-xss%3E", approval.id)).await,
        ana.get(&format!("/approvals/{}/audit", approval.id)).await,
        ana.get("/sign-in?next=%22%3E%3Cx-xss%3E&name=%22%3E%3Cx-xss%3E").await,
        ana.get("/%3Cx-xss%3E").await,
        ana.post(&form.path, &form.with(&[("choice", "<x-xss>"), ("comment", HOSTILE), ("response-0", HOSTILE)])).await,
        ana.post(&form.path, &form.with(&[("choice", "approve"), ("response-1", HOSTILE)])).await,
        ana.post("/bulk", &[("csrf", &form.csrf), ("choice", "reject"), ("pick", &picked), ("comment", HOSTILE)]).await,
    ];
    for page in pages {
        assert!(!page.text.contains("<x-xss"), "{}", page.text);
    }
    let rejected = form.with(&[("choice", "reject"), ("comment", HOSTILE)]);
    assert!(ana.post(&form.path, &rejected).await.status.is_redirection());
    let last = ana.get(&format!("/approvals/{}", approval.id)).await;
    assert!(!last.text.contains("<x-xss") && last.text.matches("&#60;x-xss").count() > 10, "{}", last.text);
    assert!(!ana.get("/history").await.text.contains("<x-xss"));
}

#[tokio::test]
async fn a_form_asks_for_what_the_rule_wants() {
    let server = Server::dev().await;
    let schema = json!({"type": "object", "required": ["amount", "tier"], "additionalProperties": false, "properties": {
        "amount": {"type": "number", "maximum": 2000}, "tier": {"enum": ["gold", "lead"]}, "note": {"type": "string"},
    }});
    let rule = Rule {
        response_schema_json: schema.to_string(),
        comment_policy: CommentPolicy::OnReject.into(),
        ..Rule::default()
    };
    let (client, arn, approval) = asked(&server, rule).await;
    let mut ana = Browser::picked(server.url(), "ana", "").await;
    let form = Form::of(&mut ana, &approval.id).await;
    for (said, expected) in [
        (&[("choice", "approve")][..], "This is needed."),
        (&[("choice", "approve"), ("response-0", "1,200.50"), ("response-1", "\"gold\"")], "like 1200.50"),
        (&[("choice", "approve"), ("response-0", "2000.01"), ("response-1", "\"gold\"")], "2000"),
        (&[("choice", "approve"), ("response-0", "1"), ("response-1", "\"tin\"")], "Choose one of them."),
        (&[("choice", "reject")], "say why"),
        (&[("choice", "")], "Choose what to decide."),
        (&[("choice", "outcome:none")], "Choose what to decide."),
    ] {
        let page = ana.post(&form.path, &form.with(said)).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{said:?}: {}", page.text);
        assert!(page.text.contains(expected), "{said:?}: {}", page.text);
    }
    assert_eq!(client.get(&approval.id).await.unwrap().votes.len(), 0);
    let said =
        [("choice", "approve"), ("response-0", "1200.50"), ("response-1", "\"gold\""), ("response-2", " a\r\nb ")];
    assert!(ana.post(&form.path, &form.with(&said)).await.status.is_redirection());
    let decided = client.get(&approval.id).await.unwrap();
    assert_eq!(decided.votes[0].response_json, r#"{"amount":1200.50,"tier":"gold","note":" a\nb "}"#);
    let output = ended(&client, &arn).await.output_json;
    assert!(output.contains("1200.50"), "{output}");
}

#[tokio::test]
async fn several_are_decided_after_a_page_that_says_what_will_happen() {
    let server = Server::dev().await;
    let (client, _, first) = asked(&server, Rule::default()).await;
    let (_, second) = ask(&client, "pay", &ask_input("Pay invoice 4712", "user:req")).await;
    let (_, own) = ask(&client, "pay", &ask_input("Pay ana", "user:ana")).await;
    let mut ana = Browser::picked(server.url(), "ana", "").await;
    let csrf = ana.get("/").await.hidden("csrf");
    let pick = |approval: &Approval| format!("{}@{}", approval.id, approval.etag);
    let (one, two, three) = (pick(&first), pick(&second), pick(&own));
    let all = [("csrf", csrf.as_str()), ("choice", "approve"), ("pick", &one), ("pick", &two), ("pick", &three)];
    let confirm = ana.post("/bulk", &all).await;
    for expected in
        ["Approve 2 requests?", "settles it: approved", "You asked for this, so somebody else has to approve it."]
    {
        assert!(confirm.text.contains(expected), "{expected}: {}", confirm.text);
    }
    assert_eq!(client.get(&first.id).await.unwrap().status(), ApprovalStatus::Pending, "nothing was decided yet");
    let request = confirm.hidden("request_id");
    let fields =
        [("csrf", csrf.as_str()), ("choice", "approve"), ("request_id", &request), ("pick", &one), ("pick", &two)];
    for _ in 0..2 {
        let done = ana.post("/bulk/decide", &fields).await;
        assert!(done.text.contains("Approve: 2 done<"), "{}", done.text);
    }
    for id in [&first.id, &second.id] {
        let decided = client.get(id).await.unwrap();
        assert_eq!((decided.status(), decided.votes.len()), (ApprovalStatus::Approved, 1));
    }
    assert_eq!(client.get(&own.id).await.unwrap().status(), ApprovalStatus::Pending);
    let nothing = ana.post("/bulk", &[("csrf", &csrf), ("choice", "approve")]).await;
    assert_eq!(nothing.status, StatusCode::UNPROCESSABLE_ENTITY);
}
