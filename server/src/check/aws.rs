//! Whether AWS answers, and whether it allows what the server asks of it. Each call is made about something that there is
//! not: an answer that says so was allowed. No task is taken, and nothing is changed.

use aws_config::SdkConfig;
use futures::future::{BoxFuture, join_all};

use super::{Report, clock::Seen, store::Known};
use crate::{
    approval::TaskToken,
    provision::{ControlPlane as _, SdkControlPlane},
    stepfunctions::{CallError, Failure, Sdk, StartedExecution, StepFunctions as _},
};

/// What nothing is called.
const NOTHING: &str = "approve-check";
/// Whose validation changes nothing.
const DEFINITION: &str = r#"{"StartAt":"Check","States":{"Check":{"Type":"Succeed"}}}"#;
const POLICY: &str = "allow it: approve-server iam-policy prints what the server needs";

/// A call, and what came of it.
struct Tried {
    action: &'static str,
    /// What it was about.
    on: String,
    /// Whether a policy that names what there is would rightly deny it.
    is_made_up: bool,
    outcome: Result<(), CallError>,
}

/// An action, what it is about, whether that is made up, and the call.
type Call<'a> = (&'static str, &'a str, bool, BoxFuture<'a, Result<(), CallError>>);

/// What is asked about.
struct Names {
    activity: String,
    /// Of a state machine that there may be.
    machine: String,
    no_machine: String,
    execution: String,
    role: String,
}

impl Names {
    /// As the policies that `approve-server iam-policy` prints have them, of the first workflow if there is one.
    fn of(known: &Known, partition: &str, region: &str, account: &str) -> Self {
        let states = |rest: String| format!("arn:{partition}:states:{region}:{account}:{rest}");
        let first = known.workflows.first().map(|workflow| &workflow.record);
        let name = first.map_or(NOTHING, |record| record.name.as_str());
        let machine = first.and_then(|record| record.state_machine_arn.rsplit(':').next().map(str::to_owned));
        let machine = machine.unwrap_or_else(|| format!("{NOTHING}-state-machine"));
        let role = first.and_then(|record| record.role_arn.rsplit('/').next().map(str::to_owned));
        Self {
            activity: states(format!("activity:{name}-{NOTHING}-activity")),
            execution: states(format!("execution:{machine}:{NOTHING}")),
            machine: states(format!("stateMachine:{machine}")),
            no_machine: states(format!("stateMachine:{NOTHING}")),
            role: role.filter(|role| !role.is_empty()).unwrap_or_else(|| format!("{NOTHING}-role")),
        }
    }
}

/// Looks at credentials and permissions; what AWS's clock said meanwhile.
pub(super) async fn check(aws: &SdkConfig, region: &str, known: &Known, report: &mut Report) -> Option<Seen> {
    let (identity, seen) = super::clock::identify(aws).await;
    let (account, arn) = match identity {
        Ok(identity) => identity,
        Err(error) => {
            let (found, advice) = match error.failure {
                Failure::Denied => {
                    ("refused", "give the server credentials: a role, AWS_PROFILE, or AWS_ACCESS_KEY_ID")
                }
                Failure::Throttled => ("throttled", "run the check again"),
                Failure::Gone | Failure::TimedOut | Failure::Refused | Failure::Unknown => {
                    ("no answer", "is the endpoint right, and can it be reached from here?")
                }
            };
            report.fail("aws credentials", format!("{found}: {error}"), advice);
            return seen;
        }
    };
    report.ok("aws credentials", format!("{arn} in {region}"));
    let partition = arn.split(':').nth(1).unwrap_or("aws").to_owned();
    for tried in tried(aws, &Names::of(known, &partition, region, &account)).await {
        judge(tried, !known.workflows.is_empty(), report);
    }
    report.skipped(
        "states and iam, to provision",
        "not tried: Create…, Update…, Tag…, Put… and Delete… change something",
    );
    seen
}

