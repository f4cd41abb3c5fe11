//! What is allowed and may yet be a mistake.

use jiff::SignedDuration;

use super::{
    Placeholders, STEP_FUNCTIONS_FULL_ACCESS, Spec, Step, definition, policy, role_needs,
    steps::{steps, task_resources},
};

/// Something that the user may want to think about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its path in the spec.
    pub field: String,
    /// What about it, and what would be better.
    pub message: String,
}

/// How many heartbeats the server may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeats {
    /// For all pending approvals together.
    pub per_second: u32,
}

impl Heartbeats {
    /// How many approvals can be kept pending whose states have these HeartbeatSeconds: each gets its next heartbeat after
    /// two thirds of them.
    fn carry(self, heartbeat: SignedDuration) -> u64 {
        let seconds = u64::try_from(heartbeat.as_secs()).unwrap_or(0);
        u64::from(self.per_second) * seconds * 2 / 3
    }
}

const FULL_ACCESS: &str = "AWSStepFunctionsFullAccess lets the state machine do everything in Step Functions";

/// What of a spec may be a mistake, though it can be applied.
#[must_use]
pub fn warnings(spec: &Spec, heartbeats: Heartbeats) -> Vec<Warning> {
    let outputs = Placeholders::anywhere(spec);
    let arn = outputs.get("activity_arn").unwrap_or_default();
    let text = definition::desired(spec, arn);
    // A definition may name its activities by ARNs of their own account.
    let of_spec = |resource: &String| {
        let name = resource.rsplit_once(":activity:").map(|(_, name)| name);
        name.is_some_and(|name| spec.activity_names().any(|own| own == name))
    };
    let resources = task_resources(&text);
    let mut arns: Vec<String> = resources.iter().filter(|resource| of_spec(resource)).cloned().collect();
    arns.sort();
    arns.dedup();
    let steps = steps(&text, &arns);

    let mut all = Vec::new();
    let mut warn = |field: &str, message: String| all.push(Warning { field: field.to_owned(), message });
    rights(spec, &resources, &mut warn);
    for step in &steps {
        of_step(spec, step, heartbeats, &mut warn);
    }
    let bounded = serde_json::from_str::<serde_json::Value>(&text)
        .is_ok_and(|definition| definition.get("TimeoutSeconds").is_some());
    if !bounded {
        let message = "the state machine has no TimeoutSeconds of its own: a step's TimeoutSeconds count only from when a \
                       worker takes its task, so that nothing but AWS's limit of a year bounds how long a task waits \
                       in the queue";
        warn("state_machine.definition", message.to_owned());
    }
    let used = |name: &str| arns.iter().any(|arn| arn.rsplit(':').next() == Some(name));
    for (key, name) in spec.more_activities.iter().filter(|(_, name)| !used(name)) {
        warn(&format!("more_activities.{key}"), format!("no state waits for the activity {name}"));
    }
    for placeholder in outputs.unknown(&text) {
        warn("state_machine.definition", format!("{placeholder} is no output of the workflow, and stays as it is"));
    }
    all
}

/// Resources of the workflow as it was that it no longer names as it should be: nobody deletes them.
#[must_use]
pub fn renamed(was: &Spec, spec: &Spec) -> Vec<Warning> {
    let mut left = Vec::new();
    let mut leave = |field: &str, kind: &str, name: &str| {
        let message =
            format!("the {kind} {name} of the last apply is no longer named; it stays, and is yours to delete");
        left.push(Warning { field: field.to_owned(), message });
    };
    for name in was.activity_names().filter(|name| !spec.activity_names().any(|other| other == *name)) {
        leave("activity_name", "activity", name);
    }
    if was.role.name != spec.role.name {
        leave("role.name", "role", &was.role.name);
    }
    if was.state_machine.name != spec.state_machine.name {
        leave("state_machine.name", "state machine", &was.state_machine.name);
    }
    left
}

