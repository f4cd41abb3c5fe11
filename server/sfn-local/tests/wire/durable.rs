//! State that outlives the process.

use std::path::Path;

use aws_sdk_sfn::types::ExecutionStatus;
use sfn_local::{BindError, JournalError, Options, Server};

use crate::support::{Local, approval_definition};

fn options(file: &Path) -> Options {
    Options { data_file: Some(file.to_owned()), ..Options::default() }
}

async fn events(local: &Local, execution: &str) -> Vec<String> {
    let history = local.sfn.get_execution_history().execution_arn(execution).send().await.unwrap().events;
    history.iter().map(|event| format!("{:?}", event)).collect()
}

#[tokio::test]
async fn a_start_goes_on_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    let local = Local::with(options(&file)).await;
    let activity = local.activity("Approve").await;
    let machine = local.machine("Main", &approval_definition(&activity)).await;
    let start = local.sfn.start_execution().state_machine_arn(&machine);
    let taken = start.clone().send().await.unwrap().execution_arn;
    let token = local.sfn.get_activity_task().activity_arn(&activity).send().await.unwrap().task_token.unwrap();
    let queued = start.send().await.unwrap().execution_arn;
    local.sfn.send_task_heartbeat().task_token(&token).send().await.unwrap();
    let before = events(&local, &taken).await;
    local.stop().await;

    let local = Local::with(options(&file)).await;
    assert_eq!(events(&local, &taken).await, before);
    assert_eq!(local.role("Other").await, "arn:aws:iam::000000000000:role/Other");
    local.iam.get_role().role_name("MainRole").send().await.unwrap();
    local.sfn.send_task_success().task_token(&token).output("1.50").send().await.unwrap();
    let done = local.sfn.describe_execution().execution_arn(&taken).send().await.unwrap();
    assert_eq!((done.status, done.output.as_deref()), (ExecutionStatus::Succeeded, Some("1.50")));
    let poll = tokio::spawn(local.sfn.get_activity_task().activity_arn(&activity).send());
    let next = poll.await.unwrap().unwrap().task_token.unwrap();
    local.sfn.send_task_failure().task_token(&next).error("E").send().await.unwrap();
    let open = tokio::spawn(local.sfn.get_activity_task().activity_arn(&activity).send());
    local.wait_for_open_polls(1).await;
    open.abort();
    local.wait_for_open_polls(0).await;
    local.stop().await;

    // A last line that was cut off was never applied.
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str(r#"{"at":1,"call":{"sfn":["us-ea"#);
    std::fs::write(&file, text).unwrap();
    let local = Local::with(options(&file)).await;
    for (execution, status) in [(&taken, ExecutionStatus::Succeeded), (&queued, ExecutionStatus::Failed)] {
        assert_eq!(local.sfn.describe_execution().execution_arn(execution).send().await.unwrap().status, status);
    }
    local.activity("Another").await;
    local.stop().await;
    let local = Local::with(options(&file)).await;
    assert_eq!(local.activity_list().await, ["Another", "Approve"]);
    local.stop().await;
}

#[tokio::test]
async fn time_that_passed_meanwhile_has_passed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    let local = Local::with(options(&file)).await;
    let activity = local.activity("Approve").await;
    let machine = local.machine("Main", &approval_definition(&activity)).await;
    let execution = local.sfn.start_execution().state_machine_arn(&machine).send().await.unwrap().execution_arn;
    local.sfn.get_activity_task().activity_arn(&activity).send().await.unwrap().task_token.unwrap();
    local.stop().await;
    let local = Local::with(options(&file)).await;
    local.admin("POST", "clock", r#"{"advance_millis": 60000}"#).await;
    let done = local.sfn.describe_execution().execution_arn(&execution).send().await.unwrap();
    assert_eq!(done.error.as_deref(), Some("States.HeartbeatTimeout"));
    local.stop().await;
}

#[tokio::test]
async fn a_file_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    let refused = async |options: Options| match Server::bind(options).await {
        Err(BindError::DataFile { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    let local = Local::with(options(&file)).await;
    local.activity("A").await;
    assert!(matches!(refused(options(&file)).await, JournalError::InUse));
    local.stop().await;
    let other = Options { account_id: "111111111111".to_owned(), ..options(&file) };
    assert!(matches!(refused(other).await, JournalError::Options { .. }));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"journal\":3", "\"journal\":99", 1)).unwrap();
    assert!(matches!(refused(options(&file)).await, JournalError::Format(99)));
    std::fs::write(&file, text.replacen("\"call\"", "\"what\"", 1)).unwrap();
    assert!(matches!(refused(options(&file)).await, JournalError::Line { line: 2, .. }));
    std::fs::write(&file, text).unwrap();
    Local::with(options(&file)).await.stop().await;
}

/// A definition of nearly a megabyte, told apart by its number.
fn heavy(activity: &str, number: usize) -> String {
    let comment = format!("{number} {}", "x".repeat(900_000));
    approval_definition(activity).replacen('{', &format!(r#"{{"Comment": "{comment}","#), 1)
}

#[tokio::test]
async fn the_file_is_no_larger_than_a_few_times_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    let local = Local::with(options(&file)).await;
    let activity = local.activity("Approve").await;
    let machine = local.machine("Main", &approval_definition(&activity)).await;
    let execution = local.sfn.start_execution().state_machine_arn(&machine).send().await.unwrap().execution_arn;
    let token = local.sfn.get_activity_task().activity_arn(&activity).send().await.unwrap().task_token.unwrap();
    let (mut rewritten, mut largest, mut before) = (0, 0, 0);
    for number in 0..20 {
        let update = local.sfn.update_state_machine().state_machine_arn(&machine).definition(heavy(&activity, number));
        update.send().await.unwrap();
        let size = std::fs::metadata(&file).unwrap().len();
        rewritten += usize::from(size < before);
        (before, largest) = (size, largest.max(size));
    }
    assert!(rewritten >= 2 && largest < 9_000_000, "rewritten {rewritten} times, {largest} bytes at most");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.lines().next().unwrap().contains(r#""snapshot":true"#));
    let before = events(&local, &execution).await;
    local.stop().await;

    // A snapshot that a crash cut off stands beside the file and counts for nothing.
    std::fs::write(folder.path().join("state.new"), &text[..text.len() / 2]).unwrap();
    let local = Local::with(options(&file)).await;
    let described = local.sfn.describe_state_machine().state_machine_arn(&machine).send().await.unwrap();
    assert_eq!(described.definition, heavy(&activity, 19));
    assert_eq!(events(&local, &execution).await, before);
    for number in 20..26 {
        let update = local.sfn.update_state_machine().state_machine_arn(&machine).definition(heavy(&activity, number));
        update.send().await.unwrap();
    }
    local.sfn.send_task_success().task_token(&token).output("1").send().await.unwrap();
    let done = local.sfn.describe_execution().execution_arn(&execution).send().await.unwrap();
    assert_eq!(done.status, ExecutionStatus::Succeeded);
    local.stop().await;

    let text = std::fs::read_to_string(&file).unwrap().replacen(r#"{"world""#, r#"{"wrld""#, 1);
    std::fs::write(&file, text).unwrap();
    let refused = Server::bind(options(&file)).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, BindError::DataFile { source: JournalError::State(_), .. }), "{refused:?}");
}
