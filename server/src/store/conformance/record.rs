//! The record of what happened: what it says, that its chain holds, and who finds what in it.

use serde_json::{Value, json as value};

use super::*;
use crate::{
    approval::Status,
    audit::{AdminEvent, MAX_TOLD},
    store::EventPage,
};

async fn try_it(store: &SharedStore, on: &Approval, command: Command, origin: Origin, at: Timestamp) -> Executed {
    store.execute(&on.id, command, origin, at, None).await.unwrap()
}

async fn last(store: &SharedStore) -> Value {
    json(record(store, 100).await.last().unwrap())
}

fn started(number: u32) -> AdminEvent {
    AdminEvent::ExecutionStarted { execution_arn: format!("arn:{number}"), input_sha256: Hash::of("{}") }
}

pub(crate) async fn each_event_says_who_when_what_and_why(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let voting = approve("ana");
    done_of(try_it(&store, &approval, voting, caller("service:mail", Some("user:ana")), seconds(1)).await);
    let rejection = vote("ana", Decision::Reject);
    done_of(try_it(&store, &approval, rejection, caller("ana", None), seconds(2)).await);
    let lines: Vec<_> = record(&store, 100).await.iter().map(json).collect();
    let keys = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&lines[0]), ["revision", "at", "approval", "workflow", "rule", "by", "via", "type", "detail"]);
    let asked = &lines[0]["detail"];
    assert_eq!(lines[0]["by"], "system:intake");
    assert_eq!((&lines[0]["type"], &asked["title"]), (&value!("requested"), &value!("Pay invoice 1")));
    assert_eq!((&asked["requester"], &asked["source"]["workflow"]), (&value!("user:rita"), &value!("Payments")));
    assert_eq!(asked["input_sha256"], Hash::of(INPUT).to_string());
    assert_eq!(lines[0]["rule"], *approval.request.rule_version);
    assert!(asked["rule"].is_object(), "{asked}");
    let with_address =
        ["revision", "at", "approval", "workflow", "rule", "by", "on_behalf_of", "via", "address", "type", "detail"];
    assert_eq!(keys(&lines[1]), with_address);
    assert_eq!(lines[1]["at"], format!("{:.3}", seconds(1)));
    assert_eq!((&lines[1]["by"], &lines[1]["on_behalf_of"]), (&value!("service:mail"), &value!("user:ana")));
    assert_eq!((&lines[1]["via"], &lines[1]["address"]), (&value!("certificate"), &value!("192.0.2.7:4711")));
    assert_eq!(lines[1]["detail"]["vote"]["comment"], "fine");
    assert_eq!(lines[2]["detail"]["replaced"]["decision"], "approve");
    assert_eq!((&lines[3]["type"], &lines[3]["by"]), (&value!("rejected"), &value!("user:ana")));
    assert!(lines.iter().all(|line| line["approval"] == approval.id.as_str()));
}

pub(crate) async fn the_chain_holds_and_is_what_was_written(bed: &dyn Bed) {
    let store = bed.open().await;
    assert_eq!(store.chain_head().await.unwrap(), crate::audit::ChainHead::START);
    let approval = created(&store, task(1)).await;
    done(&store, &approval, approve("ana"), seconds(1)).await;
    let before = record(&store, 100).await;
    assert_eq!(record(&store, 1).await, before, "in pieces");
    drop(store);
    let store = bed.open().await;
    done(&store, &approval, approve("bob"), seconds(2)).await;
    let after = record(&store, 100).await;
    assert_eq!(after[..before.len()], before);
    assert_eq!(after.len(), before.len() + 2);
}

