//! Single cases, as people meet them.

use jiff::SignedDuration;

use super::{super::*, *};
use crate::approval::arbitrary::{new_approval, seconds, start, token};

fn person(name: &str) -> Person {
    Person { principal: name.parse().unwrap(), groups: Vec::new() }
}

fn stage(name: &str, members: &[&str], required: u32) -> Stage {
    let set = ApproverSet(members.iter().map(|member| member.parse().unwrap()).collect());
    Stage { name: name.to_owned(), approvers: vec![set], required }
}

fn asked(rule: Rule) -> Approval {
    let source = Source {
        workflow: "Payments".to_owned(),
        activity_arn: "arn:aws:states:eu-west-1:123456789012:activity:Payments".to_owned(),
        execution_arn: None,
        state_machine_arn: None,
        state_name: None,
        state_entered: None,
        key: None,
    };
    let request = Request {
        title: "Pay".to_owned(),
        description: String::new(),
        requester: Some("user:req".parse().unwrap()),
        rule_version: rule.version(),
        rule,
        source,
        labels: Labels::new(),
        priority: Priority::Normal,
    };
    new_approval(request, "{}")
}

fn vote(name: &str, decision: Decision) -> Command {
    let (comment, choice) = ("fine".to_owned(), decision.into());
    Command::Vote { by: person(name), choice, comment, response: None, etag: None, cast_by: None }
}

fn approve(name: &str) -> Command {
    vote(name, Decision::Approve)
}

fn done(approval: &Approval, command: &Command, second: i64) -> Approval {
    apply(approval, command, seconds(second)).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}")).approval
}

fn refused(approval: &Approval, command: &Command, second: i64) -> &'static str {
    apply(approval, command, seconds(second)).map(|done| panic!("{:?}", done.events)).unwrap_err().reason()
}

fn two_stages(repeat: bool) -> Rule {
    let stages = vec![stage("legal", &["ana", "bo"], 1), stage("money", &["ana", "cy"], 1)];
    Rule { stages, allow_repeat_approvers: repeat, ..Rule::default() }
}

fn approvals(approval: &Approval) -> Vec<(u32, bool)> {
    approval.progress().into_iter().map(|stage| (stage.approvals, stage.open)).collect()
}

#[test]
fn a_vote_that_is_taken_back_opens_its_stage_again_and_later_ones_count_again() {
    let mut rule = two_stages(false);
    rule.stages[1].required = 2;
    rule.stages[1].approvers[0].0.push("user:dee".parse().unwrap());
    let approval = done(&done(&asked(rule), &approve("bo"), 1), &approve("cy"), 2);
    assert_eq!(approvals(&approval), [(1, false), (1, true)]);

    let opened = done(&approval, &Command::Withdraw { by: person("bo"), comment: String::new() }, 3);
    assert_eq!(approvals(&opened), [(0, true), (1, false)]);
    assert_eq!(refused(&opened, &approve("dee"), 4), "STAGE_NOT_OPEN");
    assert_eq!(refused(&opened, &vote("dee", Decision::Reject), 4), "STAGE_NOT_OPEN");
    let met = done(&opened, &approve("ana"), 5);
    assert_eq!(approvals(&met), [(1, false), (1, true)]);
    assert_eq!(done(&met, &approve("dee"), 6).status, Status::Approved);
}

#[test]
fn whoever_counts_in_a_stage_counts_in_no_other_unless_they_may_repeat() {
    let once = done(&asked(two_stages(false)), &approve("ana"), 1);
    assert_eq!(done(&once, &approve("ana"), 2), once, "the same vote again");
    let commented = Command::Vote {
        by: person("ana"),
        choice: Decision::Approve.into(),
        comment: "once more".to_owned(),
        response: None,
        etag: None,
        cast_by: None,
    };
    let changed = done(&once, &commented, 2);
    assert_eq!((approvals(&changed), changed.status), (vec![(1, false), (0, true)], Status::Pending));

    let repeating = done(&asked(two_stages(true)), &approve("ana"), 1);
    let decided = done(&repeating, &approve("ana"), 2);
    assert_eq!((decided.status, decided.votes.len(), decided.decided_by.len()), (Status::Approved, 2, 1));
    // Whoever is against it takes back all that they were for.
    let mut rule = two_stages(true);
    rule.required_rejections = 2;
    rule.stages.push(stage("last", &["dee"], 1));
    let twice = done(&done(&asked(rule), &approve("ana"), 1), &approve("ana"), 2);
    let against = done(&twice, &vote("ana", Decision::Reject), 3);
    assert_eq!((against.votes.len(), approvals(&against)[0]), (1, (0, true)));
}

