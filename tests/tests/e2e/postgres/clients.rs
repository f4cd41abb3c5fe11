//! Clients of several servers: what one was told holds at the others, and a client that knows them all goes on.

use approve_client::{
    Client, Code, Config, Credentials, Decide, Filter, Reason, StartExecution, Watch, proto::ExecutionStatus,
};
use approve_tests::{
    Cli, LocalAws,
    approvals::{Watching, ask, ended, start},
    postgres::Database,
    workflows::{ASK, apply, ask_input, spec},
};

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_request_id_is_used_up_at_every_server() {
    let (aws, database) = (LocalAws::start().await, Database::create().await);
    let (one, other) = (database.server(aws.url()).await, database.server(aws.url()).await);
    let (here, there) = (one.client("ana").await, other.client("ana").await);
    apply(&here, spec("shared", ASK)).await;
    let (_, approval) = ask(&here, "shared", &ask_input("Pay", "user:req")).await;
    let decide = Decide::approve(&approval.id).with_request_id("once");
    let decided = here.decide(decide.clone().comment("looks right")).await.unwrap();

    for other_body in [decide.clone().comment("something else"), Decide::reject(&approval.id).with_request_id("once")] {
        let reused = there.decide(other_body).await.unwrap_err();
        assert_eq!((reused.code(), reused.reason()), (Code::InvalidArgument, Some(&Reason::RequestIdReused)));
        assert_eq!(reused.field_violations()[0].field, "request_id");
    }
    // The same body is the same answer, and somebody else's request id is another one.
    let again = there.decide(decide.clone().comment("looks right")).await.unwrap();
    assert_eq!((again.revision, &again.approval.votes), (decided.revision, &decided.approval.votes));
    let others = other.client("bo").await.decide(decide.comment("something else")).await.unwrap_err();
    assert_eq!(others.reason(), Some(&Reason::AlreadyDecided));
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_one_server_applied_another_knows_at_once() {
    let (aws, database) = (LocalAws::start().await, Database::create().await);
    let (one, other) = (database.server(aws.url()).await, database.server(aws.url()).await);
    let (here, there) = (one.client("ana").await, other.client("ana").await);
    for number in 0..5 {
        let name = format!("new-{number}");
        apply(&here, spec(&name, ASK)).await;
        let started = StartExecution::new().workflow(&name).input_json(ask_input("Pay", "user:req"));
        assert_eq!(there.start_execution(started).await.unwrap().workflow, name);
        assert_eq!(there.get_workflow(&name).await.unwrap().name, name);
    }
    let unknown = there.get_workflow("made-up").await.unwrap_err();
    assert_eq!((unknown.code(), unknown.reason()), (Code::NotFound, Some(&Reason::WorkflowNotFound)));
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_client_that_knows_several_servers_goes_on_at_another() {
    let (aws, database) = (LocalAws::start().await, Database::create().await);
    let (mut one, mut other) = (database.server(aws.url()).await, database.server(aws.url()).await);
    let both = format!("{}, {}", one.url(), other.url());
    let me = Credentials::asserted("user:ana", Vec::<String>::new());
    let ana = Client::connect(Config::new(&both).credentials(me.clone())).await.unwrap();
    apply(&ana, spec("shared", ASK)).await;
    let mut watching = Watching::synced(&ana, Watch::new().filter(Filter::new().workflow("shared"))).await;
    let (first, asked) = ask(&ana, "shared", &ask_input("Pay", "user:req")).await;
    watching.upserted("the first", |approval| approval.id == asked.id).await;

    // It used the one that was named first.
    one.kill();
    ana.decide(Decide::approve(&asked.id)).await.unwrap();
    watching.removed(&asked.id).await;
    assert_eq!(ended(&ana, &first).await.status(), ExecutionStatus::Succeeded);
    let (second, asked) = ask(&ana, "shared", &ask_input("Pay again", "user:req")).await;
    watching.upserted("the second", |approval| approval.id == asked.id).await;

    one.start().await;
    other.kill();
    // What is only read is asked for once more, too.
    assert_eq!(ana.get(&asked.id).await.unwrap().id, asked.id);
    ana.decide(Decide::approve(&asked.id)).await.unwrap();
    watching.removed(&asked.id).await;
    assert_eq!(ended(&ana, &second).await.status(), ExecutionStatus::Succeeded);
    // Nothing was told twice: it went on from its token.
    let told = |id: &str| watching.events.iter().filter(|event| format!("{event:?}").contains(id)).count();
    assert!(told(&asked.id) <= 3, "{:?}", watching.events);

    // The CLI takes the one that answers, and whoever connects anew does as well.
    let cli = Cli::new(&format!("{},{}", other.url(), one.url()), "ana", one.folder());
    assert_eq!(cli.json(&["show", &asked.id]).await["status"], "approved");
    let late = Client::connect(Config::new(format!("{},{}", other.url(), one.url())).credentials(me)).await.unwrap();
    start(&late, "shared", &ask_input("Pay at last", "user:req")).await;
    other.start().await;
}