pub(crate) async fn payloads_are_beside_the_record(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let mut first = approve("ana");
    let Command::Vote { response, .. } = &mut first else { panic!() };
    *response = Some(r#"{"budget": 1.10}"#.to_owned());
    let mut second = vote("ana", Decision::Reject);
    let Command::Vote { response, .. } = &mut second else { panic!() };
    *response = Some("\"planted\\nsecret\"".to_owned());
    done(&store, &approval, first, seconds(1)).await;
    done(&store, &approval, second, seconds(2)).await;
    let all = record(&store, 100).await;
    let payload = |event: &Recorded, text: &str| {
        assert!(event.record.contains(&Hash::of(text).to_string()), "{}", event.record);
        event.payloads.get(&Hash::of(text).to_string()).is_some_and(|found| found == text)
    };
    assert!(payload(&all[0], INPUT) && payload(&all[0], "As agreed"));
    assert!(payload(&all[1], r#"{"budget": 1.10}"#));
    assert!(payload(&all[2], "\"planted\\nsecret\""));
    for event in &all {
        for payload in ["1200.50", "As agreed", "budget", "planted"] {
            assert!(!event.record.contains(payload), "{}", event.record);
        }
    }
    let range = ExportRange { first: None, last: 100, payloads: false, limit: 100 };
    let Exported::Some { events, .. } = store.export(range).await.unwrap() else { panic!("compacted") };
    assert!(events.iter().all(|event| event.payloads.is_empty()));
}

pub(crate) async fn an_attempt_that_was_refused_is_recorded_and_changes_nothing(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let mut heads = store.head();
    heads.borrow_and_update();
    let rita = caller("rita", None);
    let outcome = try_it(&store, &approval, approve("rita"), rita.clone(), seconds(1)).await;
    assert!(matches!(outcome, Executed::Refused(Refusal::SelfApproval(_))), "{outcome:?}");
    assert_eq!((head(&store), heads.has_changed().unwrap()), (2, true));
    assert_eq!(get(&store, &approval).await, approval);
    let refused = last(&store).await;
    assert_eq!((&refused["type"], &refused["by"]), (&value!("refused"), &value!("user:rita")));
    assert_eq!((&refused["approval"], &refused["workflow"]), (&value!(approval.id.as_str()), &value!("Payments")));
    assert_eq!(refused["detail"], value!({"command": "vote", "decision": "approve", "reason": "SELF_APPROVAL"}));
    // Whoever guesses ids is seen as well, and so is a key that is used twice.
    let nobody: ApprovalId = "apr_00000000000000000000000000".parse().unwrap();
    let outcome = store.execute(&nobody, approve("rita"), rita.clone(), seconds(2), None).await.unwrap();
    assert!(matches!(outcome, Executed::NotFound), "{outcome:?}");
    let refused = last(&store).await;
    assert_eq!((&refused["approval"], &refused["workflow"]), (&value!(nobody.as_str()), &Value::Null));
    assert_eq!(refused["detail"]["reason"], "APPROVAL_NOT_FOUND");
    let voted = store.execute(&approval.id, approve("ana"), rita.clone(), seconds(3), key("web", "k", 1)).await;
    done_of(voted.unwrap());
    let reused = store.execute(&approval.id, approve("bob"), rita, seconds(4), key("web", "k", 2)).await.unwrap();
    assert!(matches!(reused, Executed::KeyReused), "{reused:?}");
    assert_eq!(last(&store).await["detail"]["reason"], "REQUEST_ID_REUSED");
    let decided = done(&store, &approval, approve("bob"), seconds(5)).await;
    assert_eq!((decided.version, decided.revision, decided.status), (3, 7, Status::Approved));
}

pub(crate) async fn repeated_refusals_are_counted(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    for _ in 0..50 {
        try_it(&store, &approval, approve("rita"), caller("rita", None), seconds(1)).await;
    }
    assert_eq!(head(&store), 2);
    // Unlike ones have a record each, up to a bound.
    for number in 0..100 {
        let id = ApprovalId::from_uuid(uuid(1_000 + number));
        store.execute(&id, approve("rita"), caller("rita", None), seconds(2), None).await.unwrap();
    }
    assert_eq!(head(&store), 1 + i64::try_from(MAX_TOLD).unwrap());
    // Somebody else is not hidden behind them.
    let mallory = || caller("mallory", Some("user:rita"));
    try_it(&store, &approval, approve("rita"), mallory(), seconds(3)).await;
    assert_eq!(last(&store).await["by"], "user:mallory");
    try_it(&store, &approval, approve("rita"), mallory(), seconds(4)).await;
    // With the next write after the minute the count is told.
    let before = head(&store);
    done(&store, &approval, approve("ana"), seconds(61)).await;
    let all = record(&store, 100).await;
    let counted = &all[usize::try_from(before).unwrap()..];
    let told = counted.iter().map(json).find(|line| line["type"] == "refused_again").unwrap();
    assert_eq!(told["by"], "user:rita");
    assert_eq!((&told["at"], &told["approval"]), (&value!(format!("{:.3}", seconds(2))), &Value::Null));
    assert_eq!(
        told["detail"],
        value!({
            "since": format!("{:.3}", seconds(1)), "until": format!("{:.3}", seconds(2)),
            "count": 130, "reasons": {"APPROVAL_NOT_FOUND": 81, "SELF_APPROVAL": 49},
        })
    );
    // A new window begins with a record again.
    try_it(&store, &approval, approve("rita"), caller("rita", None), seconds(62)).await;
    assert_eq!(last(&store).await["type"], "refused");
    // What is not told yet is told when the store closes.
    store.close().await.unwrap();
    drop(store);
    let store = bed.open().await;
    let told = last(&store).await;
    assert_eq!((&told["type"], &told["by"]), (&value!("refused_again"), &value!("user:mallory")));
    assert_eq!(told["on_behalf_of"], "user:rita");
    assert_eq!(told["detail"]["count"], 1);
}

pub(crate) async fn what_the_server_can_not_do_is_no_attempt(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    refused(&store, &approval, Command::Timer, seconds(1)).await;
    assert_eq!(head(&store), 1);
}

pub(crate) async fn what_is_of_no_approval_is_recorded(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let payments = Some("Payments".to_owned());
    let ops = || caller("ops", None);
    store.record(ops(), payments.clone(), None, started(1), seconds(1)).await.unwrap();
    let started = last(&store).await;
    assert_eq!((&started["type"], &started["workflow"]), (&value!("execution_started"), &value!("Payments")));
    assert_eq!(started["detail"]["execution_arn"], "arn:1");
    let denied = || AdminEvent::PermissionRefused { method: "Decide".to_owned(), reason: "PERMISSION".to_owned() };
    for _ in 0..3 {
        store.record(ops(), None, Some(approval.id.clone()), denied(), seconds(2)).await.unwrap();
    }
    assert_eq!(head(&store), 3, "refused permissions are counted like any refusal");
    let refused = last(&store).await;
    assert_eq!((&refused["type"], &refused["workflow"]), (&value!("refused"), &value!("Payments")));
    assert_eq!(refused["detail"], value!({"method": "Decide", "reason": "PERMISSION"}));
    // Those who are not known are told apart by their address.
    let unknown = |address: &str| Origin { address: Some(address.to_owned()), ..Origin::system("gate") };
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        let (method, problem) = ("Decide".to_owned(), "expired".to_owned());
        let refused = AdminEvent::AuthenticationRefused { method, problem };
        store.record(unknown(address), None, None, refused, seconds(2)).await.unwrap();
    }
    assert_eq!(head(&store), 5);
    let refused = last(&store).await;
    assert_eq!((&refused["by"], &refused["address"]), (&value!("system:gate"), &value!("192.0.2.2")));
    assert_eq!(refused["detail"], value!({"method": "Decide", "problem": "expired", "reason": "UNAUTHENTICATED"}));
    let stopped = AdminEvent::ServerStopped { version: "1".to_owned() };
    store.record(Origin::system("server"), None, None, stopped, seconds(3)).await.unwrap();
    assert_eq!(last(&store).await["type"], "server_stopped");
    assert_eq!(get(&store, &approval).await, approval);
    assert_eq!(history(&store, &approval.id).await.len(), 2);
}

async fn found(store: &SharedStore, query: EventQuery) -> Vec<Revision> {
    let page = store.events(EventQuery { limit: 100, ..query }).await.unwrap();
    assert_eq!(page.next, None);
    page.events.iter().map(|event| event.revision).collect()
}

pub(crate) async fn events_are_found_by_what_they_are_about(bed: &dyn Bed) {
    let store = bed.open().await;
    let one = created(&store, task(1)).await;
    let two = created(&store, task(2)).await;
    done_of(try_it(&store, &one, approve("ana"), caller("service:mail", Some("user:ana")), seconds(1)).await);
    done_of(try_it(&store, &two, approve("ana"), caller("ana", None), seconds(2)).await);
    done_of(try_it(&store, &two, vote("ana", Decision::Reject), caller("ana", None), seconds(3)).await);
    // A clock that was set back.
    store.record(caller("ops", None), Some("Releases".to_owned()), None, started(1), seconds(1)).await.unwrap();
    let all = EventQuery::default;
    assert_eq!(found(&store, all()).await, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(found(&store, EventQuery { approval: Some(one.id.clone()), ..all() }).await, [3, 1]);
    let actor = |name: &str| EventQuery { actor: Some(name.parse().unwrap()), ..all() };
    assert_eq!(found(&store, actor("user:ana")).await, [6, 5, 4, 3]);
    assert_eq!(found(&store, actor("service:mail")).await, [3]);
    assert_eq!(found(&store, EventQuery { actor: Some(Origin::system("intake").by), ..all() }).await, [2, 1]);
    let mine = EventQuery { approval: Some(two.id.clone()), ..actor("user:ana") };
    assert_eq!(found(&store, mine).await, [6, 5, 4]);
    assert_eq!(found(&store, EventQuery { workflow: Some("Releases".to_owned()), ..all() }).await, [7]);
    let types = vec!["requested".to_owned(), "rejected".to_owned()];
    assert_eq!(found(&store, EventQuery { types, ..all() }).await, [6, 2, 1]);
    let between = |start, end| EventQuery { start: Some(seconds(start)), end: Some(seconds(end)), ..all() };
    assert_eq!(found(&store, between(1, 2)).await, [7, 3]);
    assert_eq!(found(&store, between(2, 9)).await, [6, 5, 4]);
    assert_eq!(found(&store, between(5, 9)).await, Vec::<Revision>::new());
    assert_eq!(found(&store, EventQuery { before: Some(3), ..all() }).await, [2, 1]);
}

pub(crate) async fn pages_of_events_have_no_gaps(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    for second in 0..20 {
        let decision = if second % 2 == 0 { approve("ana") } else { approve("bob") };
        try_it(&store, &approval, decision, caller("ana", None), seconds(second)).await;
        store.record(caller("ops", None), None, None, started(1), seconds(second)).await.unwrap();
    }
    for query in
        [EventQuery::default(), EventQuery { actor: Some("user:ana".parse().unwrap()), ..EventQuery::default() }]
    {
        let all = found(&store, query.clone()).await;
        let (mut paged, mut before) = (Vec::new(), None);
        loop {
            let EventPage { events, next } =
                store.events(EventQuery { limit: 3, before, ..query.clone() }).await.unwrap();
            paged.extend(events.iter().map(|event| event.revision));
            before = next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(paged, all);
    }
}

pub(crate) async fn an_export_is_of_a_range(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    done(&store, &approval, reject(), seconds(1)).await;
    let all = record(&store, 100).await;
    let export = |first, last, limit| {
        let range = ExportRange { first, last, payloads: true, limit };
        let store = store.clone();
        async move {
            let Exported::Some { previous, events } = store.export(range).await.unwrap() else { panic!("compacted") };
            (previous, events)
        }
    };
    assert_eq!(export(None, 2, 100).await, (Hash::ZERO, all[..2].to_vec()));
    assert_eq!(export(Some(2), 3, 100).await, (all[0].hash, all[1..].to_vec()));
    assert_eq!(export(Some(2), 3, 1).await, (all[0].hash, all[1..2].to_vec()));
    assert_eq!(export(Some(3), 2, 100).await.1, []);
    assert_eq!(export(Some(99), 100, 100).await.1, []);
}

pub(crate) async fn watchers_pass_over_what_changes_nothing(bed: &dyn Bed) {
    let store = bed.open().await;
    let one = created(&store, task(1)).await;
    try_it(&store, &one, approve("rita"), caller("rita", None), seconds(1)).await;
    let two = created(&store, task(2)).await;
    store.record(caller("ops", None), None, None, started(1), seconds(1)).await.unwrap();
    assert_eq!(head(&store), 4);
    let told = |after| {
        let store = store.clone();
        async move { changes(&store, after, 10).await.iter().map(|change| change.revision).collect::<Vec<_>>() }
    };
    assert_eq!((told(0).await, told(1).await, told(2).await, told(3).await), (vec![1, 3], vec![3], vec![3], vec![]));
    assert_eq!(told(4).await, Vec::<Revision>::new());
    for as_of in 1..=4 {
        let expected = if as_of < 3 { vec![one.clone()] } else { vec![one.clone(), two.clone()] };
        assert_eq!(pending_at(&store, as_of, 10).await, expected, "as of {as_of}");
    }
    // Nor do they stop a repeat from getting its answer.
    let voted = store.execute(&one.id, approve("ana"), origin(), seconds(2), key("web", "k", 1)).await.unwrap();
    let voted = done_of(voted);
    try_it(&store, &one, approve("rita"), caller("rita", None), seconds(90)).await;
    let again = store.execute(&one.id, approve("ana"), origin(), seconds(91), key("web", "k", 1)).await.unwrap();
    assert_eq!(done_of(again), voted);
}
