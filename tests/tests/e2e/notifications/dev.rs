//! What a developer sees of a development server.

use approve_client::Decide;
use approve_tests::{
    Server,
    approvals::ask,
    receiver::Hook,
    workflows::{ASK, apply, ask_input, spec},
};

#[tokio::test]
async fn a_developer_sees_what_happens_at_their_own_receivers() {
    let (one, other) = (Hook::start().await, Hook::start().await);
    let mut server = Server::dev_with(&["--webhook", one.url(), "--webhook", other.url()]).await;
    let said = server.process().stdout();
    assert!(said.contains(one.url()) && said.contains(other.url()), "{said}");
    let (client, ana) = (server.client("req").await, server.client("ana").await);
    apply(&client, spec("pay", ASK)).await;
    let (_, approval) = ask(&client, "pay", &ask_input("Pay invoice 4711", "user:req")).await;
    ana.decide(Decide::approve(&approval.id)).await.unwrap();
    for hook in [&one, &other] {
        let got = hook.wait_for(2).await;
        let kinds: Vec<_> = got.iter().map(|hooked| (hooked.kind(), hooked.about())).collect();
        assert_eq!(kinds, [("requested", approval.id.as_str()), ("decided", &approval.id)]);
        let event = &got[0].event;
        assert_eq!((&event["specversion"], &event["data"]["title"]), (&"1.0".into(), &"Pay invoice 4711".into()));
        assert_eq!(event["data"]["url"], format!("{}/approvals/{}", server.url(), approval.id));
    }

    let refused = server.run(&["dev", "--webhook", "127.0.0.1:8080"]).await;
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    assert!(refused.stderr.contains("expected a URL like http://127.0.0.1:8080/"), "{}", refused.stderr);
}
