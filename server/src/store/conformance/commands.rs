//! Commands, and the keys that make them safe to repeat.

use futures::future::join_all;

use super::*;
use crate::{
    approval::{Choice, Status, apply},
    store::REQUEST_KEY_LIFE,
};

pub(crate) async fn a_command_does_what_the_domain_says(bed: &dyn Bed) {
    let store = bed.open().await;
    let mut task = task(1);
    task.task.request.rule.expire_after = Some(SignedDuration::from_secs(100));
    let mut approval = created(&store, task).await;
    let token = approval.task.token.clone();
    let steps = [
        (1, vote("ana", Decision::Reject), false),
        (1, approve("ana"), true),
        (2, Command::Detach { token: token.clone(), reason: "closed".to_owned() }, true),
        (3, Command::Bind { token: TaskToken::from("next"), attempt: 1, heartbeat: None }, true),
        (100, Command::Timer, true),
        (101, Command::Delivered { token, attempts: 1 }, false),
        (102, Command::Undeliverable { token: TaskToken::from("next"), attempts: 2, reason: "gone".to_owned() }, true),
    ];
    for (second, command, allowed) in steps {
        // A rejection by one alone would end it here.
        if matches!(&command, Command::Vote { choice: Choice::Plain(Decision::Reject), .. }) {
            continue;
        }
        let at = seconds(second);
        let expected = apply(&approval, &command, at);
        assert_eq!(expected.is_ok(), allowed, "{command:?}");
        match (executed(&store, &approval, command, at).await, expected) {
            (Executed::Done { approval: after, revision }, Ok(mut expected)) => {
                let events = i64::try_from(expected.events.len()).unwrap();
                assert_eq!(revision, approval.revision + events);
                expected.approval.revision = revision;
                assert_eq!(*after, expected.approval);
                assert_eq!(get(&store, &approval).await, after);
                approval = after;
            }
            (Executed::Refused(refusal), Err(expected)) => assert_eq!(refusal, expected),
            (other, expected) => panic!("{other:?} where {expected:?} was expected"),
        }
    }
    let history: Vec<_> = history(&store, &approval.id).await.into_iter().map(|entry| entry.revision).collect();
    assert_eq!(history, (1..=approval.revision).collect::<Vec<_>>());
    let nobody = "apr_00000000000000000000000000".parse().unwrap();
    let outcome = store.execute(&nobody, Command::Timer, origin(), start(), None).await.unwrap();
    assert!(matches!(outcome, Executed::NotFound));
}

pub(crate) async fn what_is_refused_writes_nothing(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let before = history(&store, &approval.id).await;
    let refusal = refused(&store, &approval, approve("rita"), seconds(1)).await;
    assert_eq!(refusal, Refusal::SelfApproval("user:rita".parse().unwrap()));
    assert_eq!(refused(&store, &approval, Command::Timer, seconds(1)).await, Refusal::NothingDue);
    assert_eq!(head(&store), 1);
    assert_eq!(get(&store, &approval).await, approval);
    assert_eq!(history(&store, &approval.id).await, before);
    let after = done(&store, &approval, approve("ana"), seconds(2)).await;
    assert_eq!(after.revision, 2, "revisions have no gaps");
}

pub(crate) async fn what_changes_nothing_writes_nothing(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let voted = done(&store, &approval, approve("ana"), seconds(1)).await;
    let again = done(&store, &approval, approve("ana"), seconds(2)).await;
    assert_eq!(again, voted);
    assert_eq!(head(&store), voted.revision);
}

pub(crate) async fn a_request_key_gives_the_first_answer(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let call = |command, second| store.execute(&approval.id, command, origin(), seconds(second), key("web", "k", 1));
    let first = done_of(call(approve("ana"), 1).await.unwrap());
    let decided = done(&store, &approval, approve("bob"), seconds(2)).await;
    assert_eq!(decided.status, Status::Approved);
    // The vote would be refused now, but it was carried out then.
    let again = done_of(call(approve("ana"), 3).await.unwrap());
    assert_eq!(again, first);
    assert_eq!(again.status, Status::Pending);
    assert_eq!(head(&store), decided.revision);
    // What changed nothing is an answer as well.
    let unchanged =
        store.execute(&approval.id, approve("bob"), origin(), seconds(4), key("web", "l", 2)).await.unwrap();
    assert_eq!(done_of(unchanged), decided);
    let unchanged =
        store.execute(&approval.id, approve("cyd"), origin(), seconds(5), key("web", "l", 2)).await.unwrap();
    assert_eq!(done_of(unchanged), decided);
}