#[test]
fn what_one_has_in_hand_another_can_neither_decide_nor_let_go_nor_give_on() {
    let claim = |name: &str| Command::Claim { by: person(name), until: seconds(100) };
    let give = |name: &str, to: &str, operator| Command::Reassign {
        by: person(name),
        operator,
        to: to.parse().unwrap(),
        comment: String::new(),
        until: seconds(100),
    };
    let release = |name: &str, operator| Command::Release { by: name.parse().unwrap(), operator };
    let claimed = done(&asked(Rule::default()), &claim("ana"), 1);
    for command in [approve("bo"), claim("bo"), release("bo", false), give("bo", "cy", false)] {
        assert_eq!(refused(&claimed, &command, 99), "CLAIMED", "{command:?}");
    }
    assert_eq!(done(&claimed, &approve("bo"), 100).status, Status::Approved, "it has lapsed");
    assert!(done(&claimed, &release("op", true), 2).assignment.is_none());
    assert_eq!(refused(&claimed, &give("ana", "ana", false), 2), "INVALID_FIELD");
    assert_eq!(refused(&claimed, &give("ana", "req", false), 2), "INVALID_FIELD", "who asked may not approve");
    assert_eq!(refused(&claimed, &give("ana", "group:finance", false), 2), "INVALID_FIELD");

    let mut given = claimed;
    for hop in 0..10 {
        let from = if hop == 0 { "ana".to_owned() } else { format!("p{hop}") };
        given = done(&given, &give(&from, &format!("p{}", hop + 1), false), 2);
        assert_eq!(refused(&given, &give(&format!("p{}", hop + 1), "ana", false), 2), "REASSIGNMENT_LOOP");
    }
    assert_eq!(refused(&given, &give("p10", "p11", false), 2), "REASSIGNMENT_LOOP", "often enough");
    let lapsed = done(&given, &Command::Timer, 100);
    assert!(lapsed.assignment.is_none());
    assert_eq!(done(&lapsed, &give("p10", "ana", false), 101).assignment.unwrap().by.len(), 1);
}

#[test]
fn it_is_given_to_nobody_whom_its_rule_does_not_name() {
    let approval = asked(two_stages(false));
    let give = |to: &str| Command::Reassign {
        by: person("ana"),
        operator: false,
        to: to.parse().unwrap(),
        comment: String::new(),
        until: seconds(100),
    };
    assert_eq!(refused(&approval, &give("cy"), 1), "INVALID_FIELD", "an approver, but of no open stage");
    assert_eq!(refused(&approval, &give("mallory"), 1), "INVALID_FIELD");
    let given = done(&approval, &give("bo"), 1);
    assert!(given.awaits(&person("bo")) && !given.awaits(&person("ana")));
}

