//! What callers may do: every call of the API, and what somebody learns of what they may not see.

use approve_client::{
    Client, CreateToken, Decide, Filter, List, Reason, StartExecution, Watch,
    proto::{
        Approval, DecideRequest, Decision, ExecutionStatus, GetApprovalRequest, Grant, Permission,
        StreamPendingApprovalsRequest,
    },
};
use approve_tests::{
    SecureServer,
    approvals::{Watching, ask, start},
    secure::{error_info, with_metadata},
    workflows::{ASK, apply, ask_input, spec},
};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_prost::ProstCodec;

/// Roles that are limited to workflows and labels.
const ROLES: &str = r#"
[[role]]
name = "pay approvers"
members = ["group:pay"]
permissions = ["view", "decide"]
workflows = ["pay"]

[[role]]
name = "all production"
members = ["group:prod"]
permissions = ["view"]
labels = { env = "prod" }

[[role]]
name = "starters of pay"
members = ["group:pay-start"]
permissions = ["start"]
workflows = ["pa*"]

[[role]]
name = "provisioners of pay"
members = ["group:pay-provision"]
permissions = ["provision"]
workflows = ["pay", "pay-*"]

[[role]]
name = "auditors of pay"
members = ["group:pay-audit"]
permissions = ["view", "audit"]
workflows = ["pay"]

[[role]]
name = "token makers"
members = ["group:makers"]
permissions = ["operate", "view"]

[[role]]
name = "nothing in particular"
members = ["anyone"]
permissions = ["view"]
workflows = ["no-such-workflow"]
"#;

/// For tests that call more often than people do.
const UNLIMITED: &str = "[limits]\nrequests_per_second = 10000\nburst = 10000\nlogins_per_second = 10000\n";

/// Every method of the API: its path.
fn methods() -> Vec<String> {
    let set = FileDescriptorSet::decode(approve_proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut paths = Vec::new();
    for file in set.file.iter().filter(|file| file.package() == "approve.v1") {
        for service in &file.service {
            let path = |name: &str| format!("/approve.v1.{}/{name}", service.name());
            paths.extend(service.method.iter().map(|method| path(method.name())));
        }
    }
    assert!(paths.len() >= 20, "{paths:?}");
    paths
}

/// Calls a method with an empty message, whatever it is.
async fn call(channel: &Channel, path: &str, request: Request<()>) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path: PathAndQuery = path.parse().unwrap();
    let codec: ProstCodec<(), ()> = ProstCodec::default();
    let mut stream = grpc.server_streaming(request, path, codec).await?.into_inner();
    stream.message().await.map(drop)
}

#[tokio::test]
async fn every_call_needs_a_caller_and_all_but_three_a_permission() {
    let server = SecureServer::start("").await;
    let channel = server.channel(None).await.unwrap();
    let authorization = format!("Bearer {}", server.issuer.token("nobody", &["nothing"]));
    for path in methods() {
        let status = call(&channel, &path, Request::new(())).await.expect_err(&path);
        assert_eq!(
            (status.code(), error_info(&status).reason.as_str()),
            (Code::Unauthenticated, "UNAUTHENTICATED"),
            "{path}"
        );
        let answer = call(&channel, &path, with_metadata((), &[("authorization", &authorization)])).await;
        if path.ends_with("/GetCaller") || path.ends_with("/GetServerInfo") {
            answer.unwrap();
            continue;
        }
        let status = answer.expect_err(&path);
        if path.ends_with("/CheckRule") {
            assert_eq!(status.code(), Code::InvalidArgument, "{path}: {status:?}");
            continue;
        }
        assert_eq!(
            (status.code(), error_info(&status).reason.as_str()),
            (Code::PermissionDenied, "PERMISSION_MISSING"),
            "{path}"
        );
        assert!(error_info(&status).metadata.contains_key("permission"), "{path}");
    }
}

/// A server with an approval in the workflow `pay`, one in `ship`, and one in `ship` with the label `env=prod`.
struct World {
    server: SecureServer,
    admin: Client,
    pay: Approval,
    ship: Approval,
    ship_prod: Approval,
    ship_execution: String,
}

