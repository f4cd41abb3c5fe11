//! Lists and prefixes.

use futures::future::join_all;

use super::{model::expected_page, *};
use crate::{
    approval::{ApprovalId, ApproverSet, Status},
    store::{Filter, ListQuery, Order},
};

fn query(filter: Filter) -> ListQuery {
    ListQuery { filter, statuses: Vec::new(), order: Order::OldestFirst, after: None, limit: 100 }
}

/// All pages of a list.
async fn all(store: &SharedStore, mut query: ListQuery) -> Vec<Arc<Approval>> {
    let mut found: Vec<Arc<Approval>> = Vec::new();
    loop {
        let page = store.list(query.clone()).await.unwrap();
        assert!(page.approvals.len() <= query.limit);
        found.extend(page.approvals);
        assert!(page.next.is_none() || page.next != query.after, "a page leads on");
        query.after = page.next;
        if query.after.is_none() {
            return found;
        }
    }
}

fn ids(approvals: &[Arc<Approval>]) -> Vec<ApprovalId> {
    approvals.iter().map(|approval| approval.id.clone()).collect()
}

/// Some approvals that differ in everything.
async fn many(store: &SharedStore, count: u32) -> Vec<Arc<Approval>> {
    let mut approvals = Vec::new();
    for number in 0..count {
        let mut admission = task(number);
        let request = &mut admission.task.request;
        if number % 2 == 1 {
            "Releases".clone_into(&mut request.source.workflow);
        }
        request.priority = [Priority::Low, Priority::Normal, Priority::Urgent][number as usize % 3];
        request.labels.insert("env".to_owned(), if number % 4 == 0 { "prod" } else { "test" }.to_owned());
        request.labels.insert("number".to_owned(), number.to_string());
        let approval = created(store, admission).await;
        approvals.push(match number % 5 {
            0 => done(store, &approval, reject(), seconds(1)).await,
            1 => done(store, &approval, cancel(), seconds(1)).await,
            2 => done(store, &approval, approve("ana"), seconds(1)).await,
            _ => approval,
        });
    }
    approvals
}

pub(crate) async fn a_list_is_filtered(bed: &dyn Bed) {
    let store = bed.open().await;
    let approvals = many(&store, 20).await;
    let mut secret = task(50);
    secret.task.request.rule.stages[0].approvers = vec![ApproverSet(vec!["group:board".parse().unwrap()])];
    "A SECRET matter".clone_into(&mut secret.task.request.description);
    let secret = created(&store, secret).await;
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let workflow = Some("Releases".to_owned());
    let by_number = |of: &dyn Fn(usize) -> bool| {
        approvals.iter().enumerate().filter(|(number, _)| of(*number)).map(|(_, it)| it.clone()).collect::<Vec<_>>()
    };
    let cases = [
        (Filter { workflow: workflow.clone(), ..Filter::default() }, vec![], by_number(&|number| number % 2 == 1)),
        (
            Filter { workflow, ..Filter::default() },
            vec![Status::Canceled, Status::Rejected],
            by_number(&|number| number % 2 == 1 && number % 5 < 2),
        ),
        (
            Filter { labels: [label("env", "prod")].into(), ..Filter::default() },
            vec![],
            by_number(&|number| number % 4 == 0),
        ),
        (
            Filter { labels: [label("env", "test"), label("number", "7")].into(), ..Filter::default() },
            vec![],
            by_number(&|number| number == 7),
        ),
        (Filter { labels: [label("env", "prod"), label("number", "7")].into(), ..Filter::default() }, vec![], vec![]),
        (
            Filter { priorities: vec![Priority::Urgent, Priority::Low], ..Filter::default() },
            vec![Status::Rejected],
            by_number(&|number| number % 3 != 1 && number % 5 == 0),
        ),
        (Filter { text: Some("INVOICE 1".to_owned()), ..Filter::default() }, vec![], by_number(&|n| n == 1 || n > 9)),
        (Filter { text: Some("secret".to_owned()), ..Filter::default() }, vec![], vec![secret.clone()]),
        (
            Filter { execution_arn: request(3).source.execution_arn, ..Filter::default() },
            vec![],
            by_number(&|number| number == 3),
        ),
        (
            Filter { execution_arn: request(3).source.execution_arn, ..Filter::default() },
            vec![Status::Approved],
            vec![],
        ),
        // Ana has voted on some already, and is not on the board.
        (Filter { awaiting: Some(person("ana")), ..Filter::default() }, vec![], by_number(&|number| number % 5 > 2)),
        (Filter { awaiting: Some(person("ana")), ..Filter::default() }, vec![Status::Rejected], vec![]),
        (
            Filter {
                awaiting: Some(Person { groups: vec!["group:board".parse().unwrap()], ..person("cyd") }),
                text: Some("secret".to_owned()),
                ..Filter::default()
            },
            vec![Status::Pending],
            vec![secret.clone()],
        ),
        // Rita asked for all of them.
        (Filter { awaiting: Some(person("rita")), ..Filter::default() }, vec![], vec![]),
    ];
    for (filter, statuses, mut expected) in cases {
        let mut query = query(filter);
        query.statuses = statuses;
        assert_eq!(all(&store, query.clone()).await, expected, "{query:?}");
        query.order = Order::NewestFirst;
        query.limit = 2;
        expected.reverse();
        assert_eq!(all(&store, query.clone()).await, expected, "{query:?}");
    }
}

