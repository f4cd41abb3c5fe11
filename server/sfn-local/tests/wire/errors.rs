//! Every error of every call that AWS documents, and the table of them in ERRORS.md.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sfn_local::{
    Limits, Options,
    engine::{Engine, EngineOptions},
};

use crate::support::{Local, approval_definition};

const TABLE: &str = include_str!("../../ERRORS.md");
/// Of our form, and never handed out.
const UNKNOWN_TOKEN: &str =
    "AQCEAAAAKgAAAAMAAAAA00000000000000000000000000000000000000000000000000000000000000000000000000000000";
const PASS: &str = r#"{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}"#;

/// What the cases are about.
struct Scene {
    activity: String,
    machine: String,
    deleting: String,
    execution: String,
    closed_token: String,
    open_token: String,
    role: String,
}

impl Scene {
    async fn set(local: &Local) -> Self {
        let activity = local.activity("Approve").await;
        let machine = local.machine("Main", &approval_definition(&activity)).await;
        let deleting = local.machine("Gone", &approval_definition(&activity)).await;
        let start = local.sfn.start_execution().state_machine_arn(&machine).name("e");
        let execution = start.send().await.unwrap().execution_arn;
        local.sfn.start_execution().state_machine_arn(&deleting).send().await.unwrap();
        let take = local.sfn.get_activity_task().activity_arn(&activity);
        let closed_token = take.clone().send().await.unwrap().task_token.unwrap();
        let open_token = take.send().await.unwrap().task_token.unwrap();
        local.sfn.send_task_failure().task_token(&closed_token).send().await.unwrap();
        local.sfn.start_execution().state_machine_arn(&deleting).send().await.unwrap();
        local.sfn.delete_state_machine().state_machine_arn(&deleting).send().await.unwrap();
        let role = local.role("R").await;
        Self { activity, machine, deleting, execution, closed_token, open_token, role }
    }

    fn cases(&self) -> Vec<(&'static str, Value, &'static str)> {
        let mut cases = self.of_activities();
        cases.extend(self.of_machines());
        cases.extend(self.of_updates());
        cases.extend(self.of_executions());
        cases.extend(self.of_tags());
        cases
    }

    fn of_activities(&self) -> Vec<(&'static str, Value, &'static str)> {
        let (arn, missing) = (&self.activity, format!("{}x", self.activity));
        let mut cases = vec![
            ("CreateActivity", json!({"name": "a b"}), "InvalidName"),
            ("CreateActivity", json!({"name": "New", "tags": tags(51)}), "TooManyTags"),
            ("CreateActivity", json!({"name": "New", "encryptionConfiguration": unkeyed()}), UNENCRYPTED),
            ("CreateActivity", json!({"name": "Approve", "encryptionConfiguration": keyed()}), "ActivityAlreadyExists"),
            ("DescribeActivity", json!({"activityArn": missing}), "ActivityDoesNotExist"),
            ("DescribeActivity", json!({"activityArn": self.machine}), "InvalidArn"),
            ("DeleteActivity", json!({"activityArn": "nonsense"}), "InvalidArn"),
            ("ListActivities", json!({"nextToken": "nonsense"}), "InvalidToken"),
            ("GetActivityTask", json!({"activityArn": missing}), "ActivityDoesNotExist"),
            ("GetActivityTask", json!({"activityArn": format!("{arn}:1").replace("activity", "act")}), "InvalidArn"),
            ("SendTaskSuccess", json!({"taskToken": self.open_token, "output": "{"}), "InvalidOutput"),
        ];
        for operation in ["SendTaskSuccess", "SendTaskFailure", "SendTaskHeartbeat"] {
            for (token, code) in [
                (self.closed_token.as_str(), "TaskTimedOut"),
                (UNKNOWN_TOKEN, "TaskDoesNotExist"),
                ("nonsense", "InvalidToken"),
            ] {
                cases.push((operation, json!({"taskToken": token, "output": "1"}), code));
            }
        }
        cases
    }

