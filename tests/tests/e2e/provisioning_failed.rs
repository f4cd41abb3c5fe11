//! What stands in the way of an apply or a destroy: a call that fails, approvals that people are still asked for.

use std::fs;

use approve_tests::{Server, aws, http};
use serde_json::json;

use super::main_job::{execution_ended, start_and_see};

/// One call of this operation fails, before it has an effect.
async fn fail(server: &Server, operation: &str) {
    let rules = json!([{"operation": operation, "kind": "error", "times": 1}]);
    http::json("POST", server.aws(), "/_sfn-local/faults", &json!({"rules": rules})).await.unwrap();
}

#[tokio::test]
async fn what_a_first_apply_left_behind_is_listed_and_destroyed_by_its_spec() {
    let server = Server::empty().await;
    let cli = server.cli("ana");
    let spec = server.folder().join("pay.toml");
    fs::write(&spec, "name = \"pay\"\n").unwrap();
    let spec = spec.to_str().unwrap();

    fail(&server, "CreateStateMachine").await;
    let failed = cli.run(&["workflow", "apply", spec]).await;
    assert_ne!(failed.code, 0, "{failed}");
    for part in ["left behind", "activity/pay-activity", "role/pay-role", "state machine"] {
        assert!(
            failed.stdout.replace(":activity:", " activity/").contains(part) || failed.stdout.contains(part),
            "{part}: {failed}"
        );
    }
    cli.run(&["workflow", "destroy", "pay"]).await.exits(3).says(&["--spec"]);

    fail(&server, "DeleteRole").await;
    let failed =
        cli.run(&["workflow", "destroy", "--spec", spec]).await.says(&["role pay-role, activity pay-activity"]);
    assert_ne!(failed.code, 0, "{failed}");
    let steps = cli.json(&["workflow", "destroy", "--spec", spec]).await;
    let told: Vec<_> = steps.as_array().unwrap().iter().map(|step| (&step["resource_type"], &step["action"])).collect();
    assert_eq!(
        told,
        [
            (&json!("state_machine"), &json!("skipped")),
            (&json!("role"), &json!("deleted")),
            (&json!("activity"), &json!("deleted"))
        ]
    );
    let sfn = aws::step_functions(server.aws());
    assert!(sfn.list_activities().send().await.unwrap().activities().is_empty());
    assert!(aws::iam(server.aws()).get_role().role_name("pay-role").send().await.is_err());
}

#[tokio::test]
async fn nothing_is_replaced_or_destroyed_while_people_are_asked_unless_forced() {
    let server = Server::empty().await;
    let cli = server.cli("ana");
    let spec = server.folder().join("pay.toml");
    let write =
        |more: &str| fs::write(&spec, format!("name = \"pay\"\n[role]\nmanaged_policies = []\n{more}")).unwrap();
    write("");
    let path = spec.to_str().unwrap();
    cli.run(&["workflow", "apply", path]).await.ok();
    let (execution, id) = start_and_see(&cli, r#"{"n": 1}"#).await;

    write("path = \"/team/\"\n");
    cli.run(&["workflow", "apply", path]).await.exits(5).says(&["can't be changed in place"]);
    cli.run(&["workflow", "apply", path, "--replace"]).await.exits(5).says(&["1 approvals", "pending"]);
    cli.run(&["workflow", "destroy", "pay"]).await.exits(5).says(&["pending"]);
    let role = async || aws::iam(server.aws()).get_role().role_name("pay-role").send().await.unwrap().role.unwrap();
    assert_eq!(role().await.path, "/", "a refused apply replaced something");
    cli.run(&["workflow", "apply", path, "--replace", "--force"]).await.ok();
    assert_eq!(role().await.path, "/team/");

    // People are still asked, and are heard.
    cli.run(&["decide", &id, "--approve"]).await.ok();
    assert_eq!(execution_ended(&cli, &execution).await["status"], "succeeded");
    let (execution, id) = start_and_see(&cli, r#"{"n": 2}"#).await;
    cli.run(&["workflow", "destroy", "pay", "--force"]).await.ok();
    assert_eq!(cli.json(&["show", &id]).await["status"], "canceled", "{execution}");
}
