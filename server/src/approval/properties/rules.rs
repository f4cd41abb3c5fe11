//! What holds of rules, of the votes under them, and of what is said about both.

use proptest::{collection::vec, option, prelude::*, sample::Index};

use super::super::{
    arbitrary::{commands, fitting, new_approval, people, requests, rule_requests, rules, seconds, start, votes},
    *,
};

fn done(approval: &Approval, command: &Command, second: i64) -> Option<Approval> {
    apply(approval, command, seconds(second)).ok().map(|transition| transition.approval)
}

/// An approval after commands that may be refused, and the time then.
fn after(request: Request, steps: &[(Command, i64)]) -> (Approval, i64) {
    let mut now = 0;
    let mut approval = new_approval(request, "{}");
    for (command, later) in steps {
        now += later;
        approval = done(&approval, command, now).unwrap_or(approval);
    }
    (approval, now)
}

/// A vote that has whatever a rule may ask for.
fn filled(by: &Person, choice: Choice) -> Command {
    let comment = "it is right so".to_owned();
    Command::Vote { by: by.clone(), choice, comment, response: Some(fitting()), etag: None, cast_by: None }
}

fn approve(by: &Person) -> Command {
    filled(by, Choice::Plain(Decision::Approve))
}

/// What must be true of a vote that was counted.
fn check_vote(before: &Approval, by: &Person, vote: &Vote, now: Timestamp) -> Result<(), TestCaseError> {
    let rule = &before.request.rule;
    prop_assert!(before.held(now).is_none() && rule.frozen(by, now).is_none());
    prop_assert!(before.in_hand(now).is_none_or(|assignment| assignment.assignee == by.principal));
    prop_assert!(!rule.wants_comment(vote.decision) || !vote.comment.trim().is_empty());
    prop_assert!(!rule.stages_of(by, before.escalations).is_empty());
    if vote.decision == Decision::Reject {
        return Ok(());
    }
    prop_assert!(rule.response_schema.is_none() || vote.response == Some(fitting()));
    prop_assert!(rule.allow_self_approval || before.request.requester.as_ref() != Some(&by.principal));
    let counts = rule.counts(&before.votes);
    for stage in &vote.stages {
        prop_assert!(rule.is_approver(*stage, by, before.escalations));
        let there = before.votes.iter().any(|vote| vote.voter == by.principal && vote.stages.contains(stage));
        let met = |at: usize| counts[at] >= rule.stages[at].required;
        prop_assert!(there || rule.order == StageOrder::Parallel || (0..*stage).all(met), "no stage is skipped");
    }
    Ok(())
}

/// Whether each seat has somebody of its own, by trying everything.
fn can_be_seated(seats: &[usize], may: &[Vec<usize>], taken: &mut Vec<usize>) -> bool {
    let Some((seat, rest)) = seats.split_first() else { return true };
    for person in 0..may.len() {
        if may[person].contains(seat) && !taken.contains(&person) {
            taken.push(person);
            if can_be_seated(rest, may, taken) {
                return true;
            }
            taken.pop();
        }
    }
    false
}

/// Whether these people can approve it among themselves, by trying everything.
fn can_be_approved(approval: &Approval, people: &[Person]) -> bool {
    approval.status == Status::Approved
        || people.iter().any(|person| {
            let next = done(approval, &approve(person), 0).filter(|next| next.votes.len() > approval.votes.len());
            next.is_some_and(|next| can_be_approved(&next, people))
        })
}

fn person(name: &str) -> Person {
    Person { principal: name.parse().unwrap(), groups: Vec::new() }
}

const NAMES: [&str; 4] = ["user:ana", "user:bob", "user:cyd", "user:dan"];

