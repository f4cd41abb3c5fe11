//! Calls to Step Functions fail in every way that a network and a busy service know, and the main job ends right: people
//! are asked once, the decision is delivered once, and the execution agrees.
//!
//! The same cases run with the faults of `local-aws`, and with those of microburst before `local-aws` and before
//! LocalStack. `tests/run` installs both and runs what is ignored here.

use std::time::Duration;

use approve_client::{Approval, ApprovalStatus, Client, Decide, Filter, List, StartExecution};
use approve_tests::{
    LocalAws, Server,
    approvals::delivered,
    aws,
    localstack::LocalStack,
    microburst::{Fault, Injector, Microburst},
    wait_for,
    workflows::{apply, ask_input, ask_retrying, spec},
};
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEventType};
use futures::TryStreamExt as _;

const HEARTBEAT_SECONDS: u32 = 5;
/// One poll, so that it is known which one meets a fault.
const CONFIG: &str = "[aws]\nregion = \"us-east-1\"\n\n[worker]\nmin_polls = 1\nmax_polls = 1\n";
const WORKFLOW: &str = "payments";

const START: &str = "StartExecution";
const POLL: &str = "GetActivityTask";
const SUCCESS: &str = "SendTaskSuccess";
const FAILURE: &str = "SendTaskFailure";
const HEARTBEAT: &str = "SendTaskHeartbeat";

const LATE: Fault = Fault::Late(700);

/// Faults, each with how often it strikes, that one approval has to survive.
const CASES: &[&[(&str, Fault, u32)]] = &[
    &[(START, Fault::Throttle, 2)],
    &[(START, Fault::Status(500), 1)],
    &[(START, Fault::Status(503), 1)],
    &[(START, LATE, 1)],
    &[(START, Fault::Reset, 1)],
    &[(START, Fault::AnswerLost, 1)],
    &[(POLL, Fault::Throttle, 2)],
    &[(POLL, Fault::Status(500), 1)],
    &[(POLL, Fault::Status(503), 1)],
    &[(POLL, LATE, 1)],
    &[(POLL, Fault::Reset, 1)],
    &[(POLL, Fault::AnswerLost, 1)],
    &[(SUCCESS, Fault::Throttle, 2)],
    &[(SUCCESS, Fault::Status(500), 1)],
    &[(SUCCESS, Fault::Status(503), 1)],
    &[(SUCCESS, LATE, 1)],
    &[(SUCCESS, Fault::Reset, 1)],
    &[(SUCCESS, Fault::AnswerLost, 1)],
    &[(SUCCESS, Fault::TaskTimedOut, 1)],
    &[
        (SUCCESS, Fault::AnswerLost, 1),
        ("DescribeExecution", Fault::Throttle, 1),
        ("GetExecutionHistory", Fault::Status(500), 1),
    ],
    &[(FAILURE, Fault::Throttle, 2)],
    &[(FAILURE, Fault::Status(500), 1)],
    &[(FAILURE, Fault::Reset, 1)],
    &[(FAILURE, Fault::AnswerLost, 1)],
    &[(HEARTBEAT, Fault::Throttle, 1)],
    &[(HEARTBEAT, Fault::Status(500), 1)],
    &[(HEARTBEAT, LATE, 1)],
    &[(HEARTBEAT, Fault::Reset, 1)],
    &[(HEARTBEAT, Fault::AnswerLost, 1)],
    &[(HEARTBEAT, Fault::TaskTimedOut, 1)],
];

#[tokio::test]
async fn the_main_job_ends_right_with_our_own_faults() {
    let aws = LocalAws::start().await;
    run(aws.url(), Injector::LocalAws(aws.url().to_owned()), aws.url()).await;
}

#[tokio::test]
#[ignore = "needs microburst: run tests/run"]
async fn microburst_the_main_job_ends_right_before_local_aws() {
    let aws = LocalAws::start().await;
    let microburst = Microburst::start(aws.url()).await;
    run(microburst.url(), Injector::Microburst(microburst.url().to_owned()), aws.url()).await;
}

#[tokio::test]
#[ignore = "needs microburst and LocalStack: run tests/run"]
async fn microburst_the_main_job_ends_right_before_localstack() {
    let localstack = LocalStack::start().await;
    let microburst = Microburst::start(localstack.url()).await;
    run(microburst.url(), Injector::Microburst(microburst.url().to_owned()), localstack.url()).await;
}

/// Runs all cases with the server at `endpoint`; `engine` is Step Functions without faults.
async fn run(endpoint: &str, injector: Injector, engine: &str) {
    let server = Server::serve_config(CONFIG, endpoint).await;
    let client = server.client("ana").await;
    apply(&client, spec(WORKFLOW, &ask_retrying(HEARTBEAT_SECONDS))).await;
    let bench = Bench { client, injector, step_functions: aws::step_functions(engine) };
    let mut report = String::new();
    for (number, case) in CASES.iter().enumerate() {
        if !case.iter().all(|(_, fault, _)| bench.injector.can(*fault)) {
            continue;
        }
        let began = std::time::Instant::now();
        let (approval, fired) = bench.case(number, case).await;
        let attempts = approval.delivery.as_ref().unwrap().attempts;
        let line = format!(
            "{case:?}: fired {fired:?}, delivered after {attempts} tries, {} tasks, {:.1} s\n",
            approval.task_count,
            began.elapsed().as_secs_f64()
        );
        report += &line;
    }
    println!("{report}");
}