pub(crate) async fn a_list_has_pages_without_gaps_or_repeats(bed: &dyn Bed) {
    let store = bed.open().await;
    let approvals = many(&store, 23).await;
    for statuses in [vec![], vec![Status::Pending], vec![Status::Rejected, Status::Pending, Status::Pending]] {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            for limit in [1, 2, 7, 23, 100] {
                let query =
                    ListQuery { filter: Filter::default(), statuses: statuses.clone(), order, after: None, limit };
                let expected = expected_page(&approvals, &ListQuery { limit: usize::MAX, ..query.clone() });
                assert_eq!(ids(&all(&store, query).await), ids(&expected));
            }
        }
    }
    let exact = store.list(ListQuery { limit: 23, ..query(Filter::default()) }).await.unwrap();
    assert_eq!((exact.approvals.len(), exact.next), (23, None), "a full last page is the last");
    let first = store.list(ListQuery { limit: 22, ..query(Filter::default()) }).await.unwrap();
    assert_eq!(first.next, Some(approvals[21].id.clone()));
}

pub(crate) async fn pages_hold_while_approvals_come(bed: &dyn Bed) {
    let store = bed.open().await;
    for number in 100..130 {
        created(&store, task(number)).await;
    }
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let before = ids(&all(&store, ListQuery { order, ..query(Filter::default()) }).await);
        let mut page = ListQuery { order, limit: 7, ..query(Filter::default()) };
        let mut seen = Vec::new();
        // Older and newer ones come while the list is read.
        let offset = if order == Order::NewestFirst { 0 } else { 10 };
        for number in 0..10 {
            created(&store, task(offset + number)).await;
            created(&store, task(200 + offset + number)).await;
            let next = store.list(page.clone()).await.unwrap();
            seen.extend(ids(&next.approvals));
            page.after = next.next;
            if page.after.is_none() {
                break;
            }
        }
        let mut once = seen.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "no repeats");
        assert!(before.iter().all(|id| seen.contains(id)), "no gaps");
    }
}

pub(crate) async fn a_rare_match_is_found_page_by_page(bed: &dyn Bed) {
    let store = bed.open().await;
    let tasks = (0..2_500).map(|number| {
        let mut admission = task(number);
        admission.task.request.labels.insert("env".to_owned(), "prod".to_owned());
        if number == 3 {
            "A needle".clone_into(&mut admission.task.request.title);
            admission.task.request.labels.insert("rare".to_owned(), "yes".to_owned());
        }
        store.admit(admission)
    });
    assert!(join_all(tasks).await.iter().all(Result::is_ok));
    let labels = || [("env".to_owned(), "prod".to_owned())].into();
    let filters = [
        Filter { text: Some("needle".to_owned()), ..Filter::default() },
        Filter { text: Some("needle".to_owned()), labels: labels(), ..Filter::default() },
        Filter { text: Some("needle".to_owned()), workflow: Some("Payments".to_owned()), ..Filter::default() },
    ];
    for filter in filters {
        let query = ListQuery { order: Order::NewestFirst, limit: 5, ..query(filter) };
        let found = all(&store, query).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].request.title, "A needle");
    }
    // 1, 10 to 19, 100 to 199, 1000 to 1999.
    let scattered = Filter { text: Some("invoice 1".to_owned()), ..Filter::default() };
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let found = all(&store, ListQuery { order, limit: 70, ..query(scattered.clone()) }).await;
        assert_eq!(found.len(), 1_111);
    }
    let mut labels: Labels = labels();
    labels.insert("rare".to_owned(), "yes".to_owned());
    let rare = query(Filter { labels, workflow: Some("Payments".to_owned()), ..Filter::default() });
    let page = store.list(rare).await.unwrap();
    assert_eq!((page.approvals.len(), page.next), (1, None), "a rare label leads to what has it");
}

