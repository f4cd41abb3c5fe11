//! Roles and their policies, and who the caller is.

use aws_sdk_iam::{error::ProvideErrorMetadata, types::Tag};
use sfn_local::Options;

use crate::support::{Local, TRUST};

const FULL_ACCESS: &str = "arn:aws:iam::aws:policy/AWSStepFunctionsFullAccess";
/// What Step Functions says of a role that it cannot assume, or not yet.
const NOT_TRUSTED: &str = "Neither the global service principal states.amazonaws.com, nor the regional one is authorized \
                           to assume the provided role.";

#[tokio::test]
async fn a_role_lives_from_create_to_delete() {
    let local = Local::start().await;
    let iam = &local.iam;
    let tag = Tag::builder().key("owner").value("a + b").build().unwrap();
    let create = iam.create_role().role_name("R").assume_role_policy_document(TRUST).description("a & b <c>").tags(tag);
    let role = create.clone().send().await.unwrap().role.unwrap();
    assert_eq!(role.arn, "arn:aws:iam::000000000000:role/R");
    let again = create.send().await.unwrap_err().into_service_error();
    assert!(again.is_entity_already_exists_exception(), "{again:?}");

    let role = iam.get_role().role_name("R").send().await.unwrap().role.unwrap();
    assert_eq!((role.description.as_deref(), role.max_session_duration), (Some("a & b <c>"), Some(3600)));
    let document = role.assume_role_policy_document.unwrap();
    assert!(document.starts_with("%7B%22Version%22"), "{document}");
    let tags = iam.list_role_tags().role_name("R").send().await.unwrap().tags;
    assert_eq!((tags[0].key.as_str(), tags[0].value.as_str()), ("owner", "a + b"));

    iam.attach_role_policy().role_name("R").policy_arn(FULL_ACCESS).send().await.unwrap();
    iam.attach_role_policy().role_name("R").policy_arn(FULL_ACCESS).send().await.unwrap();
    let attached = iam.list_attached_role_policies().role_name("R").send().await.unwrap();
    let attached = attached.attached_policies.unwrap();
    assert_eq!(attached.len(), 1);
    assert_eq!(attached[0].policy_name.as_deref(), Some("AWSStepFunctionsFullAccess"));
    iam.put_role_policy().role_name("R").policy_name("p").policy_document(TRUST).send().await.unwrap();
    assert_eq!(iam.list_role_policies().role_name("R").send().await.unwrap().policy_names, ["p"]);
    iam.get_role_policy().role_name("R").policy_name("p").send().await.unwrap();

    let error = iam.delete_role().role_name("R").send().await.unwrap_err().into_service_error();
    assert!(error.is_delete_conflict_exception(), "{error:?}");
    iam.detach_role_policy().role_name("R").policy_arn(FULL_ACCESS).send().await.unwrap();
    let error = iam.delete_role().role_name("R").send().await.unwrap_err().into_service_error();
    assert!(error.is_delete_conflict_exception(), "{error:?}");
    iam.delete_role_policy().role_name("R").policy_name("p").send().await.unwrap();
    assert!(iam.list_instance_profiles_for_role().role_name("R").send().await.unwrap().instance_profiles.is_empty());
    iam.untag_role().role_name("R").tag_keys("owner").send().await.unwrap();
    iam.delete_role().role_name("R").send().await.unwrap();
    let error = iam.get_role().role_name("R").send().await.unwrap_err().into_service_error();
    assert!(error.is_no_such_entity_exception(), "{error:?}");
    local.stop().await;
}

#[tokio::test]
async fn only_managed_policies_that_exist_can_be_attached() {
    let local = Local::start().await;
    local.role("R").await;
    for arn in [
        "arn:aws:iam::aws:policy/service-role/AWSStepFunctionsFullAccess",
        "arn:aws:iam::aws:policy/AWSLambdaRole",
        "arn:aws:iam::aws:policy/AWSStepFunctionsFullAcces",
        "arn:aws:iam::aws:policy/service-role/",
    ] {
        let attach = local.iam.attach_role_policy().role_name("R").policy_arn(arn).send();
        let error = attach.await.unwrap_err().into_service_error();
        assert!(error.is_no_such_entity_exception(), "{arn} {error:?}");
    }
    for arn in [
        FULL_ACCESS,
        "arn:aws:iam::aws:policy/service-role/AWSLambdaRole",
        "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess",
    ] {
        local.iam.attach_role_policy().role_name("R").policy_arn(arn).send().await.unwrap();
    }
    let policy = local.iam.get_policy().policy_arn(FULL_ACCESS).send().await.unwrap().policy.unwrap();
    assert_eq!(policy.policy_name.as_deref(), Some("AWSStepFunctionsFullAccess"));
    local.stop().await;
}

