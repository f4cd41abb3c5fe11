//! What holds for whatever happens.

mod rules;

use std::sync::Arc;

use jiff::SignedDuration;
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};

use super::{
    arbitrary::{commands, new_approval, requests, seconds, start},
    *,
};

/// What must be true of every approval.
fn check(approval: &Approval) -> Result<(), TestCaseError> {
    one_vote_each(approval)?;
    let final_now = approval.status.is_final();
    prop_assert_eq!(approval.decided.is_some(), final_now);
    prop_assert_eq!(!approval.decided_by.is_empty(), final_now);
    prop_assert!(!final_now || (approval.assignment.is_none() && approval.hold.is_none()));
    let by_expiry = approval.decided_by == [Principal::system("expiry")];
    let verdict = approval.request.rule.verdict(&approval.votes);
    match approval.status {
        Status::Pending => prop_assert_eq!(verdict, Verdict::Open),
        Status::Approved => prop_assert!(by_expiry || verdict == Verdict::Approved),
        Status::Rejected => prop_assert!(by_expiry || verdict == Verdict::Rejected),
        Status::Expired => prop_assert!(by_expiry && verdict == Verdict::Open),
        Status::Canceled | Status::Invalid => {}
    }
    let answer = Answer::of(approval);
    prop_assert_eq!(answer.is_some(), approval.delivery.state != DeliveryState::None);
    match approval.delivery.state {
        DeliveryState::None => prop_assert!(matches!(approval.status, Status::Pending | Status::Canceled)),
        DeliveryState::Recorded => prop_assert!(approval.task.state != TaskState::Closed),
        DeliveryState::Delivered | DeliveryState::Undeliverable => {
            prop_assert_eq!(approval.task.state, TaskState::Closed);
            prop_assert!(approval.delivery.settled.is_some());
        }
    }
    match approval.task.state {
        TaskState::Open => prop_assert_eq!(approval.task.detached, None),
        TaskState::Detached => prop_assert!(approval.task.detached.is_some()),
        TaskState::Closed => {}
    }
    prop_assert!(!(approval.wants_heartbeats() && approval.wants_delivery()));
    Ok(())
}

/// One vote for each person; where people may repeat in stages that follow each other, one for each person and stage.
fn one_vote_each(approval: &Approval) -> Result<(), TestCaseError> {
    for (at, vote) in approval.votes.iter().enumerate() {
        for other in approval.votes.iter().skip(at + 1).filter(|other| other.voter == vote.voter) {
            let rule = &approval.request.rule;
            prop_assert!(rule.allow_repeat_approvers && rule.order == StageOrder::Sequential);
            prop_assert_eq!((vote.decision, other.decision), (Decision::Approve, Decision::Approve));
            prop_assert!(vote.stages.iter().all(|stage| !other.stages.contains(stage)));
        }
        prop_assert_eq!(vote.stages.is_empty(), vote.decision == Decision::Reject);
    }
    Ok(())
}

