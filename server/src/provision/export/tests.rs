use serde_json::json;

use super::*;
use crate::provision::{Encryption, LogLevel, Logging};

fn full() -> Spec {
    let mut spec = Spec::named("pay");
    spec.more_activities.insert("legal-team".to_owned(), "Legal".to_owned());
    let definition = r#"{"Comment": "${workflow} ${other} %{x}", "A": "${activity_arn}", "B": "${activity_arn.legal-team}",
        "C": "${state_machine_arn}", "D": "${role_arn}"}"#;
    spec.state_machine.definition = Some(definition.to_owned());
    spec.state_machine.logging = Some(Logging {
        level: LogLevel::All,
        log_group_arn: "arn:aws:logs:eu-west-1:123456789012:log-group:g:*".to_owned(),
        include_execution_data: true,
    });
    spec.state_machine.tracing = true;
    spec.role.path = "/team/".to_owned();
    spec.role.permissions_boundary_arn = Some("arn:aws:iam::123456789012:policy/b".to_owned());
    let policy = r#"{"Version": "2012-10-17", "Statement": [{"Resource": "${aws:username}"}]}"#;
    spec.role.inline_policies.insert("own".to_owned(), policy.to_owned());
    spec.encryption =
        Some(Encryption { kms_key_id: "alias/k".to_owned(), data_key_reuse: jiff::SignedDuration::from_secs(60) });
    spec.tags.insert("team".to_owned(), "payments".to_owned());
    spec
}

#[test]
fn cloudformation_says_all_that_the_spec_says() {
    let template = cloudformation::template(&full());
    let resources = &template["Resources"];
    let activity = &resources["LegalTeamActivity"];
    assert_eq!(activity["Type"], "AWS::StepFunctions::Activity");
    assert_eq!(activity["Properties"]["EncryptionConfiguration"]["KmsDataKeyReusePeriodSeconds"], 60);
    let role = &resources["Role"]["Properties"];
    assert_eq!(role["Path"], "/team/");
    assert_eq!(role["Policies"][0]["PolicyDocument"]["Statement"][0]["Resource"], "${aws:username}");
    let account = &role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]["StringEquals"]["aws:SourceAccount"];
    assert_eq!(account, &json!({"Ref": "AWS::AccountId"}));
    let full_access = "arn:${AWS::Partition}:iam::aws:policy/AWSStepFunctionsFullAccess";
    assert_eq!(role["ManagedPolicyArns"][0]["Fn::Sub"], full_access);
    let machine = &resources["StateMachine"]["Properties"];
    assert_eq!(machine["StateMachineType"], "STANDARD");
    assert_eq!(
        (&machine["TracingConfiguration"]["Enabled"], &machine["LoggingConfiguration"]["Level"]),
        (&json!(true), &json!("ALL"))
    );
    let definition = machine["DefinitionString"]["Fn::Sub"].as_str().unwrap();
    for part in [
        "pay ${!other} %{x}",
        r#""A": "${Activity}""#,
        r#""B": "${LegalTeamActivity}""#,
        r#"${AWS::AccountId}:stateMachine:pay-state-machine""#,
        r#""D": "${Role.Arn}""#,
    ] {
        assert!(definition.contains(part), "{part}: {definition}");
    }
    assert_eq!(template["Outputs"].as_object().unwrap().keys().next().unwrap(), "StateMachineArn");
}

#[test]
fn terraform_says_all_that_the_spec_says_and_keeps_other_dollars_literal() {
    let configuration = terraform::configuration(&full());
    let resources = &configuration["resource"];
    assert_eq!(resources["aws_sfn_activity"]["legal_team"]["name"], "Legal");
    let machine = &resources["aws_sfn_state_machine"]["workflow"];
    let definition = machine["definition"].as_str().unwrap();
    for part in ["pay $${other} %%{x}", "${aws_sfn_activity.workflow.id}", "${aws_sfn_activity.legal_team.id}"] {
        assert!(definition.contains(part), "{part}: {definition}");
    }
    let inline = &resources["aws_iam_role_policy"]["inline_0"];
    assert!(inline["policy"].as_str().unwrap().contains("$${aws:username}"), "{inline}");
    assert_eq!(machine["logging_configuration"]["include_execution_data"], true);
    assert_eq!(resources["aws_iam_role"]["workflow"]["path"], "/team/");
}

#[test]
fn pulumi_says_all_that_the_spec_says() {
    let program = pulumi::program(&full());
    let resources = &program["resources"];
    assert_eq!(resources["activityLegalTeam"]["type"], "aws:sfn:Activity");
    let machine = &resources["stateMachine"]["properties"];
    let definition = machine["definition"].as_str().unwrap();
    for part in ["pay $${other}", "${activity.id}", "${activityLegalTeam.id}", "${role.arn}"] {
        assert!(definition.contains(part), "{part}: {definition}");
    }
    assert_eq!(resources["inline0"]["properties"]["policy"].as_str().unwrap().matches("$${aws:username}").count(), 1);
}

#[test]
fn what_is_not_in_the_spec_is_not_in_the_code() {
    let mut spec = Spec::reference();
    spec.role.managed_policy_arns.clear();
    for format in [Format::CloudFormation, Format::Terraform, Format::Pulumi] {
        let text = export(&spec, format).to_lowercase();
        for part in ["encryption", "logging", "tracing", "tags", "policies", "attachment", "boundary", "approve:"] {
            assert!(!text.contains(part), "{part} in {format:?}: {text}");
        }
    }
}

#[test]
fn yaml_is_in_blocks_and_quotes_what_could_be_misread() {
    let value = json!({
        "Type": "AWS::IAM::Role",
        "Text": "{\n  \"a\": 1\n}",
        "List": [{"Key": "on", "Value": "1"}, {"Deep": [true, 60]}],
        "Empty": {},
        "Odd": "a: b",
        "Version": "2012-10-17",
    });
    let expected = "Type: AWS::IAM::Role\nText: |-\n  {\n    \"a\": 1\n  }\nList:\n  - Key: \"on\"\n    Value: \"1\"\n  - Deep:\n      - true\n      - 60\nEmpty: {}\nOdd: \"a: b\"\nVersion: \"2012-10-17\"\n";
    assert_eq!(yaml::document(&value), expected);
}
