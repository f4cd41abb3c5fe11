//! Provisioning over the wire, against the embedded Step Functions and IAM.

use std::time::Duration;

use aws_config::SdkConfig;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Action, Change, ControlPlane as _, Options, Progress, ProvisionError, SdkControlPlane, Spec, StepReport, Tags,
    apply, destroy, fake::Fake, observe, plan, steps,
};
use crate::{
    stepfunctions::{ExecutionStatus, Failure, Sdk, StepFunctions as _, local_config},
    store::WorkflowRecord,
};

struct Local {
    config: SdkConfig,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Local {
    async fn start(change: impl FnOnce(&mut sfn_local::Options)) -> Self {
        let mut options = sfn_local::Options { role_propagation: Duration::ZERO, ..sfn_local::Options::default() };
        change(&mut options);
        let server = sfn_local::Server::bind(options).await.unwrap();
        let config = local_config(&server.endpoint(), "eu-central-1");
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(stop.clone()));
        Self { config, stop, serving }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.serving.await.unwrap().unwrap();
    }
}

async fn applied(
    config: &SdkConfig,
    spec: &Spec,
    adopt: bool,
) -> Result<(WorkflowRecord, Vec<StepReport>), ProvisionError> {
    let mut reports = Vec::new();
    let control = SdkControlPlane::new(config);
    let done = |event| {
        if let Progress::Done(report) = event {
            reports.push(report)
        }
    };
    let options = Options { adopt, ..Options::default() };
    let outputs = apply(&control, &*Fake::new().clock, spec, options, done).await?;
    let record = WorkflowRecord {
        name: spec.name.clone(),
        spec: spec.clone(),
        activity_arn: outputs.activity_arn,
        role_arn: outputs.role_arn,
        state_machine_arn: outputs.state_machine_arn,
        definition: outputs.definition,
        created: jiff::Timestamp::UNIX_EPOCH,
        updated: jiff::Timestamp::UNIX_EPOCH,
    };
    Ok((record, reports))
}

fn actions(reports: &[StepReport]) -> Vec<Action> {
    reports.iter().map(|report| report.action).collect()
}

/// Apply, apply again, drift, apply, run an execution through, destroy, destroy again.
#[tokio::test]
async fn whole_life_of_a_workflow() {
    let local = Local::start(|_| {}).await;
    let config = &local.config;
    let control = SdkControlPlane::new(config);
    let mut spec = Spec::named("WholeLife");
    let (record, reports) = applied(config, &spec, false).await.unwrap();
    assert_eq!(actions(&reports), [Action::Created; 4], "{reports:?}");
    assert_eq!(steps(&record.definition, &spec.activity_arns(&record.activity_arn)).len(), 1);

    let (again, reports) = applied(config, &spec, false).await.unwrap();
    assert_eq!(actions(&reports), [Action::Unchanged; 4], "{reports:?}");
    assert_eq!(again, record);
    let observed = observe(&control, &*Fake::new().clock, &spec).await.unwrap();
    assert!(plan(&spec, &observed).actions.iter().all(|action| action.change == Change::Unchanged));

    spec.state_machine.timeout = jiff::SignedDuration::from_secs(600);
    spec.role.managed_policy_arns.clear();
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com","states.amazonaws.com"]},"Action":"sts:AssumeRole"}]}"#;
    control.update_trust_policy(&spec.role.name, trust).await.unwrap();
    let (record, reports) = applied(config, &spec, false).await.unwrap();
    assert_eq!(
        actions(&reports),
        [Action::Unchanged, Action::Updated, Action::Deleted, Action::Updated],
        "{reports:?}"
    );
    let (_, reports) = applied(config, &spec, false).await.unwrap();
    assert_eq!(actions(&reports), [Action::Unchanged; 3], "{reports:?}");

    approve_one(config, &record).await;

    let steps = destroy(&control, &record).await.unwrap();
    assert_eq!(actions(&steps), [Action::Deleted; 3], "{steps:?}");
    let steps = destroy(&control, &record).await.unwrap();
    assert_eq!(actions(&steps), [Action::Skipped; 3], "{steps:?}");
    local.stop().await;
}

