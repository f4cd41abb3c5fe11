//! The embedded AWS dies without warning, and comes back from its file: alone, and within `approve-server dev`.

use std::{fs, time::Duration};

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

/// Updates of nearly a megabyte, so that every few of them the file is written anew, and kills at any moment.
#[tokio::test]
async fn a_kill_at_any_moment_loses_nothing_that_was_answered() {
    const ROUNDS: u64 = 6;
    let mut aws = LocalAws::durable().await;
    let Workflow { activity, machine } = workflow(&aws).await;
    let sfn = step_functions(aws.url());
    let execution = sfn.start_execution().state_machine_arn(&machine).send().await.unwrap().execution_arn;
    let token = sfn.get_activity_task().activity_arn(&activity).send().await.unwrap().task_token.unwrap();
    let ballast = "x".repeat(900_000);
    let mut asked = 0;
    for round in 0..ROUNDS {
        let sfn = step_functions(aws.url());
        let mut answered = asked;
        let updates = async {
            loop {
                asked += 1;
                let update = sfn.update_state_machine().state_machine_arn(&machine);
                update.definition(definition(&activity, asked, &ballast)).send().await.unwrap();
                answered = asked;
            }
        };
        // Not a wait for anything: the moment of the kill, another one each time.
        let _ = tokio::time::timeout(Duration::from_millis(700 + round * 137), updates).await;
        aws.kill();
        assert!(fs::metadata(aws.data_file()).unwrap().len() < 12_000_000, "the file grows");
        aws.restart().await;
        let described = step_functions(aws.url()).describe_state_machine().state_machine_arn(&machine).send().await;
        let definition: Value = serde_json::from_str(&described.unwrap().definition).unwrap();
        let kept: u64 = definition["Comment"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((answered..=asked).contains(&kept), "{kept} is none of {answered} to {asked}");
    }
    assert!(asked > 2 * ROUNDS, "{asked} updates are too few for the file to have been written anew");
    let sfn = step_functions(aws.url());
    sfn.send_task_success().task_token(&token).output("1").send().await.unwrap();
    let done = sfn.describe_execution().execution_arn(&execution).send().await.unwrap();
    assert_eq!(done.status, ExecutionStatus::Succeeded);
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