/// The rule with people in the place of groups, so that everybody is named.
fn named(mut rule: Rule) -> Rule {
    let name = |who: &mut Principal| match who.as_str() {
        "group:finance" => *who = "user:dan".parse().unwrap(),
        "group:ops" => *who = "user:cyd".parse().unwrap(),
        _ => {}
    };
    for stage in &mut rule.stages {
        if stage.approvers.is_empty() {
            stage.approvers = vec![ApproverSet(NAMES.map(|name| name.parse().unwrap()).to_vec())];
        }
        stage.approvers.iter_mut().flat_map(|set| &mut set.0).for_each(name);
    }
    rule.escalations.iter_mut().flat_map(|escalation| &mut escalation.approvers.0).for_each(name);
    // Of no importance for who could approve.
    rule.required_rejections = 1;
    rule.expire_after = None;
    rule.remind_after.clear();
    rule.freezes.clear();
    for escalation in &mut rule.escalations {
        escalation.after = SignedDuration::from_secs(1);
    }
    rule
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whoever_voted_was_allowed_to(request in requests(), steps in vec((commands(), 0_i64..30), 0..30)) {
        let mut approval = new_approval(request, "{}");
        let mut now = 0;
        for (command, later) in steps {
            now += later;
            let Ok(transition) = apply(&approval, &command, seconds(now)) else { continue };
            if let Command::Vote { by, .. } = &command {
                for event in &transition.events {
                    if let Event::Voted { vote, .. } = event {
                        check_vote(&approval, by, vote, seconds(now))?;
                    }
                }
            }
            approval = transition.approval;
        }
        let by_people = approval.decided_by != [Principal::system("expiry")];
        if approval.status == Status::Approved && by_people && !approval.request.rule.allow_repeat_approvers {
            let needed: u32 = approval.request.rule.stages.iter().map(|stage| stage.required).sum();
            prop_assert!(approval.decided_by.len() >= needed as usize, "one person counts once");
        }
    }

    #[test]
    fn the_order_of_votes_in_parallel_stages_changes_nothing(
        seats in vec(1_u32..3, 1..4),
        may in vec(proptest::sample::subsequence(vec![0_usize, 1, 2], 0..=3), 0..6),
        swaps in vec((any::<Index>(), any::<Index>()), 0..6),
    ) {
        let stages = seats.iter().map(|seats| Stage { required: *seats, ..Stage::default() }).collect();
        let rule = Rule { stages, order: StageOrder::Parallel, ..Rule::default() };
        let mut votes: Vec<_> = may.iter().enumerate().map(|(at, stages)| Vote {
            voter: format!("user:{at}").parse().unwrap(),
            decision: Decision::Approve,
            outcome: None,
            stages: stages.clone(),
            comment: String::new(),
            response: None,
            at: start(),
            cast_by: None,
        }).collect();
        let (counts, verdict) = (rule.counts(&votes), rule.verdict(&votes));
        for (one, other) in swaps {
            if !votes.is_empty() {
                let (one, other) = (one.index(votes.len()), other.index(votes.len()));
                votes.swap(one, other);
            }
        }
        prop_assert_eq!((rule.counts(&votes), rule.verdict(&votes)), (counts, verdict));
        let each: Vec<_> =
            seats.iter().enumerate().flat_map(|(stage, seats)| vec![stage; *seats as usize]).collect();
        prop_assert_eq!(verdict == Verdict::Approved, can_be_seated(&each, &may, &mut Vec::new()));
    }

    #[test]
    fn what_approves_under_a_tasks_rule_approves_under_the_workflows(
        rule in rules(),
        asked in rule_requests(),
        mut request in requests(),
        steps in vec((prop_oneof![4 => votes(), 1 => commands()], 0_i64..20), 0..40),
    ) {
        let Ok(tight) = rule.asked(asked) else { return Ok(()) };
        request.rule = tight.clone();
        // The workflow's own stage that a task's stage is, or stands for.
        let place = |stage: &usize| match rule.stages.as_slice() {
            [only] if only.name != tight.stages[*stage].name => (*only == Stage::default()).then_some(0),
            stages => stages.iter().position(|known| known.name == tight.stages[*stage].name),
        };
        let mut approval = new_approval(request, "{}");
        let mut now = 0;
        for (command, later) in steps {
            now += later;
            let Ok(transition) = apply(&approval, &command, seconds(now)) else { continue };
            for event in &transition.events {
                let (Command::Vote { by, .. }, Event::Voted { vote, .. }) = (&command, event) else { continue };
                let approves = vote.decision == Decision::Approve;
                let theirs = |stage| rule.is_approver(stage, by, approval.escalations);
                prop_assert!(vote.stages.iter().filter_map(place).all(theirs), "whoever may decide could before");
                let own = approval.request.requester.as_ref() == Some(&by.principal);
                prop_assert!(!approves || !own || rule.allow_self_approval);
                prop_assert!(rule.frozen(by, seconds(now)).is_none());
            }
            approval = transition.approval;
        }
        if approval.status != Status::Approved {
            return Ok(());
        }
        if approval.decided_by == [Principal::system("expiry")] {
            let base = new_approval(Request { rule: rule.clone(), ..(*approval.request).clone() }, "{}");
            let expired = done(&base, &Command::Timer, now).map(|base| base.status);
            prop_assert_eq!(expired, Some(Status::Approved), "what a timeout approves, it would have approved");
            return Ok(());
        }
        // The same votes, in the stages of the workflow's own rule.
        let mut votes = approval.votes.clone();
        for vote in &mut votes {
            vote.stages = vote.stages.iter().filter_map(place).collect();
        }
        votes.retain(|vote| vote.decision == Decision::Approve);
        prop_assert_eq!(rule.verdict(&votes), Verdict::Approved);
    }

    #[test]
    fn to_have_it_in_hand_lets_nobody_do_more(
        request in requests(),
        steps in vec((commands(), 0_i64..20), 0..20),
        vote in votes(),
    ) {
        let (approval, now) = after(request, &steps);
        let free = Approval { assignment: None, ..approval.clone() };
        if done(&approval, &vote, now).is_some() {
            prop_assert!(done(&free, &vote, now).is_some());
        }
        if let Some(assignment) = &approval.assignment {
            prop_assert!(!assignment.by.contains(&assignment.assignee), "nobody gets what they gave away");
            prop_assert!(assignment.by.len() <= 10);
        }
    }

    #[test]
    fn what_is_explained_is_what_happens(
        request in requests(),
        steps in vec((commands(), 0_i64..20), 0..20),
        who in people(),
    ) {
        let (approval, now) = after(request, &steps);
        let explained = explain(&approval, Some(&who), seconds(now));
        let rule = &approval.request.rule;
        prop_assert_eq!(explained.effects.len(), 2 + rule.outcomes.len());
        for effect in &explained.effects {
            let choice = match &effect.outcome {
                Some(name) => Choice::Outcome { name: name.clone(), decision: None },
                None => Choice::Plain(effect.decision),
            };
            let happened = apply(&approval, &filled(&who, choice), seconds(now));
            prop_assert_eq!(&effect.result, &happened.map(|transition| transition.approval.status));
            prop_assert!(!effect.text.is_empty());
            prop_assert!(explained.blocked.is_none() || effect.result.is_err());
        }
        let missing = |stage: &StageNeed| stage.progress.approvals < stage.progress.required;
        prop_assert!(approval.status != Status::Pending || explained.stages.iter().any(missing));
        prop_assert!(approval.status != Status::Approved || approval.decided_by == [Principal::system("expiry")]
            || !explained.stages.iter().any(missing));
    }

    #[test]
    fn whom_it_awaits_can_bring_it_further(
        request in requests(),
        steps in vec((commands(), 0_i64..20), 0..20),
        who in people(),
    ) {
        let (mut approval, now) = after(request, &steps);
        // What a list does not look at.
        approval.hold = None;
        let mut request = (*approval.request).clone();
        request.rule.freezes.clear();
        approval.request = Arc::new(request);
        if !approval.awaits(&who) {
            return Ok(());
        }
        let needed = |approval: &Approval| -> u32 {
            approval.progress().iter().map(|stage| stage.approvals.min(stage.required)).sum()
        };
        let next = done(&approval, &approve(&who), now).expect("it waits for them");
        prop_assert!(needed(&next) > needed(&approval));
    }

    #[test]
    fn a_rule_is_refused_if_nobody_could_ever_meet_it(
        rule in rules(),
        requester in option::of(proptest::sample::select(NAMES.to_vec())),
        mut request in requests(),
    ) {
        let rule = named(rule);
        let requester = requester.map(|name| name.parse().unwrap());
        let problems = rule.problems(requester.as_ref());
        prop_assert!(problems.iter().all(|problem| problem.field.ends_with("required_approvals")), "{problems:?}");
        request.rule = rule.clone();
        request.requester = requester;
        let mut approval = new_approval(request, "{}");
        approval.escalations = rule.escalations.len();
        prop_assert_eq!(problems.is_empty(), can_be_approved(&approval, &NAMES.map(person)), "{:?}", problems);
    }

    #[test]
    fn what_is_due_is_done_once_and_no_earlier(request in requests(), steps in vec((commands(), 0_i64..60), 0..20)) {
        let (approval, now) = after(request, &steps);
        let Some(due) = approval.timer_due() else {
            prop_assert!(approval.status.is_final() || apply(&approval, &Command::Timer, seconds(now)).is_err());
            return Ok(());
        };
        let early = due - SignedDuration::from_nanos(1);
        prop_assert_eq!(apply(&approval, &Command::Timer, early), Err(Refusal::NothingDue));
        let late = due.max(seconds(now)) + SignedDuration::from_secs(50);
        for at in [due, late] {
            let rung = apply(&approval, &Command::Timer, at).expect("something is due");
            prop_assert!(!rung.events.is_empty());
            let reminders = rung.events.iter().filter(|event| matches!(event, Event::Reminded { .. })).count();
            prop_assert!(reminders <= 1, "those that were missed together are one");
            let escalations = rung.events.iter().filter(|event| matches!(event, Event::Escalated { .. })).count();
            prop_assert_eq!(rung.approval.escalations, approval.escalations + escalations);
            prop_assert!(rung.approval.timer_due().is_none_or(|next| next > at));
        }
    }
}