impl World {
    async fn new() -> Self {
        let server = SecureServer::start(&format!("{ROLES}\n{UNLIMITED}")).await;
        let admin = server.admin().await;
        apply(&admin, spec("pay", ASK)).await;
        apply(&admin, spec("ship", ASK)).await;
        let (_, pay) = ask(&admin, "pay", &ask_input("pay it", "user:req")).await;
        let (ship_execution, ship) = ask(&admin, "ship", &ask_input("ship it", "user:req")).await;
        let labeled =
            ask_input("ship it to production", "user:req").replace(r#"{"team":"billing"}"#, r#"{"env":"prod"}"#);
        assert!(labeled.contains("prod\"}"), "{labeled}");
        let mut watching = Watching::synced(&admin, Watch::new().filter(Filter::new().workflow("ship"))).await;
        start(&admin, "ship", &labeled).await;
        let ship_prod = watching.upserted("the labeled one", |approval| approval.labels.contains_key("env")).await;
        Self { server, admin, pay, ship, ship_prod, ship_execution }
    }

    async fn ids(&self, client: &Client) -> Vec<String> {
        let listed = client.list(List::new()).await.unwrap();
        let mut ids: Vec<_> = listed.approvals.into_iter().map(|approval| approval.id).collect();
        let watching = Watching::synced(client, Watch::new()).await;
        let mut watched: Vec<_> = watching.view.iter().map(|approval| approval.id.clone()).collect();
        ids.sort();
        watched.sort();
        assert_eq!(ids, watched, "a list and a watch differ");
        ids
    }
}

fn sorted(mut ids: Vec<&str>) -> Vec<&str> {
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn callers_see_their_workflows_and_labels_and_nothing_else() {
    let world = World::new().await;
    let all = sorted(vec![&world.pay.id, &world.ship.id, &world.ship_prod.id]);
    assert_eq!(world.ids(&world.admin).await, all);
    let of_pay = world.server.client("ana", &["pay"]).await;
    assert_eq!(world.ids(&of_pay).await, [world.pay.id.as_str()]);
    let of_prod = world.server.client("ben", &["prod"]).await;
    assert_eq!(world.ids(&of_prod).await, [world.ship_prod.id.as_str()]);
    let both = world.server.client("cyd", &["prod", "pay"]).await;
    assert_eq!(world.ids(&both).await, sorted(vec![&world.pay.id, &world.ship_prod.id]));
    let nobody = world.server.client("dan", &["other"]).await;
    assert_eq!(world.ids(&nobody).await, [""; 0]);
    // A filter for what is not seen finds nothing.
    let filter = Filter::new().workflow("ship");
    assert!(of_pay.list(List::new().filter(filter)).await.unwrap().approvals.is_empty());
    // The others' changes do not reach a watch.
    let mut watching = Watching::synced(&of_pay, Watch::new()).await;
    world.admin.decide(Decide::approve(&world.ship.id)).await.unwrap();
    world.admin.decide(Decide::approve(&world.pay.id)).await.unwrap();
    watching.removed(&world.pay.id).await;
    assert!(
        !watching.events.iter().any(|event| format!("{event:?}").contains(&world.ship.id)),
        "{:?}",
        watching.events
    );
}

#[tokio::test]
async fn what_is_not_seen_and_what_is_not_there_are_the_same() {
    let world = World::new().await;
    let channel = world.server.channel(None).await.unwrap();
    let authorization = format!("Bearer {}", world.server.issuer.token("ana", &["pay", "makers-of-nothing"]));
    let operator = format!("Bearer {}", world.server.issuer.token("ana", &["pay", "pay-audit"]));
    let unknown = "apr_01zzzzzzzzzzzzzzzzzzzzzzzz";
    let hidden = world.ship.id.clone();
    let prefix = |id: &str| id[..id.len() - 1].to_owned();
    let without_id = ["StreamPendingApprovals", "ListApprovals", "CheckRule"];
    let in_approvals =
        |path: &String| path.contains("ApprovalService/") && !without_id.iter().any(|name| path.ends_with(name));
    let mut compared = 0;
    for path in methods().into_iter().filter(in_approvals) {
        for (hidden, unknown) in [(hidden.clone(), unknown.to_owned()), (prefix(&hidden), prefix(unknown))] {
            for authorization in [&authorization, &operator] {
                let mut answers = Vec::new();
                for id in [&hidden, &unknown] {
                    let mut request = with_metadata(ById::new(id), &[("authorization", authorization)]);
                    request.set_timeout(std::time::Duration::from_secs(30));
                    let mut grpc = tonic::client::Grpc::new(channel.clone());
                    grpc.ready().await.unwrap();
                    let codec: ProstCodec<ById, ()> = ProstCodec::default();
                    let Err(status) = grpc.unary(request, path.parse().unwrap(), codec).await else { continue };
                    let details = String::from_utf8_lossy(status.details()).replace(id.as_str(), "<id>");
                    let length = status.details().len();
                    answers.push((status.code(), status.message().replace(id.as_str(), "<id>"), details, length));
                }
                if let [one, two] = answers.as_slice() {
                    assert_eq!(one, two, "{path}");
                    compared += usize::from(one.0 == Code::NotFound);
                }
            }
        }
    }
    assert!(compared >= 10, "only {compared} calls said NOT_FOUND");
}

/// A message whose first field is an id, as most requests of the service are, with a decision and a reason.
#[derive(Clone, PartialEq, prost::Message)]
struct ById {
    #[prost(string, tag = "1")]
    id: String,
}

impl ById {
    fn new(id: &str) -> Self {
        Self { id: id.to_owned() }
    }
}

#[tokio::test]
async fn how_long_an_answer_takes_says_nothing() {
    // Printed, not asserted: a machine that does other things is no failure. Run with --nocapture.
    let world = World::new().await;
    let mut approvals = world.server.raw_approvals().await;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..150 {
        for (at, id) in [world.ship.id.as_str(), "apr_01zzzzzzzzzzzzzzzzzzzzzzzz"].into_iter().enumerate() {
            let request = world.server.request("ana", &["pay"], GetApprovalRequest { approval_id: id.to_owned() });
            let begun = std::time::Instant::now();
            let status = approvals.get_approval(request).await.unwrap_err();
            times[at].push(begun.elapsed());
            assert_eq!(status.code(), Code::NotFound);
        }
    }
    for (what, times) in ["not seen", "not there"].iter().zip(&mut times) {
        times.sort_unstable();
        println!("{what}: median {:?}, 10% {:?}, 90% {:?}", times[75], times[15], times[135]);
    }
}

#[tokio::test]
async fn whoever_only_sees_does_not_decide() {
    let world = World::new().await;
    let of_prod = world.server.client("ben", &["prod"]).await;
    let refused = of_prod.decide(Decide::approve(&world.ship_prod.id)).await.unwrap_err();
    assert_eq!(refused.reason(), Some(&Reason::PermissionMissing), "{refused:?}");
    assert_eq!(of_prod.get(&world.ship_prod.id).await.unwrap().votes.len(), 0);
    let request = |groups: &[&str], id: &str| {
        let decide = DecideRequest {
            approval_id: id.to_owned(),
            decision: Decision::Approve.into(),
            ..DecideRequest::default()
        };
        world.server.request("ben", groups, decide)
    };
    let mut raw = world.server.raw_approvals().await;
    // With the permission to decide elsewhere alone, and to see here.
    let status = raw.decide(request(&["prod", "pay"], &world.ship_prod.id)).await.unwrap_err();
    assert_eq!(error_info(&status).reason, "PERMISSION_MISSING");
    assert_eq!(error_info(&status).metadata["permission"], "decide");
    raw.decide(request(&["pay"], &world.pay.id)).await.unwrap();
}

#[tokio::test]
async fn a_stream_can_not_be_resumed_by_somebody_who_sees_other_things() {
    let world = World::new().await;
    let watching = Watching::synced(&world.admin, Watch::new()).await;
    let message =
        StreamPendingApprovalsRequest { resume_token: watching.resume_token().to_owned(), ..Default::default() };
    let request = world.server.request("ana", &["pay"], message);
    let status = world.server.raw_approvals().await.stream_pending_approvals(request).await.unwrap_err();
    assert_eq!(error_info(&status).reason, "RESUME_TOKEN_INVALID");
}

#[tokio::test]
async fn workflows_and_executions_have_their_permissions() {
    let world = World::new().await;
    let reason = |error: approve_client::Error| error.reason().cloned();
    let starter = world.server.client("sue", &["pay-start"]).await;
    let names: Vec<_> = starter.list_workflows().await.unwrap().into_iter().map(|workflow| workflow.name).collect();
    assert_eq!(names, ["pay"]);
    let execution = start(&starter, "", &ask_input("once more", "user:req")).await;
    assert!(starter.get_execution(&execution, "").await.is_ok());
    let hidden = starter.start_execution(StartExecution::new().workflow("ship")).await.unwrap_err();
    let missing = starter.start_execution(StartExecution::new().workflow("nothing")).await.unwrap_err();
    assert_eq!(hidden.to_string().replace("ship", "nothing"), missing.to_string());
    assert_eq!(reason(hidden), Some(Reason::WorkflowNotFound));
    let execution = starter.get_execution(&world.ship_execution, "").await.unwrap_err();
    assert_eq!(reason(execution), Some(Reason::ExecutionNotFound));
    assert_eq!(reason(starter.get(&world.pay.id).await.unwrap_err()), Some(Reason::ApprovalNotFound));

    let viewer = world.server.client("ana", &["pay"]).await;
    let refused = viewer.start_execution(StartExecution::new().workflow("pay")).await.unwrap_err();
    assert_eq!(reason(refused), Some(Reason::PermissionMissing));
    let refused = viewer.destroy_workflow("pay", true).await.unwrap_err();
    assert_eq!(reason(refused), Some(Reason::PermissionMissing));
    // What is seen by labels alone is not the workflow.
    let of_prod = world.server.client("ben", &["prod"]).await;
    assert!(of_prod.list_workflows().await.unwrap().is_empty());
    assert_eq!(
        reason(of_prod.get_execution(&world.ship_execution, "").await.unwrap_err()),
        Some(Reason::ExecutionNotFound)
    );

    let provisioner = world.server.client("pat", &["pay-provision"]).await;
    apply(&provisioner, spec("pay-more", ASK)).await;
    let refused = provisioner.destroy_workflow("ship", true).await.unwrap_err();
    assert_eq!(reason(refused), Some(Reason::WorkflowNotFound));
    provisioner.destroy_workflow("pay-more", true).await.unwrap();
    let execution = world.admin.get_execution(&world.ship_execution, "").await.unwrap();
    assert_eq!(execution.status(), ExecutionStatus::Running, "it was touched");
}

#[tokio::test]
async fn whoever_provisions_some_workflows_takes_nothing_of_the_others() {
    use approve_client::proto::{ApplyWorkflowRequest, ListWorkflowsRequest};
    let world = World::new().await;
    let mut raw = world.server.raw_workflows().await;
    let mut apply = async |name: &str, activity: &str, adopt: bool| -> Result<(), Status> {
        let mut spec = spec(name, ASK);
        spec.activity_name = activity.to_owned();
        let request = ApplyWorkflowRequest { spec: Some(spec), adopt, replace: false, force: false };
        let mut steps =
            raw.apply_workflow(world.server.request("pat", &["pay-provision"], request)).await?.into_inner();
        while steps.message().await?.is_some() {}
        Ok(())
    };
    assert_eq!(error_info(&apply("ship", "", false).await.unwrap_err()).reason, "PERMISSION_MISSING");
    assert_eq!(error_info(&apply("brand-new", "", false).await.unwrap_err()).reason, "PERMISSION_MISSING");
    // Another workflow's activity under a name that one may use.
    assert_eq!(error_info(&apply("pay-x", "ship-activity", false).await.unwrap_err()).reason, "NOT_OWNED");
    assert_eq!(error_info(&apply("pay-x", "ship-activity", true).await.unwrap_err()).reason, "PERMISSION_MISSING");
    let request = world.server.request("root", &["admins"], ListWorkflowsRequest {});
    let workflows = world.server.raw_workflows().await.list_workflows(request).await.unwrap().into_inner().workflows;
    let ship = workflows.iter().find(|workflow| workflow.name == "ship").unwrap();
    assert!(ship.activity_arn.ends_with("ship-activity"));
}

#[tokio::test]
async fn a_token_gets_no_more_than_its_maker_has() {
    let world = World::new().await;
    let maker = world.server.client("mia", &["makers"]).await;
    let grant = |permission: Permission, workflows: &[&str]| Grant {
        permissions: vec![permission.into()],
        workflows: workflows.iter().map(|name| (*name).to_owned()).collect(),
        ..Grant::default()
    };
    for (name, wanted) in [("a", Permission::Decide), ("b", Permission::ActOnBehalf), ("c", Permission::Provision)] {
        let refused = maker.create_token(CreateToken::new(name).grant(grant(wanted, &["pay"]))).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(
            refused.to_string().contains("you do not have it") || format!("{refused:?}").contains("grants[0]"),
            "{refused:?}"
        );
    }
    let made = maker.create_token(CreateToken::new("ok").grant(grant(Permission::View, &["pa*"]))).await.unwrap();
    let narrow = world.server.client_with(made.secret.expose()).await;
    assert_eq!(world.ids(&narrow).await, [world.pay.id.as_str()]);
    let refused =
        narrow.create_token(CreateToken::new("more").grant(grant(Permission::View, &["pay"]))).await.unwrap_err();
    assert_eq!(refused.reason(), Some(&Reason::PermissionMissing));
    // An auditor of one workflow reads that one's record.
    let auditor = world.server.client("aud", &["pay-audit"]).await;
    let events = |workflow: &str| approve_client::Events::new().workflow(workflow);
    assert!(!auditor.events(events("pay")).await.unwrap().events.is_empty());
    for other in ["ship", ""] {
        let refused = auditor.events(events(other)).await.unwrap_err();
        assert_eq!(refused.reason(), Some(&Reason::PermissionMissing), "{other}");
    }
}

#[tokio::test]
async fn a_service_acts_for_a_person_where_it_may() {
    let roles = r#"
[[role]]
name = "bot"
members = ["service:bot"]
permissions = ["view", "decide"]

[[role]]
name = "bot for people"
members = ["service:bot"]
permissions = ["act_on_behalf"]
workflows = ["pay"]
"#;
    let server = SecureServer::start(roles).await;
    let admin = server.admin().await;
    apply(&admin, spec("pay", ASK)).await;
    apply(&admin, spec("ship", ASK)).await;
    let (_, pay) = ask(&admin, "pay", &ask_input("pay it", "user:req")).await;
    let (_, ship) = ask(&admin, "ship", &ask_input("ship it", "user:req")).await;
    let bot = server.authority.client("spiffe://test/bot");
    let mut raw = approve_proto::v1::approval_service_client::ApprovalServiceClient::new(
        server.channel(Some(&bot)).await.unwrap(),
    );
    let decide = |id: &str| DecideRequest {
        approval_id: id.to_owned(),
        decision: Decision::Approve.into(),
        ..DecideRequest::default()
    };
    let for_ana = [("approve-on-behalf-of", "user:ana"), ("approve-groups", "finance")];
    let caller = server.caller(Some(&bot), &for_ana).await.unwrap();
    assert_eq!((caller.principal.as_str(), caller.authenticated_as.as_str()), ("user:ana", "service:bot"));
    assert_eq!(caller.groups, ["group:finance"]);

    // For a person only where it may act for people: elsewhere there is nothing.
    let status = raw.decide(with_metadata(decide(&ship.id), &for_ana)).await.unwrap_err();
    assert_eq!(error_info(&status).reason, "APPROVAL_NOT_FOUND");
    let decided = raw.decide(with_metadata(decide(&pay.id), &for_ana)).await.unwrap().into_inner().approval.unwrap();
    let vote = &decided.votes[0];
    assert_eq!((vote.voter.as_str(), vote.cast_by.as_str()), ("user:ana", "service:bot"));
    raw.decide(Request::new(decide(&ship.id))).await.unwrap();

    for whom in ["group:finance", "service:other", "service:bot", "system:expiry", "", "user:system:expiry"] {
        let metadata = [("approve-on-behalf-of", whom)];
        let status = server.caller(Some(&bot), &metadata).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{whom}");
    }
    let ana = format!("Bearer {}", server.issuer.token("ana", &["admins"]));
    let metadata = [("authorization", ana.as_str()), ("approve-on-behalf-of", "user:bob")];
    let status = server.caller(None, &metadata).await.unwrap_err();
    assert_eq!(error_info(&status).reason, "PERMISSION_MISSING");
    assert_eq!(error_info(&status).metadata["permission"], "act_on_behalf");
}