async fn tried(aws: &SdkConfig, names: &Names) -> Vec<Tried> {
    let (sfn, control) = (&Sdk::new(aws), &SdkControlPlane::new(aws));
    let (token, Names { activity, machine, no_machine, execution, role }) = (&TaskToken::from(NOTHING), names);
    let none = "no task";
    let calls: Vec<Call<'_>> = vec![
        (
            "states:GetActivityTask",
            activity,
            true,
            Box::pin(async move { sfn.get_activity_task(activity, NOTHING).await.map(drop) }),
        ),
        ("states:SendTaskHeartbeat", none, false, Box::pin(sfn.send_task_heartbeat(token))),
        ("states:SendTaskSuccess", none, false, Box::pin(sfn.send_task_success(token, "{}"))),
        ("states:SendTaskFailure", none, false, Box::pin(sfn.send_task_failure(token, NOTHING, NOTHING))),
        (
            "states:StartExecution",
            no_machine,
            true,
            Box::pin(async move { sfn.start_execution(no_machine, NOTHING, "{}").await.map(|_: StartedExecution| ()) }),
        ),
        (
            "states:DescribeExecution",
            execution,
            false,
            Box::pin(async move { sfn.describe_execution(execution).await.map(drop) }),
        ),
        (
            "states:GetExecutionHistory",
            execution,
            false,
            Box::pin(async move { sfn.execution_history(execution, true, None).await.map(drop) }),
        ),
        ("states:ListActivities", "*", false, Box::pin(async move { control.list_activities(None).await.map(drop) })),
        (
            "states:ListStateMachines",
            "*",
            false,
            Box::pin(async move { control.list_state_machines(None).await.map(drop) }),
        ),
        (
            "states:DescribeActivity",
            activity,
            true,
            Box::pin(async move { control.describe_activity(activity).await.map(drop) }),
        ),
        (
            "states:DescribeStateMachine",
            machine,
            false,
            Box::pin(async move { control.describe_state_machine(machine).await.map(drop) }),
        ),
        (
            "states:ListTagsForResource",
            machine,
            false,
            Box::pin(async move { control.list_tags(machine).await.map(drop) }),
        ),
        (
            "states:ValidateStateMachineDefinition",
            "*",
            false,
            Box::pin(async move { control.validate_definition(DEFINITION).await.map(drop) }),
        ),
        ("iam:GetRole", role, false, Box::pin(async move { control.get_role(role).await.map(drop) })),
        (
            "iam:ListAttachedRolePolicies",
            role,
            false,
            Box::pin(async move { control.list_attached_policies(role, None).await.map(drop) }),
        ),
        (
            "iam:ListRolePolicies",
            role,
            false,
            Box::pin(async move { control.list_inline_policies(role, None).await.map(drop) }),
        ),
        (
            "iam:GetRolePolicy",
            role,
            false,
            Box::pin(async move { control.get_inline_policy(role, NOTHING).await.map(drop) }),
        ),
    ];
    join_all(calls.into_iter().map(|(action, on, is_made_up, call)| async move {
        Tried { action, on: on.to_owned(), is_made_up, outcome: call.await }
    }))
    .await
}

fn judge(Tried { action, on, is_made_up, outcome }: Tried, has_workflows: bool, report: &mut Report) {
    let Err(error) = outcome else { return report.ok(action, "allowed") };
    let denied = error.code.as_deref().is_some_and(|code| code.contains("AccessDenied"));
    match error.failure {
        Failure::Gone | Failure::TimedOut => report.ok(action, "allowed"),
        Failure::Denied if denied && is_made_up && has_workflows => report.warn(
            action,
            format!("denied on {on}, which there is not"),
            format!("right, if the policy names what there is; else {POLICY}"),
        ),
        Failure::Denied if denied => report.fail(action, format!("denied on {on}"), POLICY),
        Failure::Denied => report.fail(action, error.to_string(), "see to the credentials, and to keys of KMS"),
        Failure::Throttled => {
            report.warn(action, "throttled", "the account is near its quota, which the server shares: run it again");
        }
        // It was looked at, so it was allowed.
        Failure::Refused => report.ok(action, format!("allowed ({})", error.code.unwrap_or_default())),
        Failure::Unknown => report.fail(action, error.to_string(), "can Step Functions and IAM be reached from here?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    fn judged(code: &str, is_made_up: bool, has_workflows: bool) -> Verdict {
        let outcome = Err(CallError::of_code("GetActivityTask", code, "no"));
        let mut report = Report::default();
        let tried = Tried { action: "states:GetActivityTask", on: "it".to_owned(), is_made_up, outcome };
        judge(tried, has_workflows, &mut report);
        report.findings[0].verdict
    }

    #[test]
    fn what_is_not_there_was_allowed_to_be_asked_for() {
        assert_eq!(judged("ActivityDoesNotExist", true, false), Verdict::Ok);
        assert_eq!(judged("InvalidToken", false, false), Verdict::Ok);
        assert_eq!(judged("AccessDeniedException", true, false), Verdict::Fail);
        assert_eq!(judged("AccessDeniedException", true, true), Verdict::Warn);
        assert_eq!(judged("AccessDenied", false, true), Verdict::Fail);
        assert_eq!(judged("ExpiredTokenException", true, true), Verdict::Fail);
        assert_eq!(judged("ThrottlingException", false, false), Verdict::Warn);
        assert_eq!(judged("InternalFailure", false, false), Verdict::Fail);
    }
}