async fn approve_one(config: &SdkConfig, record: &WorkflowRecord) {
    let (sdk, name) = (Sdk::new(config), Uuid::new_v4().to_string());
    let started = sdk.start_execution(&record.state_machine_arn, &name, r#"{"amount":1200.25}"#).await.unwrap();
    let task = sdk.get_activity_task(&record.activity_arn, "worker").await.unwrap().unwrap();
    for part in
        [r#""input":{"amount":1200.25}"#, r#""state":"ApprovalStep""#, &format!(r#""execution":"{}""#, started.arn)]
    {
        assert!(task.input.replace(": ", ":").contains(part), "{part} in {}", task.input);
    }
    sdk.send_task_heartbeat(&task.token).await.unwrap();
    sdk.send_task_success(&task.token, r#"{"outcome":"APPROVED"}"#).await.unwrap();
    let execution = loop {
        let execution = sdk.describe_execution(&started.arn).await.unwrap();
        if execution.status != ExecutionStatus::Running {
            break execution;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(execution.status, ExecutionStatus::Succeeded);
    let (events, next) = sdk.execution_history(&started.arn, false, None).await.unwrap();
    assert_eq!((events[0].kind.as_str(), next), ("ExecutionStarted", None));
    let told = events.iter().find(|event| event.kind == "ActivitySucceeded").unwrap();
    assert_eq!(told.output.as_deref(), Some(r#"{"outcome":"APPROVED"}"#));
}

#[tokio::test]
async fn two_applies_at_once_end_as_one() {
    let local = Local::start(|_| {}).await;
    let spec = Spec::reference();
    let (one, other) = tokio::join!(applied(&local.config, &spec, false), applied(&local.config, &spec, false));
    assert_eq!(one.unwrap().0, other.unwrap().0);
    let (_, reports) = applied(&local.config, &spec, false).await.unwrap();
    assert_eq!(actions(&reports), [Action::Unchanged; 4], "{reports:?}");
    local.stop().await;
}

fn fault(
    kind: sfn_local::FaultKind,
    operation: Option<&str>,
    probability: Option<f64>,
    times: u64,
) -> sfn_local::FaultRule {
    sfn_local::FaultRule {
        operation: operation.map(str::to_owned),
        kind,
        status: 503,
        millis: 0,
        probability,
        skip: 0,
        times: Some(times),
    }
}

#[tokio::test]
async fn apply_and_destroy_converge_through_a_storm() {
    use sfn_local::FaultKind::{DropAnswer, Error, Reset, Throttle};
    for seed in 0..8 {
        let rules = [DropAnswer, Reset, Error, Throttle].map(|kind| fault(kind, None, Some(0.2), 12)).into();
        let local = Local::start(|options| options.faults = sfn_local::FaultPlan { seed, rules }).await;
        let (control, clock, spec) = (SdkControlPlane::new(&local.config), Fake::new().clock, Spec::reference());
        let mut failures = 0;
        let outputs = loop {
            match apply(&control, &*clock, &spec, Options::default(), |_| {}).await {
                Ok(outputs) => break outputs,
                Err(ProvisionError::Call(error)) if error.failure == Failure::Unknown => failures += 1,
                Err(error) => panic!("seed {seed}: {error:?}"),
            }
            assert!(failures < 60, "seed {seed} does not converge");
        };
        // The storm may go on: only what was written counts.
        let (record, _) = loop {
            match applied(&local.config, &spec, false).await {
                Ok((record, reports)) => break (record, assert_eq!(actions(&reports), [Action::Unchanged; 4])),
                Err(ProvisionError::Call(_)) => failures += 1,
                Err(error) => panic!("seed {seed}: {error:?}"),
            }
        };
        assert_eq!(record.definition, outputs.definition);
        while let Err(error) = destroy(&control, &record).await {
            assert!(matches!(error, ProvisionError::Incomplete { .. }), "seed {seed}: {error:?}");
            failures += 1;
        }
        assert!(failures > 0, "seed {seed} struck nothing");
        local.stop().await;
    }
}

#[tokio::test]
async fn faults_of_the_wire_are_classified() {
    use sfn_local::FaultKind::{DropAnswer, Error, Reset, Throttle};
    let kinds = [
        (Throttle, Failure::Throttled),
        (Error, Failure::Unknown),
        (Reset, Failure::Unknown),
        (DropAnswer, Failure::Unknown),
    ];
    for (kind, failure) in kinds {
        let rules = vec![fault(kind, Some("StartExecution"), None, 1)];
        let local = Local::start(|options| options.faults = sfn_local::FaultPlan { seed: 1, rules }).await;
        let (record, _) = applied(&local.config, &Spec::reference(), false).await.unwrap();
        let sdk = Sdk::new(&local.config);
        let error = sdk.start_execution(&record.state_machine_arn, "one", "{}").await.unwrap_err();
        assert_eq!(error.failure, failure, "{kind:?}: {error}");
        let execution = format!("{}:one", record.state_machine_arn.replace(":stateMachine:", ":execution:"));
        assert_eq!(sdk.describe_execution(&execution).await.is_ok(), kind == DropAnswer, "{kind:?}");
        local.stop().await;
    }
}

#[tokio::test]
async fn a_role_that_stays_unknown_is_told_after_a_minute() {
    let local = Local::start(|options| options.role_propagation = Duration::from_secs(3_600)).await;
    let clock = Fake::new().clock;
    let outcome =
        apply(&SdkControlPlane::new(&local.config), &*clock, &Spec::reference(), Options::default(), |_| {}).await;
    let Err(ProvisionError::RoleNotAssumable { source, waited, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((source.operation, waited.as_secs()), ("CreateStateMachine", 60));
    local.stop().await;
}

#[tokio::test]
async fn a_definition_that_is_refused_is_told_by_its_place() {
    let local = Local::start(|_| {}).await;
    let mut spec = Spec::reference();
    let text = r#"{"StartAt":"Ask","States":{"Ask":{"Type":"Task","Resource":"${activity_arn}","Next":"Nowhere"}}}"#;
    spec.state_machine.definition = Some(text.to_owned());
    let error = applied(&local.config, &spec, false).await.unwrap_err();
    let ProvisionError::InvalidDefinition { location, message } = error else { panic!("{error:?}") };
    assert!(location.contains("Ask"), "{location}: {message}");
    local.stop().await;
}

#[tokio::test]
async fn a_policy_that_is_none_is_named() {
    let local = Local::start(|_| {}).await;
    let mut spec = Spec::reference();
    let policy = "arn:aws:iam::aws:policy/service-role/AWSStepFunctionsFullAccess";
    spec.role.managed_policy_arns = vec![policy.to_owned()];
    let error = applied(&local.config, &spec, false).await.unwrap_err();
    let ProvisionError::Field { field, problem } = error else { panic!("{error:?}") };
    assert!(field == "role.managed_policy_arns" && problem.contains(policy), "{field}: {problem}");
    local.stop().await;
}

#[tokio::test]
async fn what_another_made_is_refused_and_may_be_adopted() {
    let local = Local::start(|_| {}).await;
    let spec = Spec::reference();
    let control = SdkControlPlane::new(&local.config);
    control.create_activity(&spec.activity_name, None, &Tags::new()).await.unwrap();
    let error = applied(&local.config, &spec, false).await.unwrap_err();
    assert!(
        matches!(&error, ProvisionError::NotOwned { resource } if resource.contains("HumanApprovalActivity")),
        "{error}"
    );
    assert_eq!(control.get_role(&spec.role.name).await.unwrap_err().failure, Failure::Gone, "a role was made");
    let (record, reports) = applied(&local.config, &spec, true).await.unwrap();
    assert_eq!(reports[0].action, Action::Updated);

    let mut other = Spec::named("Other");
    other.role.name = spec.role.name.clone();
    let error = applied(&local.config, &other, false).await.unwrap_err();
    assert!(matches!(&error, ProvisionError::NotOwned { resource } if resource == "role HumanApprovalRole"), "{error}");

    destroy(&control, &record).await.unwrap();
    local.stop().await;
}

#[tokio::test]
async fn failures_of_the_wire_are_classified() {
    let local = Local::start(|options| options.long_poll = Duration::from_millis(20)).await;
    let (record, _) = applied(&local.config, &Spec::reference(), false).await.unwrap();
    let sdk = Sdk::new(&local.config);
    let machine = record.state_machine_arn.as_str();

    assert!(sdk.get_activity_task(&record.activity_arn, "worker").await.unwrap().is_none());
    let nowhere = sdk.get_activity_task(&format!("{}x", record.activity_arn), "worker").await.unwrap_err();
    assert_eq!((nowhere.failure, nowhere.code.as_deref()), (Failure::Gone, Some("ActivityDoesNotExist")));
    let execution = machine.replace(":stateMachine:", ":execution:");
    let nowhere = sdk.describe_execution(&format!("{execution}:none")).await.unwrap_err();
    assert_eq!(nowhere.failure, Failure::Gone);
    let nowhere = sdk.start_execution(&format!("{machine}x"), "one", "{}").await.unwrap_err();
    assert_eq!(nowhere.failure, Failure::Gone);

    sdk.start_execution(machine, "one", "{}").await.unwrap();
    let twice = sdk.start_execution(machine, "one", r#"{"other":1}"#).await.unwrap_err();
    assert_eq!((twice.failure, twice.code.as_deref()), (Failure::Refused, Some("ExecutionAlreadyExists")));
    let bad = sdk.start_execution(machine, "two", "{").await.unwrap_err();
    assert_eq!((bad.failure, bad.code.as_deref()), (Failure::Refused, Some("InvalidExecutionInput")));

    let task = sdk.get_activity_task(&record.activity_arn, "worker").await.unwrap().unwrap();
    let bad = sdk.send_task_success(&task.token, "no json, a secret").await.unwrap_err();
    assert_eq!((bad.failure, bad.code.as_deref()), (Failure::Refused, Some("InvalidOutput")));
    assert!(!bad.to_string().contains("a secret"), "{bad}");
    sdk.send_task_failure(&task.token, "Approval.Rejected", "no").await.unwrap();
    let closed = sdk.send_task_heartbeat(&task.token).await.unwrap_err();
    assert!(matches!(closed.failure, Failure::TimedOut | Failure::Gone), "{closed}");
    let forged = sdk.send_task_success(&"forged".into(), "{}").await.unwrap_err();
    assert_eq!(forged.failure, Failure::Gone);
    assert!(!forged.to_string().contains("forged"), "{forged}");
    local.stop().await;
}