pub(crate) async fn a_request_key_is_for_one_body_and_one_caller(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let other = created(&store, task(2)).await;
    let call = |to: &Arc<Approval>, command, key| {
        let (store, id) = (store.clone(), to.id.clone());
        async move { store.execute(&id, command, origin(), seconds(1), key).await.unwrap() }
    };
    let first = done_of(call(&approval, approve("ana"), key("web", "k", 1)).await);
    let reused = call(&approval, approve("bob"), key("web", "k", 2)).await;
    assert!(matches!(reused, Executed::KeyReused), "{reused:?}");
    let reused = call(&other, approve("ana"), key("web", "k", 1)).await;
    assert!(matches!(reused, Executed::KeyReused), "{reused:?}");
    assert_eq!(get(&store, &approval).await, first);
    assert_eq!(get(&store, &other).await, other);
    let another = done_of(call(&approval, approve("bob"), key("mail", "k", 2)).await);
    assert_eq!(another.votes.len(), 2);
}

pub(crate) async fn only_what_was_done_is_kept_for_a_request_key(bed: &dyn Bed) {
    let store = bed.open().await;
    let mut admission = task(1);
    admission.task.request.rule.expire_after = Some(SignedDuration::from_secs(10));
    let approval = created(&store, admission).await;
    let early = store.execute(&approval.id, Command::Timer, origin(), seconds(9), key("web", "k", 1)).await.unwrap();
    assert!(matches!(early, Executed::Refused(Refusal::NothingDue)), "{early:?}");
    let late = store.execute(&approval.id, Command::Timer, origin(), seconds(10), key("web", "k", 1)).await.unwrap();
    assert_eq!(done_of(late).status, Status::Expired);
    let nobody = "apr_00000000000000000000000000".parse().unwrap();
    let missing = store.execute(&nobody, approve("ana"), origin(), seconds(11), key("web", "l", 1)).await.unwrap();
    assert!(matches!(missing, Executed::NotFound), "{missing:?}");
}

pub(crate) async fn a_request_key_dies_of_age(bed: &dyn Bed) {
    let store = bed.open().await;
    let life = i64::try_from(REQUEST_KEY_LIFE.as_secs()).unwrap();
    let approval = created(&store, task(1)).await;
    let call = |command, at, key| store.execute(&approval.id, command, origin(), at, key);
    done_of(call(approve("ana"), start(), key("web", "k", 1)).await.unwrap());
    let at = seconds(life);
    assert!(matches!(call(reject(), at, key("web", "k", 2)).await.unwrap(), Executed::KeyReused));
    // Others come and make room for themselves, but not of what is young.
    done_of(call(approve("ana"), at, key("web", "other", 3)).await.unwrap());
    assert!(matches!(call(reject(), at, key("web", "k", 2)).await.unwrap(), Executed::KeyReused));
    let at = seconds(life + 1);
    let decided = done_of(call(reject(), at, key("web", "k", 2)).await.unwrap());
    assert_eq!(decided.status, Status::Rejected);
    assert_eq!(done_of(call(reject(), at, key("web", "k", 2)).await.unwrap()), decided);
}

pub(crate) async fn one_request_key_at_once_is_one_vote(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let calls = (0..20).map(|_| store.execute(&approval.id, approve("ana"), origin(), seconds(1), key("web", "k", 1)));
    let answers = join_all(calls).await;
    for answer in answers {
        let answer = done_of(answer.unwrap());
        assert_eq!((answer.votes.len(), answer.revision), (1, 2));
    }
}

pub(crate) async fn concurrent_commands_are_all_kept_in_order(bed: &dyn Bed) {
    let store = bed.open().await;
    let mut admission = task(1);
    admission.task.request.rule.stages[0].required = 40;
    let approval = created(&store, admission).await;
    let names: Vec<_> = (0..60).map(|number| format!("voter-{number}")).collect();
    let calls = names.iter().map(|name| executed(&store, &approval, approve(name), seconds(1)));
    let mut revisions = Vec::new();
    for outcome in join_all(calls).await {
        match outcome {
            Executed::Done { approval, revision } => revisions.push((revision, approval.votes.len())),
            Executed::Refused(Refusal::AlreadyDecided { status, .. }) => assert_eq!(status, Status::Approved),
            other => panic!("{other:?}"),
        }
    }
    revisions.sort_unstable();
    // 39 votes of one event each; the last one is the decision as well.
    let expected: Vec<_> = (2..=40).zip(1..=39).chain([(42, 40)]).collect();
    assert_eq!(revisions, expected);
    let decided = get(&store, &approval).await;
    assert_eq!((decided.status, decided.votes.len()), (Status::Approved, 40));
    let history = history(&store, &approval.id).await;
    assert_eq!(history.last().unwrap().what.kind, "approved");
}
