//! Random histories: whatever happens, a store is what the model is.

use std::collections::BTreeSet;

use proptest::{collection::vec, option, prelude::*, sample::Index, test_runner::TestRunner};

use super::{
    model::{Model, expected_page},
    *,
};
use crate::{
    approval::{
        FieldError, Scope, Status,
        arbitrary::{commands, people, requests, token},
    },
    store::{DeliveryTry, Filter, ListQuery, NextDue, Order},
};

#[derive(Debug, Clone)]
enum Step {
    Admit { token: u32, request: Box<Request>, claim: Claim, sound: bool, heartbeat: Option<i64> },
    Execute { which: Index, command: Command, key: Option<(u8, u8)> },
    Heartbeat { which: Index, token: Option<u32>, after: i64 },
    Detached { which: Index, token: Option<u32>, after: i64 },
    Tried { which: Index, token: Option<u32>, attempts: u32, after: i64 },
    Wait(i64),
}

#[derive(Debug, Clone, Copy)]
enum Claim {
    /// Of the approval that has the identity, as it is.
    Right,
    /// Of any approval.
    Any,
    None,
    Distrusted,
}

fn steps() -> impl Strategy<Value = Step> {
    let claims = prop_oneof![
        4 => Just(Claim::Right), 1 => Just(Claim::Any), 1 => Just(Claim::None), 1 => Just(Claim::Distrusted)
    ];
    let admit = (
        4_u32..40,
        requests(),
        claims,
        prop::bool::weighted(0.9),
        option::of((10_i64..100).prop_map(|third| third * 3)),
    );
    let keys = option::weighted(0.3, (0_u8..3, 0_u8..2));
    prop_oneof![
        6 => admit.prop_map(|(token, request, claim, sound, heartbeat)| Step::Admit {
            token, request: Box::new(request), claim, sound, heartbeat,
        }),
        12 => (any::<Index>(), commands(), keys).prop_map(|(which, command, key)| Step::Execute { which, command, key }),
        // What is done to the task that there is.
        4 => (any::<Index>(), 0_u32..3).prop_map(|(which, what)| Step::Execute { which, command: to_its_own(what), key: None }),
        1 => (any::<Index>(), option::weighted(0.2, 0_u32..9), 0_i64..200)
            .prop_map(|(which, token, after)| Step::Heartbeat { which, token, after }),
        2 => (any::<Index>(), option::weighted(0.2, 0_u32..9), 0_i64..200)
            .prop_map(|(which, token, after)| Step::Detached { which, token, after }),
        1 => (any::<Index>(), option::weighted(0.2, 0_u32..9), 0_u32..3, 0_i64..200)
            .prop_map(|(which, token, attempts, after)| Step::Tried { which, token, attempts, after }),
        2 => prop_oneof![4 => 1_i64..60, 1 => 80_000_i64..100_000].prop_map(Step::Wait),
    ]
}

/// A command to a token that is put in when the approval is known.
fn to_its_own(what: u32) -> Command {
    let own = TaskToken::from(OWN);
    match what {
        0 => Command::Detach { token: own, reason: "closed".to_owned() },
        1 => Command::Delivered { token: own, attempts: 1 },
        _ => Command::Undeliverable { token: own, attempts: 1, reason: "gone".to_owned() },
    }
}

const OWN: &str = "own";

