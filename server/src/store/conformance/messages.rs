//! Messages to the world outside.

use super::{Bed, created, head, seconds, task};
use crate::store::{
    SharedStore,
    messages::{Revived, Told, Unsent, UnsentQuery},
};

fn message(id: &str, target: &str, second: Option<i64>) -> Unsent {
    Unsent {
        id: id.to_owned(),
        target: target.to_owned(),
        approval: crate::approval::ApprovalId::from_uuid(super::uuid(1)),
        notice: r#"{"title":"a\u0000b"}"#.to_owned(),
        attempts: 1,
        error: "it answered with status 503".to_owned(),
        created: seconds(0),
        due: second.map(seconds),
    }
}

fn unsent(revision: i64, unsent: &[Unsent]) -> Told {
    Told { revision, unsent: unsent.to_vec(), sent: Vec::new() }
}

async fn all(store: &SharedStore) -> Vec<Unsent> {
    store.unsent(UnsentQuery { limit: 100, ..UnsentQuery::default() }).await.unwrap()
}

pub(crate) async fn a_target_is_told_what_comes_after_it(bed: &dyn Bed) {
    let store = bed.open().await;
    created(&store, task(1)).await;
    let first = head(&store);
    assert_eq!(store.take_target("hook").await.unwrap(), Some(first), "it is told the past");
    created(&store, task(2)).await;
    assert_eq!(store.take_target("hook").await.unwrap(), Some(first));
    assert!(store.note_told("hook", unsent(first + 1, &[])).await.unwrap());
    assert!(store.note_told("hook", unsent(first, &[])).await.unwrap());
    assert_eq!(store.take_target("hook").await.unwrap(), Some(first + 1), "it went back");
    assert_eq!(store.take_target("mail").await.unwrap(), Some(first + 1));
    assert_eq!(head(&store), first + 1, "what is noted of messages is no event");
    drop(store);
    let store = bed.open().await;
    assert_eq!(store.take_target("hook").await.unwrap(), Some(first + 1));
}

pub(crate) async fn what_was_not_sent_is_kept_until_it_is(bed: &dyn Bed) {
    let store = bed.open().await;
    store.take_target("hook").await.unwrap();
    store.take_target("mail").await.unwrap();
    let (one, two, other) =
        (message("1", "hook", Some(5)), message("2", "hook", Some(3)), message("3", "mail", Some(1)));
    assert!(store.note_told("hook", unsent(0, &[one.clone(), two.clone()])).await.unwrap());
    assert!(store.note_told("mail", unsent(0, std::slice::from_ref(&other))).await.unwrap());

    let due = store.due_unsent("hook", seconds(4), 10).await.unwrap();
    assert_eq!((due.items, due.next), (vec![two.clone()], one.due));
    let due = store.due_unsent("hook", seconds(9), 1).await.unwrap();
    assert_eq!((due.items, due.next), (vec![two.clone()], one.due), "more than was asked for");
    let due = store.due_unsent("hook", seconds(9), 10).await.unwrap();
    assert_eq!((due.items, due.next), (vec![two.clone(), one.clone()], None));
    assert_eq!(store.due_unsent("nobody", seconds(9), 10).await.unwrap().items, []);

    let again = Unsent { attempts: 2, error: "refused".to_owned(), due: Some(seconds(20)), ..one };
    let told = Told { revision: 0, unsent: vec![again.clone()], sent: vec![two.id] };
    assert!(store.note_told("hook", told).await.unwrap());
    drop(store);
    assert_eq!(all(&bed.open().await).await, [again, other]);
}

pub(crate) async fn dead_letters_are_found_and_tried_again(bed: &dyn Bed) {
    let store = bed.open().await;
    store.take_target("hook").await.unwrap();
    store.take_target("mail").await.unwrap();
    let hook = [message("1", "hook", None), message("2", "hook", Some(3)), message("3", "hook", None)];
    let mail = [message("4", "mail", None), message("5", "mail", None)];
    assert!(store.note_told("hook", unsent(0, &hook)).await.unwrap());
    assert!(store.note_told("mail", unsent(0, &mail)).await.unwrap());
    let ids = async |query: UnsentQuery| {
        let found = store.unsent(query).await.unwrap();
        found.into_iter().map(|message| message.id).collect::<Vec<_>>().concat()
    };
    let dead = UnsentQuery { dead: true, limit: 10, ..UnsentQuery::default() };
    assert_eq!(ids(dead.clone()).await, "1345");
    assert_eq!(ids(UnsentQuery { target: Some("hook".to_owned()), ..dead.clone() }).await, "13");
    assert_eq!(ids(UnsentQuery { after: Some("1".to_owned()), limit: 2, ..dead.clone() }).await, "34");
    assert_eq!(ids(UnsentQuery { dead: false, target: Some("hook".to_owned()), ..dead.clone() }).await, "123");

    let revive = async |which| store.revive_unsent(which, seconds(7)).await.unwrap();
    assert_eq!(revive(Revived::Ids(vec!["1".to_owned(), "2".to_owned(), "9".to_owned()])).await, 1);
    let due = store.due_unsent("hook", seconds(7), 10).await.unwrap().items;
    assert_eq!(due, [hook[1].clone(), Unsent { due: Some(seconds(7)), ..hook[0].clone() }]);
    assert_eq!(revive(Revived::Target("hook".to_owned())).await, 1);
    assert_eq!(ids(dead.clone()).await, "45");
    assert_eq!(revive(Revived::All).await, 2);
    assert_eq!(ids(dead).await, "");
}

pub(crate) async fn what_is_old_or_too_much_is_forgotten(bed: &dyn Bed) {
    let store = bed.open().await;
    for target in ["hook", "mail"] {
        store.take_target(target).await.unwrap();
    }
    let tried = |id, target, due, second| Unsent { created: seconds(second), ..message(id, target, due) };
    let hook = [
        tried("1", "hook", None, 10),
        tried("2", "hook", None, 40),
        tried("3", "hook", None, 30),
        tried("4", "hook", None, 20),
        tried("5", "hook", Some(60), 15),
    ];
    let mail = [tried("6", "mail", None, 11), tried("7", "mail", Some(60), 5), tried("8", "mail", None, 9)];
    assert!(store.note_told("hook", unsent(0, &hook)).await.unwrap());
    assert!(store.note_told("mail", unsent(0, &mail)).await.unwrap());
    let ids = async || all(&store).await.into_iter().map(|message| message.id).collect::<Vec<_>>().concat();

    assert_eq!(store.forget_unsent(seconds(0), 4).await.unwrap(), 0);
    assert_eq!(ids().await, "12345678");
    // Old ones, whether they were given up or wait; not what is as old as that.
    assert_eq!(store.forget_unsent(seconds(10), 4).await.unwrap(), 2);
    assert_eq!(ids().await, "123456");
    // Each target has its own newest ones; what is to be tried again is none of them.
    assert_eq!(store.forget_unsent(seconds(0), 2).await.unwrap(), 2);
    assert_eq!(ids().await, "2356");
}
