//! Pulumi, in YAML.

use serde_json::{Map, Value, json};

use super::{camel, further, object, of_aws, tags, trust_policy};
use crate::provision::{Encryption, Placeholders, Spec, definition};

const ACTIVITY: &str = "activity";
const ROLE: &str = "role";
const STATE_MACHINE: &str = "stateMachine";

pub(super) fn program(spec: &Spec) -> Value {
    let mut outputs = Map::new();
    outputs.insert("stateMachineArn".to_owned(), json!("${stateMachine.arn}"));
    outputs.insert("activityArn".to_owned(), json!("${activity.id}"));
    for (key, _) in further(spec) {
        let id = further_id(key);
        outputs.insert(format!("{id}Arn"), json!(format!("${{{id}.id}}")));
    }
    outputs.insert("roleArn".to_owned(), json!("${role.arn}"));
    let asked = |function: &str, field: &str| json!({"fn::invoke": {"function": function, "return": field}});
    json!({
        "name": spec.name,
        "runtime": "yaml",
        "description": format!("The approval workflow {}", spec.name),
        "variables": {
            "account": asked("aws:getCallerIdentity", "accountId"),
            "partition": asked("aws:getPartition", "partition"),
            "region": asked("aws:getRegion", "id"),
        },
        "resources": resources(spec),
        "outputs": outputs,
    })
}

fn further_id(key: &str) -> String {
    format!("activity{}", camel(key))
}

fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

fn encryption(encryption: &Encryption) -> Value {
    json!({
        "type": "CUSTOMER_MANAGED_KMS_KEY",
        "kmsKeyId": literal(&encryption.kms_key_id),
        "kmsDataKeyReusePeriodSeconds": encryption.data_key_reuse.as_secs(),
    })
}

fn resources(spec: &Spec) -> Value {
    let encryption = spec.encryption.as_ref().map(encryption);
    let mut all = Map::new();
    let mut add = |id: String, kind: &str, properties: Value| {
        all.insert(id, json!({"type": kind, "properties": properties}));
    };
    let activity = |name: &str| {
        object([("name", Some(json!(name))), ("encryptionConfiguration", encryption.clone()), ("tags", tags(spec))])
    };
    add(ACTIVITY.to_owned(), "aws:sfn:Activity", activity(&spec.activity_name));
    for (key, name) in further(spec) {
        add(further_id(key), "aws:sfn:Activity", activity(name));
    }
    let role = object([
        ("name", Some(json!(spec.role.name))),
        ("path", Some(json!(spec.role.path))),
        ("description", Some(json!(format!("Execution role of the approval workflow {}", spec.name)))),
        ("assumeRolePolicy", Some(json!({"fn::toJSON": trust_policy(json!("${account}"))}))),
        ("permissionsBoundary", spec.role.permissions_boundary_arn.as_deref().map(policy_arn)),
        ("tags", tags(spec)),
    ]);
    add(ROLE.to_owned(), "aws:iam:Role", role);
    for (at, arn) in spec.role.managed_policy_arns.iter().enumerate() {
        let properties = json!({"role": "${role.name}", "policyArn": policy_arn(arn)});
        add(format!("managed{at}"), "aws:iam:RolePolicyAttachment", properties);
    }
    for (at, (name, text)) in spec.role.inline_policies.iter().enumerate() {
        let properties = json!({"role": "${role.name}", "name": name, "policy": literal(text)});
        add(format!("inline{at}"), "aws:iam:RolePolicy", properties);
    }
    let machine = &spec.state_machine;
    let logging = machine.logging.as_ref().map(|logging| {
        json!({
            "level": logging.level.name(),
            "includeExecutionData": logging.include_execution_data,
            "logDestination": logging.log_group_arn,
        })
    });
    let properties = object([
        ("name", Some(json!(machine.name))),
        ("type", Some(json!("STANDARD"))),
        ("roleArn", Some(json!("${role.arn}"))),
        ("definition", Some(json!(definition_text(spec)))),
        ("loggingConfiguration", logging),
        ("tracingConfiguration", machine.tracing.then(|| json!({"enabled": true}))),
        ("encryptionConfiguration", encryption.clone()),
        ("tags", tags(spec)),
    ]);
    add(STATE_MACHINE.to_owned(), "aws:sfn:StateMachine", properties);
    Value::Object(all)
}

fn policy_arn(arn: &str) -> Value {
    match of_aws(arn) {
        Some(name) => json!(format!("arn:${{partition}}:iam::aws:policy/{name}")),
        None => json!(arn),
    }
}

fn definition_text(spec: &Spec) -> String {
    let reference = |name: &str, value: &str| match name {
        "activity_arn" => "${activity.id}".to_owned(),
        "role_arn" => "${role.arn}".to_owned(),
        "region" => "${region}".to_owned(),
        "account_id" => "${account}".to_owned(),
        "partition" => "${partition}".to_owned(),
        "state_machine_arn" => {
            format!("arn:${{partition}}:states:${{region}}:${{account}}:stateMachine:{}", spec.state_machine.name)
        }
        name => match name.strip_prefix("activity_arn.") {
            Some(key) => format!("${{{}.id}}", further_id(key)),
            None => value.to_owned(),
        },
    };
    let text = definition::unresolved(spec);
    Placeholders::anywhere(spec).translate(&text, reference, "$${", str::to_owned)
}
