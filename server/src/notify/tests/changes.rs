//! Lanes that end, and targets that are others from then on.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use tokio_util::task::TaskTracker;

use super::{
    Rig, hook,
    receiver::{Answer, Receiver},
};
use crate::notify::{Directory, Notifier, Settings, TargetSettings, forget};

fn settings(targets: Vec<TargetSettings>) -> Settings {
    Settings { directory: Directory::default(), targets }
}

/// The ids of all that came, each of which came once.
fn ids(receiver: &Receiver) -> BTreeSet<String> {
    let got = receiver.accepted();
    let ids: BTreeSet<_> = got.iter().map(|request| request.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), got.len(), "one was told twice");
    ids
}

#[tokio::test]
async fn a_stop_begins_nothing_more_and_a_start_goes_on_there() {
    let mut rig = Rig::new();
    let receiver = Receiver::start().await;
    receiver.answer(Answer::Late);
    rig.store.take_target("ops").await.unwrap();
    for _ in 0..10 {
        rig.ask().await;
    }
    rig.start(vec![TargetSettings { concurrency: 1, ..hook("ops", &receiver) }]).await;
    receiver.wait_for(1).await;
    rig.stop.cancel();
    receiver.let_go();
    rig.stop().await;
    assert_eq!(receiver.got().len(), 1, "more was begun");
    assert_eq!(rig.unsent().await, []);
    let mut rig = rig.die().await;
    rig.start(vec![hook("ops", &receiver)]).await;
    receiver.wait_for(10).await;
    rig.stop().await;
    assert_eq!(ids(&receiver).len(), 10);
}

#[tokio::test]
async fn another_place_is_sent_to_once_what_was_under_way_is_finished() {
    let mut rig = Rig::new();
    let (before, after, added) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    before.answer(Answer::Late);
    let tasks = TaskTracker::new();
    let mut notifier = Notifier::new(rig.shared(), tasks.clone(), rig.stop.clone());
    rig.store.take_target("ops").await.unwrap();
    notifier
        .replace(notifier.read(settings(vec![TargetSettings { concurrency: 1, ..hook("ops", &before) }])).unwrap())
        .await;
    for _ in 0..10 {
        rig.ask().await;
    }
    before.wait_for(1).await;

    rig.store.take_target("added").await.unwrap();
    let others = vec![hook("ops", &after), hook("added", &added)];
    notifier.replace(notifier.read(settings(others)).unwrap()).await;
    rig.ask().await;
    added.wait_for(1).await;
    assert!(after.got().is_empty(), "two lanes send to one target");
    before.let_go();
    after.wait_for(10).await;
    assert_eq!((ids(&before).len(), ids(&after).len()), (1, 10));
    assert!(ids(&before).is_disjoint(&ids(&after)), "one was told twice");

    // One that is no target any more gets nothing, and nothing is said of it.
    notifier.replace(notifier.read(settings(vec![hook("added", &added)])).unwrap()).await;
    rig.until("the end of the lane", async || rig.metric("failing", "ops").is_none()).await;
    rig.ask().await;
    added.wait_for(2).await;
    assert_eq!((after.got().len(), rig.metric("queued", "ops")), (10, None));
    rig.stop().await;
    tasks.close();
    tasks.wait().await;
    assert_eq!(ids(&added).len(), 2);
}

#[tokio::test]
async fn a_target_that_can_not_be_used_changes_nothing() {
    let rig = Rig::new();
    let receiver = Receiver::start().await;
    let notifier = Notifier::new(rig.shared(), TaskTracker::new(), rig.stop.clone());
    let mut target = hook("ops", &receiver);
    let crate::notify::ChannelSettings::Webhook { http, .. } = &mut target.channel else { panic!("no webhook") };
    http.roots = Some(rig.folder.path().join("nothing.pem"));
    let refused = notifier.read(settings(vec![target])).err().unwrap();
    assert_eq!(refused.target, "ops");
    rig.stop.cancel();
}

#[tokio::test]
async fn a_dead_letter_is_kept_for_months_and_not_for_ever() {
    let mut rig = Rig::new();
    let receiver = Receiver::start().await;
    receiver.answer(Answer::Status(422));
    rig.start(vec![hook("ops", &receiver)]).await;
    rig.tasks.spawn(forget::run(rig.store.clone(), rig.clock.clone(), rig.stop.clone()));
    rig.ask().await;
    rig.until("the letter", async || rig.unsent().await.iter().any(|letter| letter.due.is_none())).await;
    rig.advance(SignedDuration::from_hours(89 * 24));
    rig.ask().await;
    // The second one is younger.
    rig.until("the second letter", async || {
        rig.unsent().await.iter().filter(|letter| letter.due.is_none()).count() == 2
    })
    .await;
    rig.advance(SignedDuration::from_hours(2 * 24));
    rig.until("the first to go", async || rig.unsent().await.len() == 1).await;
    assert_eq!(receiver.got().len(), 2);
    rig.stop().await;
}