struct Bench {
    client: Client,
    injector: Injector,
    /// Not through the faults.
    step_functions: aws_sdk_sfn::Client,
}

impl Bench {
    /// One approval, from its start to its delivery; with how often each fault fired.
    async fn case(&self, number: usize, case: &[(&str, Fault, u32)]) -> (Approval, Vec<usize>) {
        let (operation, fault, times) = case[0];
        self.injector.set(case).await;
        if operation == POLL {
            // The poll that is open since before the fault takes this one.
            let (_, approval) = self.ask(&format!("warm-up-{number}")).await;
            self.client.decide(Decide::approve(&approval.id)).await.unwrap();
        }
        let (arn, approval) = self.ask(&format!("case-{number}")).await;
        if operation == HEARTBEAT {
            wait_for("the fault to strike a heartbeat", async || {
                (self.injector.fired(HEARTBEAT).await > 0).then_some(())
            })
            .await;
        }
        if (operation, fault) == (HEARTBEAT, Fault::TaskTimedOut) {
            let bound =
                async || Some(self.client.get(&approval.id).await.unwrap()).filter(|found| found.task_count == 2);
            wait_for("the retry's task to be bound", bound).await;
        }
        let approve = operation != FAILURE;
        let decide = if approve { Decide::approve(&approval.id) } else { Decide::reject(&approval.id) };
        self.client.decide(decide.comment(format!("case {number}"))).await.unwrap();
        let approval = delivered(&self.client, &approval.id).await;
        let mut fired = Vec::new();
        for (operation, _, _) in case {
            fired.push(self.injector.fired(operation).await);
        }
        assert_eq!(fired[0], times as usize, "{case:?} did not strike as it was told");
        self.check(&arn, &approval, approve).await;
        let lost = matches!(fault, Fault::Status(_) | Fault::Reset | Fault::AnswerLost);
        let attempts = approval.delivery.as_ref().unwrap().attempts;
        match operation {
            // What is known to have failed, or may have, counts as a try; throttling does not.
            SUCCESS | FAILURE if lost => assert!(attempts >= 2, "{case:?}: {approval:?}"),
            SUCCESS | FAILURE if fault == Fault::Throttle => assert_eq!(attempts, 1, "{case:?}: {approval:?}"),
            SUCCESS | HEARTBEAT if fault == Fault::TaskTimedOut => {
                assert_eq!(approval.task_count, 2, "{case:?}: the retry's task was not bound: {approval:?}");
            }
            POLL if fault == Fault::AnswerLost => {
                let attempt = approval.source.as_ref().unwrap().attempt;
                assert_eq!((approval.task_count, attempt), (1, 1), "{case:?}: the task was not lost: {approval:?}");
            }
            _ => {}
        }
        (approval, fired)
    }

    /// Starts an execution as a caller does who knows that it may be started once only; waits for its approval.
    async fn ask(&self, name: &str) -> (String, Approval) {
        let start = StartExecution::new().workflow(WORKFLOW).name(name).input_json(ask_input(name, "user:req"));
        let arn = loop {
            match self.client.start_execution(start.clone()).await {
                Ok(started) => break started.execution_arn,
                Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => panic!("{name}: {error:?}"),
            }
        };
        let approval = wait_for("the approval", async || self.approvals(&arn).await.pop()).await;
        (arn, approval)
    }

    async fn approvals(&self, arn: &str) -> Vec<Approval> {
        let list = List::new().filter(Filter::new().execution_arn(arn));
        self.client.list_all(list).try_collect().await.unwrap()
    }

    /// Asked once, answered once, and the execution is where the answer says.
    async fn check(&self, arn: &str, approval: &Approval, approve: bool) {
        assert_eq!(self.approvals(arn).await.len(), 1, "asked more than once: {arn}");
        let (status, outcome) = match approve {
            true => (ApprovalStatus::Approved, ExecutionStatus::Succeeded),
            false => (ApprovalStatus::Rejected, ExecutionStatus::Failed),
        };
        assert_eq!(approval.status(), status);
        let execution = wait_for("the end of the execution", async || {
            let execution = self.step_functions.describe_execution().execution_arn(arn).send().await.unwrap();
            (execution.status != ExecutionStatus::Running).then_some(execution)
        })
        .await;
        assert_eq!(execution.status, outcome, "{execution:?}");
        let told = if approve { execution.output() } else { execution.cause() };
        let told: serde_json::Value = serde_json::from_str(told.unwrap()).unwrap();
        assert_eq!(told["approval_id"], *approval.id, "{told}");
        let history = self.step_functions.get_execution_history().execution_arn(arn).max_results(1_000);
        let history = history.send().await.unwrap();
        let answers = history.events().iter().filter(|event| {
            matches!(event.r#type, HistoryEventType::ActivitySucceeded | HistoryEventType::ActivityFailed)
        });
        assert_eq!(answers.count(), 1, "{history:?}");
    }
}
