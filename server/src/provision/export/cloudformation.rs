//! AWS CloudFormation.

use serde_json::{Map, Value, json};

use super::{camel, further, object, of_aws, trust_policy};
use crate::provision::{Encryption, Placeholders, Spec, definition};

const ACTIVITY: &str = "Activity";
const ROLE: &str = "Role";
const STATE_MACHINE: &str = "StateMachine";

pub(super) fn template(spec: &Spec) -> Value {
    let mut resources = Map::new();
    resources.insert(ACTIVITY.to_owned(), activity(spec, &spec.activity_name));
    for (key, name) in further(spec) {
        resources.insert(further_id(key), activity(spec, name));
    }
    resources.insert(ROLE.to_owned(), role(spec));
    resources.insert(STATE_MACHINE.to_owned(), state_machine(spec));

    let output = |description: &str, value: Value| json!({"Description": description, "Value": value});
    let mut outputs = Map::new();
    outputs.insert("StateMachineArn".to_owned(), output("The state machine", json!({"Ref": STATE_MACHINE})));
    outputs.insert("ActivityArn".to_owned(), output("The activity", json!({"Ref": ACTIVITY})));
    for (key, _) in further(spec) {
        let id = further_id(key);
        outputs.insert(format!("{id}Arn"), output(&format!("The activity {key}"), json!({"Ref": id})));
    }
    outputs.insert("RoleArn".to_owned(), output("The execution role", json!({"Fn::GetAtt": [ROLE, "Arn"]})));
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("The approval workflow {}", spec.name),
        "Resources": resources,
        "Outputs": outputs,
    })
}

fn further_id(key: &str) -> String {
    format!("{}{ACTIVITY}", camel(key))
}

fn tags(spec: &Spec) -> Option<Value> {
    let tags: Vec<Value> = spec.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    (!tags.is_empty()).then(|| json!(tags))
}

fn encryption(encryption: &Encryption) -> Value {
    json!({
        "Type": "CUSTOMER_MANAGED_KMS_KEY",
        "KmsKeyId": encryption.kms_key_id,
        "KmsDataKeyReusePeriodSeconds": encryption.data_key_reuse.as_secs(),
    })
}

fn activity(spec: &Spec, name: &str) -> Value {
    let properties = object([
        ("Name", Some(json!(name))),
        ("EncryptionConfiguration", spec.encryption.as_ref().map(encryption)),
        ("Tags", tags(spec)),
    ]);
    json!({"Type": "AWS::StepFunctions::Activity", "Properties": properties})
}

fn role(spec: &Spec) -> Value {
    let managed: Vec<Value> = spec.role.managed_policy_arns.iter().map(|arn| policy_arn(arn)).collect();
    let document = |text: &String| serde_json::from_str::<Value>(text).unwrap_or_default();
    let inline = spec.role.inline_policies.iter();
    let inline: Vec<Value> =
        inline.map(|(name, text)| json!({"PolicyName": name, "PolicyDocument": document(text)})).collect();
    let properties = object([
        ("RoleName", Some(json!(spec.role.name))),
        ("Path", Some(json!(spec.role.path))),
        ("Description", Some(json!(format!("Execution role of the approval workflow {}", spec.name)))),
        ("AssumeRolePolicyDocument", Some(trust_policy(json!({"Ref": "AWS::AccountId"})))),
        ("ManagedPolicyArns", (!managed.is_empty()).then(|| json!(managed))),
        ("Policies", (!inline.is_empty()).then(|| json!(inline))),
        ("PermissionsBoundary", spec.role.permissions_boundary_arn.as_deref().map(policy_arn)),
        ("Tags", tags(spec)),
    ]);
    json!({"Type": "AWS::IAM::Role", "Properties": properties})
}

fn policy_arn(arn: &str) -> Value {
    match of_aws(arn) {
        Some(name) => json!({"Fn::Sub": format!("arn:${{AWS::Partition}}:iam::aws:policy/{name}")}),
        None => json!(arn),
    }
}

fn state_machine(spec: &Spec) -> Value {
    let machine = &spec.state_machine;
    let logging = machine.logging.as_ref().map(|logging| {
        json!({
            "Level": logging.level.name(),
            "IncludeExecutionData": logging.include_execution_data,
            "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": logging.log_group_arn}}],
        })
    });
    let properties = object([
        ("StateMachineName", Some(json!(machine.name))),
        ("StateMachineType", Some(json!("STANDARD"))),
        ("RoleArn", Some(json!({"Fn::GetAtt": [ROLE, "Arn"]}))),
        ("DefinitionString", Some(definition_string(spec))),
        ("LoggingConfiguration", logging),
        ("TracingConfiguration", machine.tracing.then(|| json!({"Enabled": true}))),
        ("EncryptionConfiguration", spec.encryption.as_ref().map(encryption)),
        ("Tags", tags(spec)),
    ]);
    json!({"Type": "AWS::StepFunctions::StateMachine", "Properties": properties})
}

/// The definition with CloudFormation's own references where outputs belong.
fn definition_string(spec: &Spec) -> Value {
    let reference = |name: &str, value: &str| match name {
        "activity_arn" => format!("${{{ACTIVITY}}}"),
        "role_arn" => format!("${{{ROLE}.Arn}}"),
        "region" => "${AWS::Region}".to_owned(),
        "account_id" => "${AWS::AccountId}".to_owned(),
        "partition" => "${AWS::Partition}".to_owned(),
        "state_machine_arn" => format!(
            "arn:${{AWS::Partition}}:states:${{AWS::Region}}:${{AWS::AccountId}}:stateMachine:{}",
            spec.state_machine.name
        ),
        name => match name.strip_prefix("activity_arn.") {
            Some(key) => format!("${{{}}}", further_id(key)),
            None => value.to_owned(),
        },
    };
    let text = definition::unresolved(spec);
    json!({"Fn::Sub": Placeholders::anywhere(spec).translate(&text, reference, "${!", |text| text.to_owned())})
}