/// Compares stores of `beds` with the model, each with a history of its own.
pub(crate) fn random_histories<B: Bed>(beds: impl Fn() -> B) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    let cases = (vec(steps(), 1..60), any::<u64>(), people());
    let outcome = TestRunner::new(config).run(&cases, |(steps, seed, person)| {
        let bed = beds();
        runtime.block_on(compare(&bed, steps, seed, person));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

async fn compare(bed: &dyn Bed, steps: Vec<Step>, seed: u64, person: Person) {
    let mut store = bed.open().await;
    let mut model = Model::default();
    let mut now = 0;
    let half = steps.len() / 2;
    for (place, step) in steps.into_iter().enumerate() {
        if place == half && seed.is_multiple_of(4) {
            drop(store);
            model.close();
            store = bed.open().await;
        }
        now += 1;
        carry_out(&store, &mut model, step, u32::try_from(place).unwrap(), &mut now).await;
        assert_eq!(head(&store), model.head);
    }
    assert_eq!(record(&store, 7).await.len(), usize::try_from(model.head).unwrap());
    compare_approvals(&store, &model).await;
    compare_log(&store, &model, seed).await;
    compare_due(&store, &model, seconds(now + 40)).await;
    compare_lists(&store, &model, person).await;
}

async fn carry_out(store: &SharedStore, model: &mut Model, step: Step, place: u32, now: &mut i64) {
    let at = seconds(*now);
    let pick = |which: Index, model: &Model| (!model.rows.is_empty()).then(|| which.index(model.rows.len()));
    match step {
        Step::Wait(time) => *now += time,
        Step::Admit { token: number, request, claim, sound, heartbeat } => {
            let identity = request.source.identity();
            let row = match claim {
                Claim::Right => model.rows.iter().find(|row| row.identity.is_some() && row.identity == identity),
                Claim::Any => model.rows.first(),
                Claim::None | Claim::Distrusted => None,
            };
            let checked = row.map(|row| (row.approval.id.clone(), row.approval.task.token.clone()));
            let error = (!sound).then(|| FieldError { field: "approve".to_owned(), problem: "no".to_owned() });
            let admission = Admission {
                // Ids are not always in the order of admission.
                uuid: uuid(if place.is_multiple_of(3) { 1_000 - place } else { place }),
                token: token(number),
                task: TaskInput { request: *request, input: INPUT.into(), attempt: number, error },
                heartbeat: heartbeat.map(SignedDuration::from_secs),
                identity: match claim {
                    Claim::Distrusted => IdentityUse::Distrusted,
                    _ => IdentityUse::Trusted { checked },
                },
                at,
            };
            let expected = model.admit(&admission);
            model.time_is(at);
            match (store.admit(admission).await.unwrap(), expected) {
                (Admitted::Created(found), Admitted::Created(expected))
                | (Admitted::Bound(found), Admitted::Bound(expected))
                | (Admitted::Known(found), Admitted::Known(expected))
                | (Admitted::Check(found), Admitted::Check(expected)) => assert_eq!(found, expected),
                (found, expected) => panic!("{found:?} where {expected:?} was expected"),
            }
        }
        Step::Execute { which, mut command, key: with } => {
            let Some(row) = pick(which, model) else { return };
            let approval = model.rows[row].approval.clone();
            match &mut command {
                Command::Detach { token, .. }
                | Command::Delivered { token, .. }
                | Command::Undeliverable { token, .. }
                    if token.reveal() == OWN =>
                {
                    *token = approval.task.token;
                }
                _ => {}
            }
            let key = with.and_then(|(id, body)| key("caller", &id.to_string(), body));
            let origin = match place % 3 {
                0 => origin(),
                1 => caller("ana", None),
                _ => caller("service:mail", Some("user:ana")),
            };
            let expected = model.execute(row, &command, &origin, at, key.as_ref());
            model.time_is(at);
            let found = store.execute(&approval.id, command, origin, at, key).await.unwrap();
            match (found, expected) {
                (Executed::Done { approval, revision }, Executed::Done { approval: expected, revision: then }) => {
                    assert_eq!((bare(&approval), revision), (bare(&expected), then));
                }
                (Executed::Refused(found), Executed::Refused(expected)) => assert_eq!(found, expected),
                (Executed::KeyReused, Executed::KeyReused) => {}
                (found, expected) => panic!("{found:?} where {expected:?} was expected"),
            }
        }
        Step::Heartbeat { which, token: other, after } => {
            let Some(next) = next_due(model, which, other, seconds(*now + after)) else { return };
            model.set_heartbeat(&next);
            store.set_heartbeats(vec![next]).await.unwrap();
        }
        Step::Detached { which, token: other, after } => {
            let Some(next) = next_due(model, which, other, seconds(*now + after)) else { return };
            model.set_detached(&next);
            store.set_detached(vec![next]).await.unwrap();
        }
        Step::Tried { which, token: other, attempts, after } => {
            let Some(row) = pick(which, model) else { return };
            let approval = &model.rows[row].approval;
            let token = other.map_or_else(|| approval.task.token.clone(), token);
            let due = seconds(*now + after);
            let tried = DeliveryTry { id: approval.id.clone(), token, attempts, error: "throttled".to_owned(), due };
            model.note_delivery(&tried);
            store.note_deliveries(vec![tried]).await.unwrap();
        }
    }
}

fn next_due(model: &Model, which: Index, other: Option<u32>, due: Timestamp) -> Option<NextDue> {
    let approval = &model.rows.get(which.index(model.rows.len().max(1)))?.approval;
    let token = other.map_or_else(|| approval.task.token.clone(), token);
    Some(NextDue { id: approval.id.clone(), token, due })
}

/// An approval without its tries, which are noted without a change.
fn bare(approval: &Approval) -> Approval {
    let mut bare = approval.clone();
    (bare.delivery.attempts, bare.delivery.last_error) = (0, None);
    bare
}

async fn compare_approvals(store: &SharedStore, model: &Model) {
    for row in &model.rows {
        assert_eq!(*get(store, &row.approval).await, row.approval);
        assert_eq!(history(store, &row.approval.id).await, row.history);
        if let Some(identity) = &row.identity {
            let holder = store.find_identity(identity).await.unwrap().unwrap();
            assert_eq!(holder.id, row.approval.id);
        }
    }
}

async fn compare_log(store: &SharedStore, model: &Model, seed: u64) {
    let piece = usize::try_from(seed % 5 + 1).unwrap();
    let found = changes(store, 0, piece).await;
    assert_eq!(found.len(), model.changes.len());
    for (found, expected) in found.iter().zip(&model.changes) {
        assert_eq!(found.revision, expected.revision);
        assert_eq!(bare(&found.after), bare(&expected.after));
        assert_eq!(found.before.as_deref().map(bare), expected.before.as_deref().map(bare));
    }
    for as_of in [0, model.head / 3, model.head / 2, model.head - model.head / 5, model.head] {
        assert_eq!(pending_at(store, as_of, piece).await, model.pending_at(as_of), "as of {as_of}");
    }
}

async fn compare_due(store: &SharedStore, model: &Model, now: Timestamp) {
    let split = |times: Vec<Timestamp>| {
        let mut times = times;
        times.sort_unstable();
        let due = times.iter().copied().filter(|due| *due <= now).collect::<Vec<_>>();
        (due, times.into_iter().find(|due| *due > now))
    };
    let heartbeats = store.due_heartbeats(now, 1_000).await.unwrap();
    let expected = split(model.rows.iter().filter_map(|row| row.heartbeat_due).collect());
    assert_eq!((heartbeats.items.iter().map(|it| it.due).collect::<Vec<_>>(), heartbeats.next), expected);
    for due in heartbeats.items {
        let row = model.rows.iter().find(|row| row.approval.id == due.id).unwrap();
        assert_eq!((Some(due.due), &due.token), (row.heartbeat_due, &row.approval.task.token));
        assert_eq!(due.heartbeat, row.approval.task.heartbeat);
    }
    let row_of = |approval: &Approval| model.rows.iter().find(|row| row.approval == *approval).unwrap();
    let deliveries = store.due_deliveries(now, 1_000).await.unwrap();
    let found = deliveries.items.iter().map(|approval| row_of(approval).delivery_due.unwrap()).collect();
    let expected = split(model.rows.iter().filter_map(|row| row.delivery_due).collect());
    assert_eq!((found, deliveries.next), expected);
    let detached = store.due_detached(now, 1_000).await.unwrap();
    let found = detached.items.iter().map(|approval| row_of(approval).detached_due.unwrap()).collect();
    let expected = split(model.rows.iter().filter_map(|row| row.detached_due).collect());
    assert_eq!((found, detached.next), expected);
    let expiries = store.due_timers(now, 1_000).await.unwrap();
    let expected = split(model.rows.iter().filter_map(|row| row.approval.timer_due()).collect());
    assert_eq!((expiries.items.len(), expiries.next), (expected.0.len(), expected.1));
}

/// Parts of what approvals are searched by: of each some beginning, some middle and some end, short ones too.
fn texts(all: &[Arc<Approval>]) -> BTreeSet<String> {
    let mut texts = BTreeSet::from(["\0".to_owned(), "\"%_\\".to_owned(), "nowhere".to_owned()]);
    for (number, approval) in all.iter().enumerate().take(12) {
        let request = &approval.request;
        let requester = request.requester.as_ref().map_or("", |who| who.as_str());
        let place = [request.title.as_str(), &request.description, requester, approval.id.as_str()][number % 4];
        let part: Vec<char> = place.chars().collect();
        let length = (number % 7 + 1).min(part.len());
        let from = [0, (part.len() - length) / 2, part.len() - length][number % 3];
        let part: String = part[from..from + length].iter().collect();
        texts.insert(if number % 2 == 0 { part.to_ascii_uppercase() } else { part });
    }
    texts.retain(|text| !text.is_empty());
    texts
}

async fn compare_lists(store: &SharedStore, model: &Model, person: Person) {
    let all = model.approvals();
    let pending = |name: Option<&str>| {
        let of = |approval: &&Arc<Approval>| {
            approval.status == Status::Pending && name.is_none_or(|name| approval.request.source.workflow == name)
        };
        all.iter().filter(of).count() as u64
    };
    assert_eq!(store.count_pending(None).await.unwrap(), pending(None));
    assert_eq!(store.count_pending(Some("Payments")).await.unwrap(), pending(Some("Payments")));
    let labels: Labels = [("env".to_owned(), "prod".to_owned())].into();
    let filters = [
        Filter::default(),
        Filter { awaiting: Some(person), ..Filter::default() },
        Filter { workflow: Some("Payments".to_owned()), labels: labels.clone(), ..Filter::default() },
        Filter { labels: labels.clone(), text: Some("ZüRICH".to_owned()), ..Filter::default() },
    ];
    let texts = texts(&all);
    let texts = texts.into_iter().map(|text| Filter { text: Some(text), ..Filter::default() });
    let scope = Scope { labels, ..Scope::default() };
    let more = [
        Filter { visible: Some(vec![scope.clone()]), ..Filter::default() },
        Filter { visible: Some(vec![scope.clone(), Scope::default()]), ..Filter::default() },
        Filter { visible: Some(vec![scope]), text: Some("inv".to_owned()), ..Filter::default() },
    ];
    for filter in filters.into_iter().chain(texts).chain(more) {
        for statuses in [vec![], vec![Status::Pending], vec![Status::Approved, Status::Canceled, Status::Pending]] {
            for order in [Order::NewestFirst, Order::OldestFirst] {
                let query =
                    ListQuery { filter: filter.clone(), statuses: statuses.clone(), order, after: None, limit: 5 };
                let page = store.list(query.clone()).await.unwrap();
                assert_eq!(page.approvals, expected_page(&all, &query), "{query:?}");
            }
        }
    }
}
