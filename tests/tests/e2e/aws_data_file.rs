//! The embedded AWS dies without warning, and comes back from its file: alone, and within `approve-server dev`.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use approve_client::{ApprovalStatus, Decide};
use approve_tests::{
    LocalAws, Server,
    approvals::delivered,
    aws::{iam, step_functions},
};
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};

use crate::main_job::{execution_ended, start_and_see};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"states.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

struct Workflow {
    activity: String,
    machine: String,
}

async fn workflow(aws: &LocalAws) -> Workflow {
    let (sfn, iam) = (step_functions(aws.url()), iam(aws.url()));
    let role = iam.create_role().role_name("R").assume_role_policy_document(TRUST).send().await.unwrap();
    let activity = sfn.create_activity().name("Approve").send().await.unwrap().activity_arn;
    let definition = definition(&activity, 0, "");
    let machine = sfn.create_state_machine().name("M").definition(definition).role_arn(role.role.unwrap().arn);
    Workflow { machine: machine.send().await.unwrap().state_machine_arn, activity }
}

fn definition(activity: &str, number: u64, ballast: &str) -> String {
    let comment = format!("{number} {ballast}");
    let task = json!({"Type": "Task", "Resource": activity, "HeartbeatSeconds": 3600, "End": true});
    json!({"Comment": comment, "StartAt": "T", "States": {"T": task}}).to_string()
}

#[tokio::test]
async fn everything_is_there_again_and_the_token_is_still_good() {
    let mut aws = LocalAws::durable().await;
    let Workflow { activity, machine } = workflow(&aws).await;
    let sfn = step_functions(aws.url());
    let started = sfn.start_execution().state_machine_arn(&machine).input(r#"{"amount": 1200.50}"#).send().await;
    let execution = started.unwrap().execution_arn;
    let task = sfn.get_activity_task().activity_arn(&activity).send().await.unwrap();
    let history = sfn.get_execution_history().execution_arn(&execution).send().await.unwrap().events;

    aws.kill();
    aws.restart().await;

    let sfn = step_functions(aws.url());
    let role = iam(aws.url()).get_role().role_name("R").send().await.unwrap().role.unwrap();
    let described = sfn.describe_state_machine().state_machine_arn(&machine).send().await.unwrap();
    assert_eq!(described.role_arn, role.arn);
    let now = sfn.get_execution_history().execution_arn(&execution).send().await.unwrap().events;
    assert_eq!(format!("{now:?}"), format!("{history:?}"));
    let token = task.task_token.unwrap();
    sfn.send_task_heartbeat().task_token(&token).send().await.unwrap();
    sfn.send_task_success().task_token(&token).output(task.input.unwrap()).send().await.unwrap();
    let done = sfn.describe_execution().execution_arn(&execution).send().await.unwrap();
    assert_eq!((done.status, done.output.as_deref()), (ExecutionStatus::Succeeded, Some(r#"{"amount": 1200.50}"#)));
}

/// Updates of nearly a megabyte, so that every few of them the file is written anew, and a kill when it is.
#[tokio::test]
async fn a_kill_while_the_file_is_written_anew_loses_nothing_that_was_answered() {
    const ROUNDS: u64 = 8;
    let mut aws = LocalAws::durable().await;
    let Workflow { activity, machine } = workflow(&aws).await;
    let sfn = step_functions(aws.url());
    let execution = sfn.start_execution().state_machine_arn(&machine).send().await.unwrap().execution_arn;
    let token = sfn.get_activity_task().activity_arn(&activity).send().await.unwrap().task_token.unwrap();
    let ballast = "x".repeat(900_000);
    let (mut asked, mut answered) = (0, 0);
    for _ in 0..ROUNDS {
        let sfn = step_functions(aws.url());
        let updates = async {
            loop {
                asked += 1;
                let update = sfn.update_state_machine().state_machine_arn(&machine);
                update.definition(definition(&activity, asked, &ballast)).send().await.unwrap();
                answered = asked;
            }
        };
        let file = aws.data_file();
        let writing = tokio::task::spawn_blocking(move || written_anew(&file));
        let largest = tokio::select! {
            largest = writing => largest.unwrap(),
            () = updates => unreachable!("updates go on until the kill"),
        };
        aws.kill();
        assert!(largest < 12_000_000, "the file has grown to {largest} bytes");
        aws.restart().await;
        let described = step_functions(aws.url()).describe_state_machine().state_machine_arn(&machine).send().await;
        let definition: Value = serde_json::from_str(&described.unwrap().definition).unwrap();
        let kept: u64 = definition["Comment"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((answered..=asked).contains(&kept), "{kept} is none of {answered} to {asked}");
        asked = kept;
    }
    let sfn = step_functions(aws.url());
    sfn.send_task_success().task_token(&token).output("1").send().await.unwrap();
    let done = sfn.describe_execution().execution_arn(&execution).send().await.unwrap();
    assert_eq!(done.status, ExecutionStatus::Succeeded);
}

/// Returns in the midst of it, with the largest size before.
fn written_anew(file: &Path) -> u64 {
    let new = file.with_extension("new");
    let end = Instant::now() + Duration::from_secs(60);
    let mut largest = 0;
    loop {
        let size = fs::metadata(file).map_or(0, |metadata| metadata.len());
        if new.exists() || size < largest {
            return largest;
        }
        largest = size;
        assert!(Instant::now() < end, "the file is not written anew at {largest} bytes");
        std::hint::spin_loop();
    }
}

#[tokio::test]
async fn the_server_with_everything_embedded_goes_on_with_its_approvals() {
    let mut server = Server::durable_dev().await;
    let cli = server.cli("ana");
    let (name, id) = start_and_see(&cli, r#"{"amount": 1200.50}"#).await;
    let machine = server.ready().state_machine_arn.clone();

    server.kill();
    server.start().await;

    assert_eq!(server.ready().state_machine_arn, machine);
    let ana = server.client("ana").await;
    assert_eq!(ana.get(&id).await.unwrap().status(), ApprovalStatus::Pending);
    ana.decide(Decide::approve(&id)).await.unwrap();
    assert_eq!(delivered(&ana, &id).await.task_count, 1, "the task was kept, not asked for again");
    assert_eq!(execution_ended(&server.cli("ana"), &name).await["status"], "succeeded");
}