/// What must be true of every step from one to the next.
fn check_step(before: &Approval, command: &Command, after: &Transition) -> Result<(), TestCaseError> {
    let Transition { approval: next, events } = after;
    if events.is_empty() {
        prop_assert_eq!(next, before, "no event, no change");
        return Ok(());
    }
    prop_assert_eq!(next.version, before.version + 1);
    prop_assert_eq!(&next.request, &before.request);
    prop_assert_eq!((&next.id, next.created, &next.input), (&before.id, before.created, &before.input));
    if before.status.is_final() {
        prop_assert_eq!(next.status, before.status, "what is final stays so");
        prop_assert_eq!(&next.decided_by, &before.decided_by);
        prop_assert_eq!(next.decided, before.decided);
        prop_assert_eq!(&next.votes, &before.votes);
        prop_assert_eq!(&next.reason, &before.reason);
    }
    if before.task.state == TaskState::Closed {
        prop_assert!(matches!(command, Command::Bind { .. }), "only a new task opens a closed one");
    }
    let rank = |delivery: &Delivery| match delivery.state {
        DeliveryState::None => 0,
        DeliveryState::Recorded => 1,
        DeliveryState::Delivered | DeliveryState::Undeliverable => 2,
    };
    let settled_again = rank(&before.delivery) == 2 && next.delivery.state != before.delivery.state;
    if !matches!(command, Command::Bind { .. }) {
        prop_assert!(rank(&next.delivery) >= rank(&before.delivery) && !settled_again);
        prop_assert_eq!(&next.task.token, &before.task.token);
    }
    prop_assert!(next.delivery.attempts >= before.delivery.attempts);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn whatever_is_done_an_approval_stays_sound(
        request in requests(),
        steps in vec((commands(), 0_i64..60), 0..40),
    ) {
        let mut approval = new_approval(request, r#"{"amount":1200.50}"#);
        check(&approval)?;
        let mut time = 0;
        for (command, later) in steps {
            time += later;
            if let Ok(transition) = apply(&approval, &command, seconds(time)) {
                check_step(&approval, &command, &transition)?;
                approval = transition.approval;
                check(&approval)?;
            }
        }
    }

    #[test]
    fn any_text_is_read_or_named_wrong(text in prop_oneof!["\\PC{0,60}", ".{0,20}", documents().prop_map(|it| it.to_string())]) {
        read_or_named_wrong(&text)?;
    }

    #[test]
    fn any_block_is_read_or_named_wrong(block in blocks()) {
        let text = json!({"approve": block, "amount": 1}).to_string();
        read_or_named_wrong(&text)?;
    }

    #[test]
    fn a_payload_keeps_its_text(
        number in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?",
        before in "[ \t\n]{0,3}",
        wrapped in 0..3,
    ) {
        let payload = format!("{{\"amount\":{before}{number},\"a\":\"\\u00e9\"}}");
        let text = match wrapped {
            0 => payload.clone(),
            1 => format!("{{\"approve\": {{\"title\": \"t\"}}, \"input\":{before}{payload}{before}}}"),
            _ => format!("{{\"approve\": {{}}, \"amount\":{before}{number},\"a\":\"\\u00e9\"}}"),
        };
        let task = parse_task_input(&text, &defaults());
        prop_assert_eq!(&task.error, &None);
        let expected =
            if wrapped == 2 { format!("{{\"amount\":{number},\"a\":\"\\u00e9\"}}") } else { payload };
        prop_assert_eq!(&*task.input, expected);
    }

    #[test]
    fn an_approval_survives_its_json(request in requests(), steps in vec(commands(), 0..10)) {
        let mut approval = new_approval(request, "1200.50");
        for command in steps {
            if let Ok(transition) = apply(&approval, &command, start()) {
                for event in &transition.events {
                    let text = serde_json::to_string(event).unwrap();
                    prop_assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), event);
                }
                approval = transition.approval;
            }
        }
        let text = serde_json::to_string(&approval).unwrap();
        let mut read: Approval = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&*read.input, "", "the input is kept beside it");
        read.input = Arc::from("1200.50");
        prop_assert_eq!(read, approval);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_sent_to_step_functions_fits(
        request in requests(),
        steps in vec(commands(), 0..20),
        comment in option::of(prop_oneof!["[a-zü\"\\\\\u{1F600}]{0,40}", Just("\u{1}".repeat(4_096)), Just("é".repeat(2_048))]),
        response in option::of(prop_oneof![Just(1_usize), Just(65_000)]),
        input in prop_oneof![Just(0_usize), Just(30_000), Just(240_000), Just(262_100)],
    ) {
        let mut approval = new_approval(request, &json!({"pad": "ü".repeat(input / 2)}).to_string());
        for mut command in steps {
            if let Command::Vote { comment: said, response: answered, .. } = &mut command {
                if let Some(comment) = &comment {
                    said.clone_from(comment);
                }
                *answered = response.map(|length| Value::from("x".repeat(length)).to_string());
            }
            if let Ok(transition) = apply(&approval, &command, start()) {
                approval = transition.approval;
            }
        }
        match Answer::of(&approval) {
            None => {}
            Some(Answer::Success { output }) => {
                prop_assert!(output.len() <= MAX_OUTPUT_BYTES);
                let output: Value = serde_json::from_str(&output).unwrap();
                prop_assert_eq!(&output["approval_id"], approval.id.as_str());
                prop_assert_eq!(&output["status"], approval.status.name());
                let outcome = approval.outcome.as_deref().unwrap_or(approval.status.name());
                prop_assert_eq!(&output["outcome"], outcome);
            }
            Some(Answer::Failure { error, cause }) => {
                prop_assert!(error.len() <= 256);
                prop_assert!(cause.chars().count() <= MAX_CAUSE_CHARS, "{}", cause.chars().count());
                let cause: Value = serde_json::from_str(&cause).unwrap();
                prop_assert_eq!(&cause["status"], approval.status.name());
            }
        }
    }
}