#[test]
fn only_who_asked_or_an_operator_cancels_and_the_task_is_told() {
    let cancel =
        |name: &str, operator| Command::Cancel { by: name.parse().unwrap(), operator, reason: "not needed".to_owned() };
    let approval = asked(Rule::default());
    assert_eq!(refused(&approval, &cancel("ana", false), 1), "NOT_THE_REQUESTER");
    for command in [cancel("req", false), cancel("op", true)] {
        let canceled = done(&approval, &command, 1);
        assert!(canceled.wants_delivery());
        let Some(Answer::Failure { error, cause }) = Answer::of(&canceled) else { panic!("{canceled:?}") };
        assert_eq!(error, ERROR_CANCELED);
        assert!(cause.contains(r#""outcome":"CANCELED""#) && cause.contains(r#""reason":"not needed""#), "{cause}");
        // A retry's task hears of it as well.
        let bound = done(&canceled, &Command::Bind { token: token(1), attempt: 1, heartbeat: None }, 2);
        assert!(bound.wants_delivery());
    }
    let gone = done(&approval, &Command::Abandon { by: Principal::system("worker"), reason: "stopped".to_owned() }, 1);
    assert_eq!(Answer::of(&gone), None);
    assert_eq!(refused(&gone, &Command::Bind { token: token(1), attempt: 1, heartbeat: None }, 2), "ALREADY_DECIDED");
}

#[test]
fn in_a_freeze_only_those_decide_whom_it_excepts() {
    let except = Some(ApproverSet(vec!["user:cy".parse().unwrap()]));
    let freeze = Freeze { start: seconds(10), end: seconds(20), except, reason: "year's end".to_owned() };
    let approval = asked(Rule { freezes: vec![freeze], ..Rule::default() });
    assert_eq!(done(&approval, &approve("ana"), 9).status, Status::Approved);
    assert_eq!(refused(&approval, &approve("ana"), 10), "ON_HOLD");
    assert_eq!(refused(&approval, &vote("ana", Decision::Reject), 19), "ON_HOLD");
    assert_eq!(done(&approval, &approve("cy"), 10).status, Status::Approved);
    assert_eq!(done(&approval, &approve("ana"), 20).status, Status::Approved);
    let held = Command::Hold { by: "user:op".parse().unwrap(), until: Some(seconds(30)), reason: "wait".to_owned() };
    let held = done(&approval, &held, 20);
    assert_eq!(refused(&held, &approve("cy"), 29), "ON_HOLD", "a hold excepts nobody");
    assert_eq!(done(&held, &Command::Timer, 30).hold, None);
}

#[test]
fn a_server_that_was_away_reminds_once_and_escalates_in_order() {
    let secs = SignedDuration::from_secs;
    let more = |after, name: &str| Escalation {
        after: secs(after),
        approvers: ApproverSet(vec![name.parse().unwrap()]),
        stage: String::new(),
    };
    let approval = asked(Rule {
        remind_after: vec![secs(30), secs(10), secs(90)],
        escalations: vec![more(20, "boss"), more(5, "deputy")],
        ..Rule::single(vec![ApproverSet(vec!["user:ana".parse().unwrap()])], 1)
    });
    assert_eq!(refused(&approval, &approve("boss"), 50), "NOT_AN_APPROVER", "not before it is recorded");
    let rung = apply(&approval, &Command::Timer, seconds(50)).unwrap();
    let told: Vec<_> = rung
        .events
        .iter()
        .map(|event| match event {
            Event::Escalated { approvers, .. } => approvers.0[0].to_string(),
            Event::Reminded { number } => number.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["user:deputy", "user:boss", "2"]);
    assert_eq!(refused(&rung.approval, &Command::Timer, 50), "NOTHING_DUE");
    assert_eq!(rung.approval.timer_due(), Some(seconds(90)));
    assert_eq!(done(&rung.approval, &approve("boss"), 51).status, Status::Approved);
}

#[test]
fn no_task_brings_forward_what_lets_more_people_decide_by_claiming_to_be_old() {
    let rule = Rule {
        expire_after: Some(SignedDuration::from_secs(100)),
        on_expiry: ExpiryAction::Approve,
        escalations: vec![Escalation {
            after: SignedDuration::from_secs(50),
            approvers: ApproverSet(vec!["user:mallory".parse().unwrap()]),
            stage: String::new(),
        }],
        ..Rule::single(vec![ApproverSet(vec!["user:ana".parse().unwrap()])], 1)
    };
    let claiming = |rule: Rule, entered| {
        let mut request = (*asked(rule).request).clone();
        request.source.state_entered = Some(entered);
        new_approval(request, "{}")
    };
    let old = claiming(rule.clone(), start() - SignedDuration::from_hours(1));
    assert_eq!((old.expires, old.timer_due()), (Some(seconds(100)), Some(seconds(50))));
    // Nor does one put a deadline off by claiming to be of tomorrow.
    let young = claiming(Rule { on_expiry: ExpiryAction::Reject, ..rule }, start() + SignedDuration::from_hours(24));
    assert_eq!(young.expires, Some(seconds(100)));
}
