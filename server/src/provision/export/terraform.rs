//! Terraform, in its JSON syntax.

use serde_json::{Map, Value, json};

use super::{further, object, of_aws, tags, trust_policy};
use crate::provision::{Encryption, Placeholders, Spec, definition};

const ACCOUNT: &str = "${data.aws_caller_identity.current.account_id}";
const PARTITION: &str = "${data.aws_partition.current.partition}";
const REGION: &str = "${data.aws_region.current.id}";
const ROLE: &str = "${aws_iam_role.workflow.name}";
const ROLE_ARN: &str = "${aws_iam_role.workflow.arn}";
const STATE_MACHINE_ARN: &str = "${aws_sfn_state_machine.workflow.arn}";
/// The resource of the main activity.
const MAIN: &str = "workflow";

pub(super) fn configuration(spec: &Spec) -> Value {
    let mut outputs = Map::new();
    outputs.insert("state_machine_arn".to_owned(), json!({"value": STATE_MACHINE_ARN}));
    outputs.insert("activity_arn".to_owned(), json!({"value": activity_arn(MAIN)}));
    for (key, _) in further(spec) {
        let id = further_id(key);
        outputs.insert(format!("activity_arn_{id}"), json!({"value": activity_arn(&id)}));
    }
    outputs.insert("role_arn".to_owned(), json!({"value": ROLE_ARN}));
    json!({
        "terraform": {
            "required_version": ">= 1.3",
            "required_providers": {"aws": {"source": "hashicorp/aws", "version": ">= 5.69"}},
        },
        "data": {
            "aws_caller_identity": {"current": {}},
            "aws_partition": {"current": {}},
            "aws_region": {"current": {}},
        },
        "resource": resources(spec),
        "output": outputs,
    })
}

/// Keys of maps may begin with a digit, names of resources may not.
fn further_id(key: &str) -> String {
    let id: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    match id.starts_with(|c: char| c.is_ascii_digit()) || id == MAIN {
        true => format!("activity_{id}"),
        false => id,
    }
}

fn activity_arn(id: &str) -> String {
    format!("${{aws_sfn_activity.{id}.id}}")
}

/// Text that means nothing to Terraform.
fn literal(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

fn encryption(encryption: &Encryption) -> Value {
    json!({
        "type": "CUSTOMER_MANAGED_KMS_KEY",
        "kms_key_id": literal(&encryption.kms_key_id),
        "kms_data_key_reuse_period_seconds": encryption.data_key_reuse.as_secs(),
    })
}

fn resources(spec: &Spec) -> Value {
    let encryption = spec.encryption.as_ref().map(encryption);
    let activity = |name: &str| {
        object([("name", Some(json!(name))), ("encryption_configuration", encryption.clone()), ("tags", tags(spec))])
    };
    let mut activities = Map::new();
    activities.insert(MAIN.to_owned(), activity(&spec.activity_name));
    activities.extend(further(spec).map(|(key, name)| (further_id(key), activity(name))));

    let role = object([
        ("name", Some(json!(spec.role.name))),
        ("path", Some(json!(spec.role.path))),
        ("description", Some(json!(format!("Execution role of the approval workflow {}", spec.name)))),
        ("assume_role_policy", Some(json!(trust_policy(json!(ACCOUNT)).to_string()))),
        ("permissions_boundary", spec.role.permissions_boundary_arn.as_deref().map(policy_arn)),
        ("tags", tags(spec)),
    ]);
    let attachments: Map<String, Value> = (spec.role.managed_policy_arns.iter().enumerate())
        .map(|(at, arn)| (format!("managed_{at}"), json!({"role": ROLE, "policy_arn": policy_arn(arn)})))
        .collect();
    let inline: Map<String, Value> = (spec.role.inline_policies.iter().enumerate())
        .map(|(at, (name, text))| {
            (format!("inline_{at}"), json!({"role": ROLE, "name": name, "policy": literal(text)}))
        })
        .collect();
    object([
        ("aws_sfn_activity", Some(Value::Object(activities))),
        ("aws_iam_role", Some(json!({"workflow": role}))),
        ("aws_iam_role_policy_attachment", (!attachments.is_empty()).then(|| Value::Object(attachments))),
        ("aws_iam_role_policy", (!inline.is_empty()).then(|| Value::Object(inline))),
        ("aws_sfn_state_machine", Some(json!({"workflow": state_machine(spec, encryption)}))),
    ])
}

fn policy_arn(arn: &str) -> Value {
    match of_aws(arn) {
        Some(name) => json!(format!("arn:{PARTITION}:iam::aws:policy/{name}")),
        None => json!(arn),
    }
}

fn state_machine(spec: &Spec, encryption: Option<Value>) -> Value {
    let machine = &spec.state_machine;
    let logging = machine.logging.as_ref().map(|logging| {
        json!({
            "level": logging.level.name(),
            "include_execution_data": logging.include_execution_data,
            "log_destination": logging.log_group_arn,
        })
    });
    object([
        ("name", Some(json!(machine.name))),
        ("type", Some(json!("STANDARD"))),
        ("role_arn", Some(json!(ROLE_ARN))),
        ("definition", Some(json!(definition_text(spec)))),
        ("logging_configuration", logging),
        ("tracing_configuration", machine.tracing.then(|| json!({"enabled": true}))),
        ("encryption_configuration", encryption),
        ("tags", tags(spec)),
    ])
}

fn definition_text(spec: &Spec) -> String {
    let reference = |name: &str, value: &str| match name {
        "activity_arn" => activity_arn(MAIN),
        "role_arn" => ROLE_ARN.to_owned(),
        "region" => REGION.to_owned(),
        "account_id" => ACCOUNT.to_owned(),
        "partition" => PARTITION.to_owned(),
        "state_machine_arn" => {
            format!("arn:{PARTITION}:states:{REGION}:{ACCOUNT}:stateMachine:{}", spec.state_machine.name)
        }
        name => match name.strip_prefix("activity_arn.") {
            Some(key) => activity_arn(&further_id(key)),
            None => value.to_owned(),
        },
    };
    let text = definition::unresolved(spec);
    Placeholders::anywhere(spec).translate(&text, reference, "$${", |text| text.replace("%{", "%%{"))
}