fn rights(spec: &Spec, resources: &[String], warn: &mut impl FnMut(&str, String)) {
    let only_activities = resources.iter().all(|resource| resource.contains(":activity:"));
    let observed = spec.state_machine.logging.is_some() || spec.state_machine.tracing || spec.encryption.is_some();
    for arn in &spec.role.managed_policy_arns {
        let full = policy::same_managed(arn, STEP_FUNCTIONS_FULL_ACCESS);
        let message = match (only_activities && !observed, full) {
            (true, true) => format!("{FULL_ACCESS}; one that only waits for activities needs no policy at all"),
            (true, false) => format!("{arn}: a state machine that only waits for activities needs no policy at all"),
            (false, true) => format!("{FULL_ACCESS}; name what it really calls in an inline policy"),
            (false, false) => continue,
        };
        warn("role.managed_policy_arns", message);
    }
    if only_activities && !observed && !spec.role.inline_policies.is_empty() {
        let message = "a state machine that only waits for activities needs no policy at all";
        warn("role.inline_policies", message.to_owned());
    }
    for need in role_needs::lacking(spec) {
        let message = format!(
            "the role needs {} {}, and no inline policy allows that; unless a managed policy does, Step Functions refuses, \
             or executions fail",
            need.actions.join(", "),
            need.purpose,
        );
        warn(need.field, message);
    }
}