#[tokio::test]
async fn roles_are_updated_bounded_and_listed() {
    let local = Local::start().await;
    let iam = &local.iam;
    local.role("R").await;
    let missing = "arn:aws:iam::000000000000:policy/ops/Bound";
    let bound = iam.put_role_permissions_boundary().role_name("R").permissions_boundary(missing);
    assert!(bound.clone().send().await.unwrap_err().into_service_error().is_no_such_entity_exception());
    let create = iam.create_policy().policy_name("Bound").path("/ops/").policy_document(TRUST);
    let policy = create.clone().send().await.unwrap().policy.unwrap();
    assert_eq!(policy.arn.as_deref(), Some(missing));
    assert!(create.send().await.unwrap_err().into_service_error().is_entity_already_exists_exception());
    bound.send().await.unwrap();
    iam.update_role().role_name("R").description("new").max_session_duration(7200).send().await.unwrap();
    let role = iam.get_role().role_name("R").send().await.unwrap().role.unwrap();
    assert_eq!((role.description.as_deref(), role.max_session_duration), (Some("new"), Some(7200)));
    let boundary = role.permissions_boundary.unwrap();
    assert_eq!(boundary.permissions_boundary_arn.as_deref(), Some(missing));
    let delete = iam.delete_policy().policy_arn(missing);
    assert!(delete.clone().send().await.unwrap_err().into_service_error().is_delete_conflict_exception());
    iam.delete_role_permissions_boundary().role_name("R").send().await.unwrap();
    delete.send().await.unwrap();
    let create = iam.create_role().role_name("S").path("/approve/").assume_role_policy_document(TRUST);
    create.send().await.unwrap();
    let listed = iam.list_roles().path_prefix("/approve/").send().await.unwrap().roles;
    assert_eq!(
        listed.iter().map(|role| role.arn.as_str()).collect::<Vec<_>>(),
        ["arn:aws:iam::000000000000:role/approve/S"]
    );
    assert_eq!(iam.list_roles().send().await.unwrap().roles.len(), 2);
    local.stop().await;
}

#[tokio::test]
async fn trust_policies_are_checked() {
    let local = Local::start().await;
    for policy in ["not json", "{}", r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#] {
        let create = local.iam.create_role().role_name("R").assume_role_policy_document(policy).send();
        let error = create.await.unwrap_err().into_service_error();
        assert!(error.is_malformed_policy_document_exception(), "{policy} {error:?}");
    }
    local.stop().await;
}

#[tokio::test]
async fn a_fresh_role_cannot_be_assumed_until_it_has_spread() {
    let options = Options { role_propagation: std::time::Duration::from_secs(10), ..Options::default() };
    let local = Local::with(options).await;
    local.admin("POST", "clock", r#"{"stop": true}"#).await;
    let role = local.role("R").await;
    let definition = r#"{"StartAt":"S","States":{"S":{"Type":"Succeed"}}}"#;
    let create = local.sfn.create_state_machine().name("M").definition(definition).role_arn(&role);
    let refused = |error: &dyn ProvideErrorMetadata| {
        assert_eq!(error.code(), Some("AccessDeniedException"));
        assert_eq!(error.message(), Some(NOT_TRUSTED));
    };
    refused(&create.clone().send().await.unwrap_err().into_service_error());
    local.admin("POST", "clock", r#"{"advance_millis": 9000}"#).await;
    refused(&create.clone().send().await.unwrap_err().into_service_error());
    local.admin("POST", "clock", r#"{"advance_millis": 1000}"#).await;
    let machine = create.send().await.unwrap().state_machine_arn;

    // What a changed trust policy allows has to spread, too.
    let deny = TRUST.replace("states.", "lambda.");
    let trust = |policy: &str| local.iam.update_assume_role_policy().role_name("R").policy_document(policy);
    trust(&deny).send().await.unwrap();
    trust(TRUST).send().await.unwrap();
    let update = local.sfn.update_state_machine().state_machine_arn(machine).role_arn(role);
    refused(&update.clone().send().await.unwrap_err().into_service_error());
    local.admin("POST", "clock", r#"{"advance_millis": 10000}"#).await;
    update.send().await.unwrap();
    local.stop().await;
}
