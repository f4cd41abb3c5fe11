//! What it costs to know who calls and what they may do: processor time of the server per call, as a ratio to a call
//! whose caller is believed.

use std::time::Duration;

use approve_client::CreateToken;
use approve_client::proto::{
    GetApprovalRequest, GetCallerRequest, Grant, Permission, access_service_client::AccessServiceClient,
    approval_service_client::ApprovalServiceClient,
};
use approve_tests::{
    SecureServer,
    approvals::ask,
    issuer::claims,
    secure::with_metadata,
    workflows::{self, ASK, ask_input},
};
use futures::{StreamExt as _, stream};
use tonic::transport::Channel;

use crate::{
    report::Report,
    setup::{Setup, WORKFLOW, processor_time},
};

/// Calls in flight.
const IN_FLIGHT: usize = 16;

/// Nobody is held up while it is measured.
const UNLIMITED: &str = "[limits]\nrequests_per_second = 1000000\nburst = 1000000\nlogins_per_second = 1000000\n";

type Metadata = Vec<(&'static str, String)>;

pub(crate) async fn measure(calls: usize, report: &mut Report) {
    let plain = {
        let mut setup = Setup::start("").await;
        let id = setup.make_pending(1).await.remove(0).id;
        let actor = vec![("approve-actor", "user:ana".to_owned())];
        let channel = setup.server.channel().await;
        let pid = setup.server.process().id();
        Costs::of(pid, &channel, &id, calls, |_| actor.clone()).await
    };
    plain.tell("believed, without TLS", &plain, report);

    let mut server = SecureServer::start(UNLIMITED).await;
    let admin = server.admin().await;
    workflows::apply(&admin, workflows::spec(WORKFLOW, ASK)).await;
    let (_, approval) = ask(&admin, WORKFLOW, &ask_input("Pay invoice 4711", "user:req")).await;
    let grant = Grant { permissions: vec![Permission::View.into()], ..Grant::default() };
    let limited = Grant { workflows: vec![format!("{WORKFLOW}*")], ..grant.clone() };
    let token = admin.create_token(CreateToken::new("bot").grant(grant)).await.unwrap().secret.expose().to_owned();
    let narrow =
        admin.create_token(CreateToken::new("narrow").grant(limited)).await.unwrap().secret.expose().to_owned();
    let pid = server.server.process().id();
    let bearer = |token: &str| vec![("authorization", format!("Bearer {token}"))];
    let channel = server.channel(None).await.unwrap();
    let jwt = server.issuer.token("ana", &["admins"]);
    let fresh: Vec<_> = (0..calls * 11 / 10)
        .map(|at| server.issuer.signer.sign(&claims(&format!("u{at}"), &["admins"], 3_600)))
        .collect();
    let certified = server.authority.client("spiffe://test/bot");
    let with_certificate = server.channel(Some(&certified)).await.unwrap();

    let seen = Costs::of(pid, &channel, &approval.id, calls, |_| bearer(&jwt)).await;
    seen.tell("JWT, over TLS", &plain, report);
    Costs::of(pid, &channel, &approval.id, calls, |_| bearer(&token)).await.tell("API token, over TLS", &plain, report);
    let narrow = Costs::of(pid, &channel, &approval.id, calls, |_| bearer(&narrow)).await;
    narrow.tell("API token for some workflows, over TLS", &plain, report);
    let both = Costs::of(pid, &with_certificate, &approval.id, calls, |_| bearer(&jwt)).await;
    both.tell("JWT and certificate, over TLS", &plain, report);
    let new = Costs::of(pid, &channel, &approval.id, calls, |at| bearer(&fresh[at % fresh.len()])).await;
    new.tell("another JWT each time, over TLS", &plain, report);
}

/// Processor time per call.
struct Costs {
    caller: Duration,
    approval: Duration,
}

impl Costs {
    async fn of(pid: u32, channel: &Channel, id: &str, calls: usize, shown: impl Fn(usize) -> Metadata) -> Self {
        let caller = per_call(pid, calls, |at| {
            let (mut client, metadata) = (AccessServiceClient::new(channel.clone()), shown(at));
            async move { drop(client.get_caller(request(GetCallerRequest {}, &metadata)).await.unwrap()) }
        });
        let caller = caller.await;
        let approval = per_call(pid, calls, |at| {
            let (mut client, metadata) = (ApprovalServiceClient::new(channel.clone()), shown(at));
            let message = GetApprovalRequest { approval_id: id.to_owned() };
            async move { drop(client.get_approval(request(message, &metadata)).await.unwrap()) }
        });
        Self { caller, approval: approval.await }
    }

    fn tell(&self, name: &str, floor: &Self, report: &mut Report) {
        for (call, time, floor) in
            [("GetCaller", self.caller, floor.caller), ("GetApproval", self.approval, floor.approval)]
        {
            report.add(format!("{call}: {name}"), time.as_secs_f64() * 1e6, "µs");
            report.add(format!("{call}: {name}, ratio"), time.as_secs_f64() / floor.as_secs_f64(), "×");
        }
    }
}

/// What a call takes, once what is made on a first call is made.
async fn per_call<C: Future<Output = ()>>(pid: u32, calls: usize, call: impl Fn(usize) -> C) -> Duration {
    stream::iter(calls..calls + calls / 10).for_each_concurrent(IN_FLIGHT, &call).await;
    let before = processor_time(pid);
    stream::iter(0..calls).for_each_concurrent(IN_FLIGHT, &call).await;
    (processor_time(pid) - before) / u32::try_from(calls).unwrap()
}

fn request<T>(message: T, metadata: &[(&'static str, String)]) -> tonic::Request<T> {
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
    with_metadata(message, &metadata)
}