fn of_step(spec: &Spec, step: &Step, heartbeats: Heartbeats, warn: &mut impl FnMut(&str, String)) {
    let state = &step.state;
    let field = format!("state_machine.definition/States/{state}");
    match step.heartbeat {
        None => warn(
            &field,
            "it has no HeartbeatSeconds: a task that is lost with its worker is not handed out again before its \
             TimeoutSeconds"
                .to_owned(),
        ),
        Some(heartbeat) => {
            let most = heartbeats.carry(heartbeat);
            if let Some(pending) = spec.expected_pending.filter(|pending| *pending > most) {
                let enough = u128::from(pending) * 3 / (2 * u128::from(heartbeats.per_second.max(1))) + 1;
                let message = format!(
                    "HeartbeatSeconds of {} can be kept for {most} pending approvals at {} heartbeats a second, and {pending} \
                     are expected; give it {enough} or more, or raise the quota and worker.heartbeats_per_second",
                    heartbeat.as_secs(),
                    heartbeats.per_second,
                );
                warn(&field, message);
            }
        }
    }
    if !step.retries_lost {
        let message = "it has no Retry on States.HeartbeatTimeout and States.Timeout: an outage ends the execution, and \
                       whoever starts it again asks people twice";
        warn(&field, message.to_owned());
    }
    if !step.identity_from_context {
        let message = "its tasks do not take execution, state and entered_at from the context object (in a Map also a \
                       key): a retry can't be told from a new question, and asks people twice";
        warn(&field, message.to_owned());
    }
    if let (Some(timeout), Some(expiry)) = (step.timeout, spec.rule.expire_after)
        && timeout < expiry
    {
        let message = format!(
            "its TimeoutSeconds of {} are shorter than the {} s after which the rule expires: Step Functions gives up \
             first, and a late decision finds nobody",
            timeout.as_secs(),
            expiry.as_secs(),
        );
        warn(&field, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Heartbeats = Heartbeats { per_second: 300 };

    fn found(spec: &Spec) -> Vec<(String, String)> {
        warnings(spec, RATE).into_iter().map(|warning| (warning.field, warning.message)).collect()
    }

    fn has(spec: &Spec, part: &str) -> bool {
        found(spec).iter().any(|(_, message)| message.contains(part))
    }

    /// A definition about which there is nothing to say.
    fn quiet() -> Spec {
        let mut spec = Spec::reference();
        spec.role.managed_policy_arns.clear();
        let mut definition: serde_json::Value = serde_json::from_str(&definition::unresolved(&spec)).unwrap();
        definition["TimeoutSeconds"] = 86_400.into();
        spec.state_machine.definition = Some(definition.to_string());
        spec
    }

    fn edited(edit: impl FnOnce(&mut serde_json::Value)) -> Spec {
        let mut spec = quiet();
        let mut definition: serde_json::Value =
            serde_json::from_str(spec.state_machine.definition.as_deref().unwrap()).unwrap();
        edit(&mut definition);
        spec.state_machine.definition = Some(definition.to_string());
        spec
    }

    #[test]
    fn there_is_a_spec_without_warnings() {
        assert_eq!(found(&quiet()), []);
    }

    #[test]
    fn a_policy_that_nothing_needs_is_told() {
        assert!(has(&Spec::reference(), "needs no policy at all"));
        let mut spec = quiet();
        spec.role.managed_policy_arns = vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned()];
        assert!(has(&spec, "needs no policy at all"));
        let mut calls = edited(|definition| {
            definition["States"]["NextStep"] =
                serde_json::json!({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": true});
        });
        calls.role.managed_policy_arns = vec!["arn:aws:iam::aws:policy/AmazonSQSFullAccess".to_owned()];
        assert_eq!(found(&calls), []);
        calls.role.managed_policy_arns = vec!["arn:aws-cn:iam::aws:policy/AWSStepFunctionsFullAccess".to_owned()];
        assert!(has(&calls, "inline policy"));
    }

    #[test]
    fn heartbeats_that_the_quota_cannot_carry_are_told_with_what_would_do() {
        let mut spec = quiet();
        // 300 a second, one per approval every 40 s.
        spec.expected_pending = Some(12_000);
        assert_eq!(found(&spec), []);
        spec.expected_pending = Some(12_001);
        let (field, message) = &found(&spec)[0];
        assert_eq!(field, "state_machine.definition/States/ApprovalStep");
        assert!(message.contains("for 12000 pending") && message.contains("give it 61 or more"), "{message}");
        let enough = edited(|definition| definition["States"]["ApprovalStep"]["HeartbeatSeconds"] = 61.into());
        assert_eq!(found(&Spec { expected_pending: Some(12_001), ..enough }), []);
    }

    #[test]
    fn steps_that_ask_twice_are_told() {
        let step = |field: &'static str| {
            edited(move |all| {
                all["States"]["ApprovalStep"].as_object_mut().unwrap().remove(field);
            })
        };
        assert!(has(&step("Retry"), "no Retry"));
        assert!(has(&step("Parameters"), "context object"));
        assert!(has(&step("HeartbeatSeconds"), "no HeartbeatSeconds"));
    }

    #[test]
    fn a_timeout_before_the_rules_expiry_is_told() {
        let mut spec = quiet();
        spec.rule.expire_after = Some(SignedDuration::from_secs(300));
        assert_eq!(found(&spec), []);
        spec.rule.expire_after = Some(SignedDuration::from_secs(301));
        assert!(has(&spec, "shorter than the 301 s"));
    }

    #[test]
    fn what_the_role_needs_for_traces_is_told() {
        let mut spec = quiet();
        spec.state_machine.tracing = true;
        let (field, message) = &found(&spec)[0];
        assert_eq!(field, "state_machine.tracing");
        assert!(message.contains("xray:PutTraceSegments, xray:PutTelemetryRecords"), "{message}");
    }

    #[test]
    fn an_unbounded_queue_is_told() {
        assert!(has(&Spec::reference(), "waits in the queue"));
    }

    #[test]
    fn what_a_new_name_leaves_behind_is_told() {
        let was = Spec::reference();
        assert_eq!(renamed(&was, &was), []);
        let left = renamed(&was, &Spec::named("HumanApproval"));
        let fields: Vec<&str> = left.iter().map(|warning| warning.field.as_str()).collect();
        assert_eq!(fields, ["activity_name", "role.name", "state_machine.name"]);
        assert!(left[1].message.contains("HumanApprovalRole"));
    }

    #[test]
    fn what_is_left_over_is_told() {
        let mut spec = quiet();
        spec.more_activities.insert("legal".to_owned(), "Legal".to_owned());
        assert!(has(&spec, "no state waits for the activity Legal"));
        let spec = edited(|definition| definition["Comment"] = "${table}".into());
        assert!(has(&spec, "${table} is no output"));
    }
}