    fn of_machines(&self) -> Vec<(&'static str, Value, &'static str)> {
        let create = |fields: Value| {
            let mut body = json!({"name": "New", "definition": PASS, "roleArn": self.role});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            body
        };
        let missing = format!("{}x", self.machine);
        let cases = [
            (json!({"roleArn": "nonsense"}), "InvalidArn"),
            (json!({"definition": "{"}), "InvalidDefinition"),
            (json!({"name": "a/b"}), "InvalidName"),
            (json!({"loggingConfiguration": {"level": "ALL"}}), "InvalidLoggingConfiguration"),
            (json!({"tracingConfiguration": {}}), "InvalidTracingConfiguration"),
            (json!({"name": "Main"}), "StateMachineAlreadyExists"),
            (json!({"name": "Gone"}), "StateMachineDeleting"),
            (json!({"type": "EXPRESS"}), "StateMachineTypeNotSupported"),
            (json!({"tags": tags(51)}), "TooManyTags"),
            (json!({"name": "x".repeat(81)}), "ValidationException"),
            (json!({"encryptionConfiguration": unkeyed()}), UNENCRYPTED),
        ];
        let mut cases: Vec<_> =
            cases.into_iter().map(|(fields, code)| ("CreateStateMachine", create(fields), code)).collect();
        cases.extend([
            ("DescribeStateMachine", json!({"stateMachineArn": self.activity}), "InvalidArn"),
            ("DescribeStateMachine", json!({"stateMachineArn": missing}), "StateMachineDoesNotExist"),
            ("DeleteStateMachine", json!({"stateMachineArn": "nonsense"}), "InvalidArn"),
            ("DeleteStateMachine", json!({"stateMachineArn": format!("{}/L", self.machine)}), "ValidationException"),
            ("ListStateMachines", json!({"nextToken": "nonsense"}), "InvalidToken"),
            ("ValidateStateMachineDefinition", json!({"definition": PASS, "maxResults": 101}), "ValidationException"),
        ]);
        cases
    }

    fn of_updates(&self) -> Vec<(&'static str, Value, &'static str)> {
        let update = |arn: &str, fields: Value| {
            let mut body = json!({"stateMachineArn": arn});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            body
        };
        let (arn, missing) = (&self.machine, format!("{}x", self.machine));
        let cases = [
            (update("nonsense", json!({"definition": PASS})), "InvalidArn"),
            (update(arn, json!({"definition": "{}"})), "InvalidDefinition"),
            (update(arn, json!({"loggingConfiguration": {"level": "ERROR"}})), "InvalidLoggingConfiguration"),
            (update(arn, json!({"tracingConfiguration": {"on": true}})), "InvalidTracingConfiguration"),
            (update(arn, json!({})), "MissingRequiredParameter"),
            (update(&self.deleting, json!({"definition": PASS})), "StateMachineDeleting"),
            (update(&missing, json!({"definition": PASS})), "StateMachineDoesNotExist"),
            (update(arn, json!({"definition": "x".repeat(1_048_577)})), "ValidationException"),
            (update(arn, json!({"encryptionConfiguration": unkeyed()})), UNENCRYPTED),
        ];
        cases.into_iter().map(|(body, code)| ("UpdateStateMachine", body, code)).collect()
    }

    fn of_executions(&self) -> Vec<(&'static str, Value, &'static str)> {
        let (arn, missing) = (&self.machine, format!("{}x", self.machine));
        let start = |fields: Value| {
            let mut body = json!({"stateMachineArn": arn});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            body
        };
        let mut cases: Vec<_> = [
            (start(json!({"name": "e", "input": "1"})), "ExecutionAlreadyExists"),
            (start(json!({"stateMachineArn": self.activity})), "InvalidArn"),
            (start(json!({"input": "{"})), "InvalidExecutionInput"),
            (start(json!({"name": "a b"})), "InvalidName"),
            (start(json!({"stateMachineArn": missing})), "StateMachineDoesNotExist"),
            (start(json!({"stateMachineArn": self.deleting})), "StateMachineDeleting"),
            (start(json!({"stateMachineArn": "a".repeat(257)})), "ValidationException"),
        ]
        .into_iter()
        .map(|(body, code)| ("StartExecution", body, code))
        .collect();
        let gone = format!("{}x", self.execution);
        for operation in
            ["StopExecution", "DescribeExecution", "GetExecutionHistory", "DescribeStateMachineForExecution"]
        {
            cases.push((operation, json!({"executionArn": gone}), "ExecutionDoesNotExist"));
            cases.push((operation, json!({"executionArn": arn}), "InvalidArn"));
        }
        let (token, long) = (json!("nonsense"), "e".repeat(257));
        cases.extend([
            ("StopExecution", json!({"executionArn": self.execution, "error": long}), "ValidationException"),
            ("GetExecutionHistory", json!({"executionArn": self.execution, "nextToken": token}), "InvalidToken"),
            ("ListExecutions", json!({"stateMachineArn": "nonsense"}), "InvalidArn"),
            ("ListExecutions", json!({"stateMachineArn": arn, "nextToken": token}), "InvalidToken"),
            ("ListExecutions", json!({"stateMachineArn": missing}), "StateMachineDoesNotExist"),
            ("ListExecutions", json!({"stateMachineArn": arn, "maxResults": 1001}), "ValidationException"),
        ]);
        cases
    }