fn defaults() -> StepDefaults {
    StepDefaults {
        workflow: "Payments".to_owned(),
        activity_arn: "arn:aws:states:eu-west-1:123456789012:activity:Payments".to_owned(),
        rule: Rule::default(),
        timeouts: vec![("Approve".to_owned(), SignedDuration::from_secs(300))],
    }
}

fn read_or_named_wrong(text: &str) -> Result<(), TestCaseError> {
    let task = parse_task_input(text, &defaults());
    match &task.error {
        Some(error) => {
            prop_assert!(error.field == "$" || error.field.starts_with("approve"), "{}", error.field);
            prop_assert!(!error.problem.is_empty());
            prop_assert_eq!(&*task.input, text, "the whole input is kept for the record");
        }
        None => {
            prop_assert!(serde_json::from_str::<Value>(&task.input).is_ok());
            let life = task.request.rule.expire_after.unwrap_or(SignedDuration::MAX);
            prop_assert!(task.request.source.state_name.as_deref() != Some("Approve") || life.as_secs() < 300);
        }
    }
    Ok(())
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let names = prop_oneof!["approve", "input", "rule", "title", "[a-z]{0,4}"];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((names, inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A block with known fields, most of them sound.
fn blocks() -> impl Strategy<Value = Value> {
    let known = |sound: Vec<Value>| prop_oneof![4 => proptest::sample::select(sound), 1 => documents()];
    let names = |all: &[&str]| all.iter().map(|name| Value::from(*name)).collect::<Vec<_>>();
    let rule = (
        option::of(known(vec![json!(["group:finance"]), json!(["ana", "bob"]), json!([])])),
        option::of(known(vec![json!(1), json!(2), json!(0), json!(1.0), json!(-1)])),
        option::of(known(names(&["5s", "PT2H30M", "7d", "-1s", "400d", "1ns", "10000y", ""]))),
        option::of(known(names(&["expire", "reject", "approve"]))),
        option::of(known(names(&["fail", "output"]))),
    )
        .prop_map(|(approvers, required, expires_after, on_expiry, on_reject)| {
            object(vec![
                ("approvers", approvers),
                ("required", required),
                ("expires_after", expires_after),
                ("on_expiry", on_expiry),
                ("on_reject", on_reject),
            ])
        });
    (
        option::of(known(names(&["Pay", "", " "]))),
        option::of(known(names(&["ana", "group:finance", "system:x"]))),
        option::of(rule),
        option::of(known(vec![json!({"env": "prod"}), json!({"": "x"}), json!({"n": 1})])),
        option::of(known(vec![json!("k"), json!(3), json!(1200.50)])),
        option::of(known(names(&["Approve", "Other"]))),
        option::of(known(names(&["2027-01-15T08:00:00Z", "2027-01-15", "9999-12-31T23:59:59.999999999Z"]))),
        option::of(known(vec![json!(0), json!(-1), json!(5_000_000_000_u64)])),
    )
        .prop_map(|(title, requester, rule, labels, key, state, entered, attempt)| {
            object(vec![
                ("title", title),
                ("requester", requester),
                ("rule", rule),
                ("labels", labels),
                ("key", key),
                ("state", state),
                ("entered_at", entered),
                ("attempt", attempt),
            ])
        })
}

fn object(members: Vec<(&str, Option<Value>)>) -> Value {
    Value::Object(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}