pub(crate) async fn prefixes_find_ids(bed: &dyn Bed) {
    let store = bed.open().await;
    let mut ids = Vec::new();
    for number in [1, 2, 900_000] {
        ids.push(created(&store, task(number)).await.id.clone());
    }
    let common = ids[0].as_str().bytes().zip(ids[1].as_str().bytes()).take_while(|(a, b)| a == b).count();
    let text = ids[0].as_str();
    assert_eq!(store.find_prefix(text, 10).await.unwrap(), ids[..1]);
    assert_eq!(store.find_prefix(&text[..=common], 10).await.unwrap(), ids[..1]);
    assert_eq!(store.find_prefix(&text[..common], 10).await.unwrap(), ids[..2]);
    assert_eq!(store.find_prefix(&text[..common], 1).await.unwrap(), ids[..1]);
    assert_eq!(store.find_prefix("apr_0", 10).await.unwrap(), ids);
    for nothing in ["apr_z", "apr_%", "x", "apr_0'", "\u{0}"] {
        assert_eq!(store.find_prefix(nothing, 10).await.unwrap(), [], "{nothing}");
    }
}

pub(crate) async fn long_inputs_are_read_in_pieces(bed: &dyn Bed) {
    let store = bed.open().await;
    let long = format!("\"{}\"", "x".repeat(262_000));
    for number in 0..50 {
        let mut admission = task(number);
        admission.task.input = long.as_str().into();
        created(&store, admission).await;
    }
    let page = store.list(query(Filter::default())).await.unwrap();
    assert!(page.approvals.len() < 50, "13 MB are too much for one page");
    let found = all(&store, query(Filter::default())).await;
    assert_eq!(found.len(), 50);
    assert!(found.iter().all(|approval| *approval.input == *long));
    assert_eq!(changes(&store, 0, 100).await.len(), 50);
}

/// So many approvals are more than a page looks at.
const MANY: u32 = 2_400;
/// One of so many is rare.
const RARE: u32 = 600;

/// The beginning of a list leads to what is rare, however much there is before it.
pub(crate) async fn what_is_rare_is_on_the_first_page(bed: &dyn Bed) {
    let store = bed.open().await;
    let admit = |number: u32| {
        let store = &store;
        async move {
            let mut admission = task(number);
            let request = &mut admission.task.request;
            // The oldest ones: a list from the newest comes to them last.
            if number < MANY / RARE {
                "Buy a House".clone_into(&mut request.title);
                request.labels.insert("team".to_owned(), "board".to_owned());
                request.rule.stages[0].approvers = vec![ApproverSet(vec!["group:board".parse().unwrap()])];
            } else {
                request.labels.insert("team".to_owned(), "all".to_owned());
                request.rule.stages[0].approvers = vec![ApproverSet(vec!["group:all".parse().unwrap()])];
            }
            created(store, admission).await
        }
    };
    let all = join_all((0..MANY).map(admit)).await;
    let (rare, common) = all.split_at((MANY / RARE) as usize);
    // What is decided does not wait for anybody.
    done(&store, &rare[0], cancel(), seconds(1)).await;
    let first_pages = async |filter: Filter, statuses: Vec<Status>| {
        let query = ListQuery { filter, statuses, order: Order::NewestFirst, after: None, limit: 50 };
        let page = store.list(query).await.unwrap();
        assert_eq!(page.next, None, "there is no more");
        let mut found = ids(&page.approvals);
        found.reverse();
        found
    };
    let label = Filter { labels: [("team".to_owned(), "board".to_owned())].into(), ..Filter::default() };
    let text = |text: &str| Filter { text: Some(text.to_owned()), ..Filter::default() };
    let member = |name: &str, group: &str| Person { groups: vec![group.parse().unwrap()], ..person(name) };
    let awaiting = Filter { awaiting: Some(member("bob", "group:board")), ..Filter::default() };
    assert_eq!(first_pages(label.clone(), vec![]).await, ids(rare));
    assert_eq!(first_pages(label, vec![Status::Pending]).await, ids(&rare[1..]));
    assert_eq!(first_pages(awaiting, vec![]).await, ids(&rare[1..]));
    assert_eq!(first_pages(text("A HOUSE"), vec![]).await, ids(rare));
    assert_eq!(first_pages(text("house"), vec![Status::Pending]).await, ids(&rare[1..]));
    assert_eq!(first_pages(text(rare[2].id.as_str()), vec![]).await, ids(&rare[2..3]));
    // What is common fills the first page.
    for filter in [text("invoice"), Filter { awaiting: Some(member("ana", "group:all")), ..Filter::default() }] {
        let query = ListQuery { limit: 50, order: Order::NewestFirst, ..query(filter) };
        let newest: Vec<_> = common.iter().rev().take(50).cloned().collect();
        assert_eq!(ids(&store.list(query).await.unwrap().approvals), ids(&newest));
    }
}