    fn of_tags(&self) -> Vec<(&'static str, Value, &'static str)> {
        let missing = format!("{}x", self.machine);
        let mut cases = vec![("TagResource", json!({"resourceArn": self.machine, "tags": tags(51)}), "TooManyTags")];
        for operation in ["TagResource", "UntagResource", "ListTagsForResource"] {
            cases.push((operation, json!({"resourceArn": "nonsense"}), "InvalidArn"));
            cases.push((operation, json!({"resourceArn": missing}), "ResourceNotFound"));
        }
        cases
    }
}

const UNENCRYPTED: &str = "InvalidEncryptionConfiguration";

fn unkeyed() -> Value {
    json!({"type": "CUSTOMER_MANAGED_KMS_KEY"})
}

fn keyed() -> Value {
    json!({"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": "alias/k"})
}

fn tags(count: usize) -> Value {
    (0..count).map(|number| json!({"key": format!("k{number}"), "value": "v"})).collect()
}

/// Operation to codes: the column that has that number, of the table under that heading.
pub(crate) fn column(heading: &str, number: usize) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let section = TABLE.split("\n## ").find(|section| section.lines().next() == Some(heading)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).map(|line| line.split('|').map(str::trim));
    let rows = rows.map(Iterator::collect::<Vec<_>>).skip(1);
    let codes = |cell: &'static str| cell.split(", ").filter(|code| !code.is_empty()).collect();
    rows.map(|cells| (cells[1], codes(cells[number]))).collect()
}

#[tokio::test]
async fn each_documented_error_is_given_or_is_on_the_list_of_those_that_are_not() {
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let local = Local::start().await;
    for (operation, body, code) in Scene::set(&local).await.cases() {
        assert_eq!(
            local.code(operation, &body).await,
            code,
            "{operation} {}",
            &body.to_string()[..body.to_string().len().min(300)]
        );
        seen.entry(operation).or_default().insert(code);
    }
    local.stop().await;

    let limits = Limits { activities: 1, state_machines: 1, open_executions: 1 };
    let local = Local::with(Options { limits, ..Options::default() }).await;
    let activity = local.activity("Approve").await;
    let machine = local.machine("Main", &approval_definition(&activity)).await;
    let role = local.role("R").await;
    let start = json!({"stateMachineArn": machine});
    assert_eq!(local.code("StartExecution", &start).await, "ok");
    assert_eq!(local.code("CreateActivity", &json!({"name": "Approve"})).await, "ok");
    let create = json!({"name": "New", "definition": PASS, "roleArn": role});
    for (operation, body, code) in [
        ("CreateActivity", json!({"name": "New"}), "ActivityLimitExceeded"),
        ("CreateStateMachine", create, "StateMachineLimitExceeded"),
        ("StartExecution", start, "ExecutionLimitExceeded"),
    ] {
        assert_eq!(local.code(operation, &body).await, code);
        seen.entry(operation).or_default().insert(code);
    }
    local.stop().await;

    let now = "2026-01-02T03:04:05Z".parse().unwrap();
    let mut engine = Engine::new(EngineOptions::default(), now);
    let activity = engine.create_activity("us-east-1", "Approve", Default::default(), now).unwrap().arn;
    let refused = (0..=1000).find_map(|_| engine.start_poll(&activity, None, now).err()).unwrap();
    assert_eq!(engine.open_polls(), 1000);
    seen.entry("GetActivityTask").or_default().insert(refused.code);

    assert_eq!(column("Errors", 2), seen);
    for (operation, codes) in column("Errors", 3) {
        assert!(codes.is_disjoint(&seen[operation]), "{operation}");
    }
}
