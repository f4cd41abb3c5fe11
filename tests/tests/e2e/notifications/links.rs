//! Whoever opens links without being asked to: scanners of mail, previews of chats, browsers that look ahead.

use approve_client::ApprovalStatus;
use approve_tests::{
    LocalAws,
    approvals::ask,
    browser::{Browser, Page},
    receiver::MailServer,
    workflows::{ASK, apply, ask_input, spec, with_rule},
};
use futures::future::join_all;
use http::StatusCode;

use super::{of_people, serve};

/// As those who open links call themselves.
const AGENTS: [&str; 9] = [
    "",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; ms-office; MSOffice 16) SafeLinks",
    "Mozilla/5.0 (compatible; BarracudaCentral)",
    "Proofpoint URL Defense",
    "Mimecast Targeted Threat Protection",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "facebookexternalhit/1.1",
    "curl/8.5.0",
];

/// What programs that find links in texts take for a part of them, or add.
const TAILS: [&str; 12] =
    [".", ",", ")", "]", ">", "%3E", "%20", "%0D%0A", "&amp;", "/", "=", "?choice=approve&etag=1&comment=ok"];

type Headers<'a> = &'a [(&'a str, &'a str)];
type Form = Vec<(&'static str, String)>;

#[tokio::test]
async fn whatever_opens_a_link_decides_nothing() {
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
    let mail = mails.wait_for(1).await.remove(0);
    let path = mail.find(&format!("{}/link/", server.url())).strip_prefix(server.url()).unwrap().to_owned();
    let decide = format!("{path}/decide");
    let undecided = async |after: &str| {
        let now = client.get(&approval.id).await.unwrap();
        assert_eq!(
            (now.status(), now.votes.len(), now.etag),
            (ApprovalStatus::Pending, 0, approval.etag.clone()),
            "{after}"
        );
    };

    // What runs in her own browser has her session with it, too.
    let mut ana = Browser::picked(server.url(), "ana", "").await;
    let page = ana.get(&path).await;
    let (csrf, etag) = (page.hidden("csrf"), page.hidden("etag"));
    let bo = Browser::picked(server.url(), "bo", "").await.get("/").await.hidden("csrf");
    for browser in [Browser::new(server.url()), ana.clone()] {
        let opened = async |method: &str, path: &str, headers: &[(&str, &str)]| {
            browser.clone().send(method, path, headers, None).await
        };
        for agent in AGENTS {
            let ahead = [("user-agent", agent), ("purpose", "prefetch"), ("sec-purpose", "prefetch;prerender")];
            let posing = [("user-agent", agent), ("x-http-method-override", "POST"), ("x-method-override", "POST")];
            for method in ["GET", "HEAD", "OPTIONS", "PROPFIND"] {
                opened(method, &path, &ahead).await;
                opened(method, &decide, &posing).await;
                opened(method, &format!("{decide}?choice=approve&csrf={csrf}&etag={etag}"), &posing).await;
            }
        }
        undecided("it was opened by each of them").await;
        for tail in TAILS {
            opened("GET", &format!("{path}{tail}"), &[]).await;
            opened("GET", &format!("{decide}{tail}"), &[]).await;
        }
        undecided("it was opened with more at its end").await;
        let pages: Vec<Page> = join_all((0..30).map(|_| opened("GET", &path, &[]))).await;
        assert!(pages.iter().all(|page| page.status == pages[0].status), "{pages:?}");
        undecided("it was opened thirty times at once").await;
    }
    // With anything at its end it is another link, but for a query.
    for tail in TAILS {
        let status = ana.get(&format!("{path}{tail}")).await.status;
        assert_eq!(
            (status == StatusCode::OK, status.is_client_error()),
            (tail.starts_with('?'), !tail.starts_with('?'))
        );
    }

    let origin = server.url().to_owned();
    let ours = [("origin", origin.as_str()), ("sec-fetch-site", "same-origin")];
    let theirs = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    let choice = [("choice", "approve"), ("etag", etag.as_str())];
    let with = |token: &'static str, value: &str| {
        let mut fields: Form = choice.map(|(name, value)| (name, value.to_owned())).to_vec();
        fields.push((token, value.to_owned()));
        fields
    };
    let form = with("csrf", &csrf);
    // Who posts; from where; what.
    let attempts: [(&str, Browser, Headers<'_>, Form); 6] = [
        ("a form without its token", ana.clone(), &ours, with("comment", "ok")),
        ("an empty token", ana.clone(), &ours, with("csrf", "")),
        ("another session's token", ana.clone(), &ours, with("csrf", &bo)),
        ("another site", ana.clone(), &theirs, form.clone()),
        ("a program that says nothing of where it is", ana.clone(), &[], form.clone()),
        ("nobody's session", Browser::new(server.url()), &ours, form),
    ];
    for (who, mut browser, headers, fields) in attempts {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        for to in [&decide, &path] {
            let answer = browser.send("POST", to, headers, Some(&fields)).await;
            assert!(!answer.status.is_success() && !answer.text.contains("recorded"), "{who}: {answer:?}");
        }
        undecided(who).await;
    }

    // She can still decide, by the page that she has had open all the while.
    let fields = [("csrf", csrf.as_str()), ("etag", &etag), ("choice", "approve"), ("comment", "")];
    let done = ana.post(&decide, &fields).await;
    assert_eq!(done.location(), format!("/approvals/{}?done=yes", approval.id));
    assert_eq!(client.get(&approval.id).await.unwrap().status(), ApprovalStatus::Approved);
}
