//! Lists and histories in pages, tags, and what else the SDK reads.

use aws_sdk_sfn::{
    error::ProvideErrorMetadata as _,
    types::{
        EncryptionConfiguration, EncryptionType, ExecutionStatus, HistoryEventType, Tag,
        ValidateStateMachineDefinitionResultCode, ValidateStateMachineDefinitionSeverity,
    },
};

use crate::support::Local;

const PASSES: &str = r#"{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"},"B":{"Type":"Pass","End":true}}}"#;

#[tokio::test]
async fn histories_come_in_pages_in_both_orders() {
    let local = Local::start().await;
    let machine = local.machine("M", PASSES).await;
    let execution = local.sfn.start_execution().state_machine_arn(&machine).send().await.unwrap().execution_arn;
    for reverse in [false, true] {
        let pages = local.sfn.get_execution_history().execution_arn(&execution).reverse_order(reverse).max_results(4);
        let events: Result<Vec<_>, _> = pages.into_paginator().items().send().collect().await;
        let ids: Vec<i64> = events.unwrap().iter().map(|event| event.id).collect();
        let mut expected: Vec<i64> = (1..=6).collect();
        if reverse {
            expected.reverse();
        }
        assert_eq!(ids, expected);
    }
    let plain = local.sfn.get_execution_history().execution_arn(&execution).include_execution_data(false);
    let events = plain.send().await.unwrap().events;
    assert_eq!(events[5].r#type, HistoryEventType::ExecutionSucceeded);
    assert_eq!(events[5].execution_succeeded_event_details.as_ref().unwrap().output, None);
    local.stop().await;
}

#[tokio::test]
async fn lists_come_in_pages_and_by_region() {
    let local = Local::start().await;
    for number in 0..5 {
        local.activity(&format!("A{number}")).await;
    }
    let elsewhere = local.sfn.config().to_builder().region(aws_sdk_sfn::config::Region::new("eu-west-1")).build();
    let elsewhere = aws_sdk_sfn::Client::from_conf(elsewhere);
    let arn = elsewhere.create_activity().name("A9").send().await.unwrap().activity_arn;
    assert_eq!(arn, "arn:aws:states:eu-west-1:000000000000:activity:A9");
    let pages = local.sfn.list_activities().max_results(2).into_paginator().items().send();
    let listed: Result<Vec<_>, _> = pages.collect().await;
    let names: Vec<String> = listed.unwrap().into_iter().map(|activity| activity.name).collect();
    assert_eq!(names, ["A0", "A1", "A2", "A3", "A4"]);

    let machine = local.machine("M", PASSES).await;
    for number in 0..5 {
        local.sfn.start_execution().state_machine_arn(&machine).name(format!("e{number}")).send().await.unwrap();
    }
    let list = local.sfn.list_executions().state_machine_arn(&machine).status_filter(ExecutionStatus::Succeeded);
    let first = list.clone().max_results(2).send().await.unwrap();
    let listed: Result<Vec<_>, _> = list.max_results(2).into_paginator().items().send().collect().await;
    let names: Vec<String> = listed.unwrap().into_iter().map(|execution| execution.name).collect();
    assert_eq!(names, ["e4", "e3", "e2", "e1", "e0"]);

    // A token of one list is none of another.
    let token = first.next_token.unwrap();
    let other = local.sfn.list_executions().state_machine_arn(&machine).next_token(&token).send().await;
    assert!(other.unwrap_err().into_service_error().is_invalid_token());
    let many = local.sfn.list_activities().max_results(1001).send().await.unwrap_err().into_service_error();
    assert_eq!(many.code(), Some("ValidationException"));
    local.stop().await;
}

#[tokio::test]
async fn machines_are_described_updated_validated_and_deleted() {
    let local = Local::start().await;
    let machine = local.machine("M", PASSES).await;
    let described = local.sfn.describe_state_machine().state_machine_arn(&machine).send().await.unwrap();
    assert_eq!((described.name.as_str(), described.definition.as_str()), ("M", PASSES));
    let succeed = r#"{"StartAt":"S","States":{"S":{"Type":"Succeed"}}}"#;
    let before = local.sfn.start_execution().state_machine_arn(&machine).send().await.unwrap().execution_arn;
    local.sfn.update_state_machine().state_machine_arn(&machine).definition(succeed).send().await.unwrap();
    let described = local.sfn.describe_state_machine().state_machine_arn(&machine).send().await.unwrap();
    assert_eq!(described.definition, succeed);
    let old = local.sfn.describe_state_machine_for_execution().execution_arn(&before).send().await.unwrap();
    assert_eq!(old.definition, PASSES);

    let tag = Tag::builder().key("k").value("v").build();
    local.sfn.tag_resource().resource_arn(&machine).tags(tag.clone()).send().await.unwrap();
    let tags = local.sfn.list_tags_for_resource().resource_arn(&machine).send().await.unwrap().tags.unwrap();
    assert_eq!(tags, [tag]);
    local.sfn.untag_resource().resource_arn(&machine).tag_keys("k").send().await.unwrap();

    let valid = local.sfn.validate_state_machine_definition().definition(PASSES).send().await.unwrap();
    assert_eq!(valid.result, ValidateStateMachineDefinitionResultCode::Ok);
    let wrong = validate_target(&local, &PASSES.replace("\"Next\":\"B\"", "\"Next\":\"C\"")).await;
    assert_eq!(wrong, ("MISSING_TRANSITION_TARGET".to_owned(), "/States/A/Next".to_owned()));

    local.sfn.delete_state_machine().state_machine_arn(&machine).send().await.unwrap();
    let gone = local.sfn.describe_state_machine().state_machine_arn(&machine).send().await.unwrap_err();
    assert!(gone.into_service_error().is_state_machine_does_not_exist());
    local.stop().await;
}

#[tokio::test]
async fn findings_are_counted_and_cut_at_what_is_asked_for() {
    let local = Local::start().await;
    let wrong = PASSES.replace("\"Next\":\"B\"", "\"Next\":\"C\",\"Foo\":1,\"InputPath\":5");
    let validate = local.sfn.validate_state_machine_definition().definition(wrong);
    let all = validate.clone().send().await.unwrap();
    assert_eq!((all.result.as_str(), all.truncated, all.diagnostics.len()), ("FAIL", Some(false), 3));
    let cut = validate.clone().max_results(2).send().await.unwrap();
    assert_eq!((cut.truncated, cut.diagnostics.len()), (Some(true), 2));
    let warnings = validate.severity(ValidateStateMachineDefinitionSeverity::Warning).send().await.unwrap();
    assert_eq!(warnings.diagnostics.len(), 3);
    local.stop().await;
}

#[tokio::test]
async fn encryption_is_kept_and_makes_another_activity() {
    let local = Local::start().await;
    let encryption = |key: &str| {
        let builder = EncryptionConfiguration::builder().r#type(EncryptionType::CustomerManagedKmsKey);
        builder.kms_key_id(key).kms_data_key_reuse_period_seconds(300).build().unwrap()
    };
    let create = |key: &str| local.sfn.create_activity().name("A").encryption_configuration(encryption(key));
    let arn = create("alias/one").send().await.unwrap().activity_arn;
    create("alias/one").send().await.unwrap();
    let other = create("alias/two").send().await.unwrap_err().into_service_error();
    assert!(other.is_activity_already_exists(), "{other:?}");
    let described = local.sfn.describe_activity().activity_arn(&arn).send().await.unwrap();
    assert_eq!(described.encryption_configuration, Some(encryption("alias/one")));
    let keyless = EncryptionConfiguration::builder().r#type(EncryptionType::CustomerManagedKmsKey).build().unwrap();
    let refused = local.sfn.create_activity().name("B").encryption_configuration(keyless).send().await.unwrap_err();
    assert!(refused.into_service_error().is_invalid_encryption_configuration());
    local.stop().await;
}

/// Code and location of the first finding.
async fn validate_target(local: &Local, definition: &str) -> (String, String) {
    let validated = local.sfn.validate_state_machine_definition().definition(definition).send().await.unwrap();
    let first = &validated.diagnostics[0];
    (first.code.clone(), first.location.clone().unwrap())
}

#[tokio::test]
async fn what_is_not_served_is_refused() {
    let local = Local::start().await;
    let role = local.role("R").await;
    let express = local.sfn.create_state_machine().name("X").definition(PASSES).role_arn(role);
    let error = express.r#type(aws_sdk_sfn::types::StateMachineType::Express).send().await.unwrap_err();
    assert_eq!(error.into_service_error().code(), Some("StateMachineTypeNotSupported"));
    let arn = "arn:aws:states:us-east-1:000000000000:mapRun:M/x:y";
    let error = local.sfn.describe_map_run().map_run_arn(arn).send().await.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("UnknownOperationException"));
    local.stop().await;
}
