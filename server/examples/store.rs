//! How fast the embedded store decides, against how fast the disk takes what it writes.
//!
//! `cargo run --release -p approve-server --example store -- [folder] [decisions] [pending beforehand]`

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use approve_server::{
    approval::{
        ApprovalId, Command, Decision, Labels, Origin, Person, Priority, Request, Rule, Source, TaskInput, TaskToken,
    },
    clock::{Clock as _, SystemClock},
    store::{
        Admission, Admitted, Executed, Filter, IdentityUse, ListQuery, Order, RequestKey, Store,
        sqlite::{Options, SqliteStore},
    },
};
use tokio::task::JoinSet;
use uuid::Uuid;

const CALLERS: usize = 64;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(|| std::env::temp_dir().join("approve-store"), Into::into);
    let decisions: usize = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let pending: usize = arguments.next().map_or(Ok(0), |text| text.parse())?;

    std::fs::create_dir_all(&folder)?;
    let flushes = flushes_per_second(&folder)?;
    println!("one flush after another    {flushes:>10.0} /s");

    let opening = Instant::now();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.join("store"), Options::default())?);
    println!("opened in                  {:>10.1?}", opening.elapsed());
    if pending > 0 {
        let (_, took) = admit(&store, pending).await?;
        println!("admitted beforehand        {:>10.0} /s", rate(pending, took));
    }
    let (ids, took) = admit(&store, decisions).await?;
    println!("admitted, {CALLERS} at once      {:>10.0} /s", rate(decisions, took));
    let took = decide(&store, ids, CALLERS).await?;
    println!(
        "decided, {CALLERS} at once       {:>10.0} /s, {:.1} × flushes",
        rate(decisions, took),
        rate(decisions, took) / flushes
    );
    let few = decisions / 50;
    let (ids, _) = admit(&store, few).await?;
    let took = decide(&store, ids, 1).await?;
    println!("decided, one at a time     {:>10.0} /s, {:.2} × flushes", rate(few, took), rate(few, took) / flushes);

    let query = |filter| ListQuery { filter, statuses: Vec::new(), order: Order::NewestFirst, after: None, limit: 50 };
    let workflow = Filter { workflow: Some("Payments".to_owned()), ..Filter::default() };
    for (name, filter) in [("first page", Filter::default()), ("of a workflow", workflow)] {
        let begun = Instant::now();
        for _ in 0..100 {
            store.list(query(filter.clone())).await?;
        }
        println!("{name:<27}{:>10.1?}", begun.elapsed() / 100);
    }
    let begun = Instant::now();
    let page = store.pending_at(*store.head().borrow(), None, 500).await?.approvals.len();
    println!("snapshot's first {page:<10}{:>10.1?}", begun.elapsed());
    store.close().await?;
    Ok(())
}

/// What the disk does for one caller: a page's worth, then a flush.
fn flushes_per_second(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("flushes");
    let mut file = File::create(&path)?;
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        count += 1;
    }
    std::fs::remove_file(path)?;
    Ok(rate(count, begun.elapsed()))
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

async fn admit(store: &Arc<dyn Store>, count: usize) -> anyhow::Result<(Vec<ApprovalId>, Duration)> {
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let store = store.clone();
        let share = count / CALLERS + usize::from(caller < count % CALLERS);
        callers.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..share {
                match store.admit(task()?).await? {
                    Admitted::Created(approval) => ids.push(approval.id.clone()),
                    other => anyhow::bail!("not created: {other:?}"),
                }
            }
            Ok(ids)
        });
    }
    let mut ids = Vec::new();
    while let Some(caller) = callers.join_next().await {
        ids.extend(caller??);
    }
    Ok((ids, begun.elapsed()))
}

async fn decide(store: &Arc<dyn Store>, ids: Vec<ApprovalId>, at_once: usize) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..at_once {
        let store = store.clone();
        let ids: Vec<_> = ids.iter().skip(caller).step_by(at_once).cloned().collect();
        callers.spawn(async move {
            for id in ids {
                let key = RequestKey { caller: "bench".to_owned(), id: id.to_string(), fingerprint: [1; 32] };
                match store.execute(&id, approve()?, Origin::system("example"), SystemClock.now(), Some(key)).await? {
                    Executed::Done { .. } => {}
                    other => anyhow::bail!("not done: {other:?}"),
                }
            }
            Ok(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(begun.elapsed())
}

fn approve() -> anyhow::Result<Command> {
    Ok(Command::Vote {
        by: Person { principal: "ana".parse()?, groups: Vec::new() },
        choice: Decision::Approve.into(),
        comment: "looks right".to_owned(),
        response: None,
        etag: None,
        cast_by: None,
    })
}

fn task() -> anyhow::Result<Admission> {
    let uuid = Uuid::now_v7();
    let source = Source {
        workflow: "Payments".to_owned(),
        activity_arn: "arn:aws:states:eu-west-1:123456789012:activity:Payments".to_owned(),
        execution_arn: Some(format!("arn:aws:states:eu-west-1:123456789012:execution:Payments:{uuid}")),
        state_machine_arn: Some("arn:aws:states:eu-west-1:123456789012:stateMachine:Payments".to_owned()),
        state_name: Some("ApprovalStep".to_owned()),
        state_entered: Some(SystemClock.now()),
        key: None,
    };
    let request = Request {
        title: "Pay invoice 4711 to Example GmbH".to_owned(),
        description: "1200.50 EUR, due on Friday".to_owned(),
        requester: Some("rita".parse()?),
        rule: Rule::default(),
        rule_version: Rule::default().version(),
        source,
        labels: Labels::from([("env".to_owned(), "prod".to_owned()), ("team".to_owned(), "finance".to_owned())]),
        priority: Priority::Normal,
    };
    Ok(Admission {
        uuid,
        // Of the length that real ones have.
        token: TaskToken::from(format!("{uuid}{}", "x".repeat(650))),
        task: TaskInput { request, input: r#"{"invoice":4711,"amount":1200.50}"#.into(), attempt: 0, error: None },
        heartbeat: Some(jiff::SignedDuration::from_secs(60)),
        identity: IdentityUse::Trusted { checked: None },
        at: SystemClock.now(),
    })
}
