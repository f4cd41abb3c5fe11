//! Several servers on one database.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::future::{join_all, try_join_all};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    Database,
    proxy::{Loss, Proxy},
    server,
};
use crate::{
    approval::Approval,
    store::{
        Changes, NextDue, Revision, SharedStore, StoreError,
        conformance::{changes, created, done, head, history, origin, record, reject, seconds, task},
        messages::Told,
        postgres::{Options, migrate::NEWEST},
    },
};

/// Waits for what comes within a few seconds.
pub(super) async fn soon<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

async fn stores(database: &Database, options: &[Options]) -> Vec<SharedStore> {
    let opened = join_all(options.iter().map(|options| database.another(options.clone()))).await;
    opened.into_iter().map(|store| Arc::new(store) as SharedStore).collect()
}

/// Follows a store's log from its beginning: each revision it comes to is newer than all before.
async fn follow(store: SharedStore, until: Revision) {
    let mut heads = store.head();
    let (mut last, mut known) = (0, 0);
    while last < until {
        let now = *heads.borrow_and_update();
        assert!(now >= known, "the head went back");
        known = now;
        while last < now {
            let Changes::Some(some) = store.changes_after(last, 7).await.unwrap() else { panic!("compacted") };
            assert!(!some.is_empty(), "the head is at {now}, and nothing is after {last}");
            for change in some {
                // An approval is asked in one event, and decided in two.
                let step = if change.before.is_some() { 2 } else { 1 };
                assert_eq!(change.revision, last + step, "a gap, or one that came late");
                last = change.revision;
            }
        }
        if last < until {
            heads.changed().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn many_writers_of_several_servers_make_one_log() {
    const WRITERS: u32 = 4;
    const ROUNDS: u32 = 12;
    let database = Database::new(Options::default());
    let deaf = Options { listens: false, tail_changes: 0, ..Options::default() };
    let stores = stores(&database, &[Options::default(), Options { batch: 3, ..Options::default() }, deaf]).await;
    let total = Revision::from(3 * WRITERS * ROUNDS * u32::try_from(stores.len()).unwrap());
    let mut tasks = JoinSet::new();
    for (place, store) in (0_u32..).zip(&stores) {
        tasks.spawn(follow(Arc::clone(store), total));
        for writer in 0..WRITERS {
            let store = Arc::clone(store);
            let mut other = stores[(place as usize + 1) % stores.len()].head();
            tasks.spawn(async move {
                for round in 0..ROUNDS {
                    let number = (place * WRITERS + writer) * ROUNDS + round;
                    let approval = created(&store, task(number)).await;
                    let decided = done(&store, &approval, reject(), seconds(1)).await;
                    // Whoever was answered finds it in the head; at other servers a little later.
                    assert!(head(&store) >= decided.revision);
                    soon("the other server", other.wait_for(|head| *head >= decided.revision)).await.unwrap();
                }
            });
        }
    }
    tasks.join_all().await;
    // The chain holds over what all of them wrote.
    assert_eq!(Revision::try_from(record(&stores[1], 50).await.len()).unwrap(), total);
    for store in &stores {
        assert_eq!(changes(store, 0, 100).await.len(), usize::try_from(total / 3 * 2).unwrap());
        assert_eq!(store.count_pending(None).await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_notification_that_is_lost_delays_by_a_second() {
    let database = Database::new(Options::default());
    let deaf = Options { listens: false, ..Options::default() };
    let stores = stores(&database, &[Options::default(), Options::default(), deaf]).await;
    let approval = created(&stores[0], task(1)).await;
    let begun = Instant::now();
    for other in &stores[1..] {
        soon("the change", other.head().wait_for(|head| *head == approval.revision)).await.unwrap();
        assert_eq!(changes(other, 0, 10).await.len(), 1);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn notifications_that_are_lost_on_the_way_delay_by_a_second_each() {
    let database = Database::new(Options::default());
    let (proxy, watcher) = proxied(&database, Options::default()).await;
    let [other] =
        <[SharedStore; 1]>::try_from(stores(&database, &[Options::default()]).await).unwrap_or_else(|_| panic!());
    let told = async |number: u32| {
        let begun = Instant::now();
        let approval = created(&other, task(number)).await;
        soon("the change", watcher.head().wait_for(|head| *head == approval.revision)).await.unwrap();
        assert_eq!(changes(&watcher, approval.revision - 1, 10).await.len(), 1);
        begun.elapsed()
    };
    told(1).await;
    assert_eq!(proxy.lost_notifications(), 0);
    proxy.lose_notifications();
    for number in 2..6 {
        let took = told(number).await;
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    assert!(proxy.lost_notifications() >= 4, "{}", proxy.lost_notifications());
}

/// A store whose way to the database is watched.
async fn proxied(database: &Database, options: Options) -> (Proxy, SharedStore) {
    database.create().await;
    let folder = server().split_once("host=").unwrap().1.split('&').next().unwrap().to_owned();
    let proxy = Proxy::start(PathBuf::from(folder).join(".s.PGSQL.5432")).await;
    let url = format!("postgres://approve@127.0.0.1:{}/{}", proxy.port(), database.name);
    let store = database.try_open(&url, options).await.unwrap();
    (proxy, Arc::new(store))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn decisions_that_come_together_share_their_statements() {
    const TOGETHER: u32 = 256;
    let database = Database::new(Options::default());
    let (proxy, store) = proxied(&database, Options::default()).await;
    let approvals = join_all((0..TOGETHER).map(|number| created(&store, task(number)))).await;
    let counted = |before: usize| f64::from(u32::try_from(proxy.statements() - before).unwrap());

    let before = proxy.statements();
    for approval in &approvals[..32] {
        done(&store, approval, reject(), seconds(1)).await;
    }
    let alone = counted(before) / 32.0;
    let before = proxy.statements();
    join_all(approvals[32..].iter().map(|approval| done(&store, approval, reject(), seconds(1)))).await;
    let together = counted(before) / f64::from(TOGETHER - 32);

    println!("statements per decision: {alone:.1} alone, {together:.2} of {} at once", TOGETHER - 32);
    // Begin, lock, slots, approval; change, events, counts, group, head, notification, commit. And a look a second.
    assert!((8.0..=13.0).contains(&alone), "{alone}");
    assert!(together < 1.0, "{together}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_group_is_bounded_by_its_bytes() {
    const TOGETHER: u32 = 64;
    let database = Database::new(Options::default());
    let narrow = Options { batch_bytes: 64 << 10, ..Options::default() };
    let (_proxy, store) = proxied(&database, narrow).await;
    let client = database.client().await;
    let groups = async || -> i64 { client.query_one("SELECT max(last_group) FROM groups", &[]).await.unwrap().get(0) };
    let long = |number| {
        let mut admission = task(number);
        let text = format!("{{\"number\":{number},\"text\":\"{}\"}}", "x".repeat(32 << 10));
        admission.task.input = text.as_str().into();
        admission
    };
    let approvals = join_all((0..TOGETHER).map(|number| created(&store, long(number)))).await;
    let admitted = groups().await;
    assert!(admitted >= i64::from(TOGETHER / 2), "{admitted} groups for {TOGETHER} inputs of 32 KiB");
    join_all(approvals.iter().map(|approval| done(&store, approval, reject(), seconds(1)))).await;
    // Each reads an input, and how long those are is known from the groups before.
    let decided = groups().await - admitted;
    assert!(decided >= i64::from(TOGETHER / 4), "{decided} groups for {TOGETHER} decisions on such inputs");
}

/// A trigger that fails an insert of an event, one of so many, with this code.
async fn failing(database: &Database, code: &str, one_of: u32) {
    let client = database.client().await;
    let trigger = format!(
        "CREATE SEQUENCE IF NOT EXISTS tries;
        CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tries') % {one_of} = 0 THEN RAISE EXCEPTION 'injected' USING ERRCODE = '{code}'; END IF;
            RETURN NULL;
        END $$;
        CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION fail()"
    );
    client.batch_execute(&trigger).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn what_the_database_rolls_back_for_others_is_tried_again() {
    let database = Database::new(Options::default());
    let stores = stores(&database, &[Options::default(), Options::default()]).await;
    // Serialization, deadlock, read-only after a failover, shutting down, out of memory.
    for (number, code) in (0_u32..).zip(["40001", "40P01", "25006", "57P01", "53200"]) {
        failing(&database, code, 3).await;
        let decided = (0..8).map(|each| {
            let store = &stores[each as usize % 2];
            async move {
                let approval = created(store, task(number * 8 + each)).await;
                done(store, &approval, reject(), seconds(1)).await
            }
        });
        let decided = soon(code, join_all(decided)).await;
        assert_eq!(decided.len(), 8, "{code}");
    }
    // Each was asked in one event and decided in two, and none was written twice.
    assert_eq!(record(&stores[0], 50).await.len(), 3 * 40);

    // Where it does not help, whoever asks is told, and nothing is written.
    let approval = created(&stores[0], task(1_000)).await;
    failing(&database, "40001", 1).await;
    let refused = stores[0].execute(&approval.id, reject(), origin(), seconds(1), None).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert_eq!(record(&stores[0], 50).await.len(), 3 * 40 + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn a_commit_whose_answer_is_lost_is_done_once() {
    let database = Database::new(Options::default());
    let (proxy, store) = proxied(&database, Options::default()).await;
    for (number, loss) in (0..).zip([Loss::Request, Loss::Answer, Loss::Request, Loss::Answer]) {
        // Carried out twice, it would be known the second time.
        proxy.lose(loss);
        let approval = created(&store, task(number)).await;
        assert!(proxy.has_lost(), "{loss:?}");
        proxy.lose(loss);
        let decided = done(&store, &approval, reject(), seconds(1)).await;
        assert!(proxy.has_lost(), "{loss:?}");
        assert_eq!(decided.revision, approval.revision + 2, "{loss:?}");
        assert_eq!(history(&store, &approval.id).await.len(), 3, "{loss:?}");
        assert_eq!(head(&store), decided.revision);
    }
    assert_eq!(record(&store, 100).await.len(), 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn sessions_that_are_ended_lose_nothing() {
    let database = Database::new(Options::default());
    let stores = stores(&database, &[Options::default(), Options::default()]).await;
    let mut tasks = JoinSet::new();
    for (place, store) in (0_u32..).zip(&stores) {
        for writer in 0..4 {
            let store = Arc::clone(store);
            tasks.spawn(async move {
                for round in 0..8 {
                    let approval = created(&store, task((place * 4 + writer) * 8 + round)).await;
                    done(&store, &approval, reject(), seconds(1)).await;
                }
            });
        }
    }
    let client = database.client().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while !tasks.is_empty() {
        client.batch_execute(end).await.unwrap();
        let next = timeout(Duration::from_millis(150), tasks.join_next()).await;
        if let Ok(Some(ended)) = next {
            ended.unwrap();
        }
    }
    assert_eq!(record(&stores[0], 100).await.len(), 3 * 64);
}

async fn has_heartbeat(store: &SharedStore, approval: &Approval) -> bool {
    let due = store.due_heartbeats(seconds(1_000), 10).await.unwrap();
    due.items.iter().any(|due| due.id == approval.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn what_a_server_held_is_taken_over_when_its_lease_ends() {
    let database = Database::new(Options::default());
    let options = |name: &str| Options { name: name.to_owned(), lease: Duration::from_secs(3), ..Options::default() };
    let stores = stores(&database, &[options("one"), options("other")]).await;
    let [one, other] = &stores[..] else { unreachable!() };
    let approval = created(one, task(1)).await;
    assert!(has_heartbeat(one, &approval).await);
    assert!(!has_heartbeat(other, &approval).await, "two servers send it");

    let mut standing = other.standing();
    let before = standing.borrow_and_update().taken_over;
    let client = database.client().await;
    client.batch_execute("UPDATE servers SET until = '-infinity' WHERE name = 'one'").await.unwrap();
    assert!(!has_heartbeat(one, &approval).await, "it acts beyond its lease");
    // The first one to look takes it, and that may be the one that had it.
    let taken = async {
        loop {
            if has_heartbeat(other, &approval).await || has_heartbeat(one, &approval).await {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    soon("somebody to take over", taken).await;
    let (holder, idle) = if has_heartbeat(other, &approval).await { (other, one) } else { (one, other) };
    if Arc::ptr_eq(holder, other) {
        soon("the news of it", standing.wait_for(|now| now.taken_over > before)).await.unwrap();
    }

    // What the other one has to say of it by now is without effect.
    let next = NextDue { id: approval.id.clone(), token: approval.task.token.clone(), due: seconds(5_000) };
    idle.set_heartbeats(vec![next.clone()]).await.unwrap();
    assert!(has_heartbeat(holder, &approval).await, "it was moved by a server that does not have it");
    holder.set_heartbeats(vec![next]).await.unwrap();
    assert!(!has_heartbeat(holder, &approval).await);

    // Whoever changes it last has it.
    let decided = done(idle, &approval, reject(), seconds(1)).await;
    let due = |of: &SharedStore| {
        let of = Arc::clone(of);
        async move { of.due_deliveries(seconds(1_000), 10).await.unwrap().items }
    };
    assert_eq!(due(idle).await, [decided]);
    assert!(due(holder).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn servers_that_start_at_once_make_the_schema_once() {
    let database = Database::new(Options::default());
    let url = database.url();
    database.create().await;
    let all = try_join_all((0..5).map(|_| database.try_open(&url, Options::default()))).await.unwrap();
    let client = database.client().await;
    let versions = client.query("SELECT version FROM schema_version", &[]).await.unwrap();
    let newest = i64::try_from(NEWEST).unwrap();
    assert_eq!(versions.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>(), [newest]);
    let slots: i64 = client.query_one("SELECT count(DISTINCT server) FROM slots", &[]).await.unwrap().get(0);
    assert_eq!(slots, 5, "each has a slot of its own");
    drop(all);
    client.batch_execute("UPDATE schema_version SET version = 99").await.unwrap();
    let newer = database.try_open(&url, Options::default()).await;
    assert!(matches!(newer, Err(StoreError::NewerSchema { found: 99, known }) if known == newest), "{newer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn one_server_sends_to_a_target_and_another_once_it_is_gone() {
    let database = Database::new(Options::default());
    let mut stores = stores(&database, &[Options::default(), Options::default()]).await;
    let approval = created(&stores[0], task(1)).await;
    assert_eq!(stores[0].take_target("ops").await.unwrap(), Some(approval.revision));
    assert_eq!(stores[1].take_target("ops").await.unwrap(), None, "both send to it");
    let told = |revision| Told { revision, ..Told::default() };
    assert!(!stores[1].note_told("ops", told(approval.revision + 1)).await.unwrap());
    assert!(stores[0].note_told("ops", told(approval.revision + 2)).await.unwrap());
    assert_eq!(stores[1].take_target("mail").await.unwrap(), Some(approval.revision), "another target is free");
    // A lease that is given up, or ended, frees what the server had.
    stores.remove(0).close().await.unwrap();
    assert_eq!(stores[0].take_target("ops").await.unwrap(), Some(approval.revision + 2));
    assert!(stores[0].note_told("ops", told(approval.revision + 3)).await.unwrap());
}
