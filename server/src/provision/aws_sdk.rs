//! The port over the AWS SDK.

use async_trait::async_trait;
use aws_config::{SdkConfig, retry::RetryConfig};
use aws_sdk_iam::types as iam;
use aws_sdk_sfn::{config::StalledStreamProtectionConfig, types as sfn};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::{
    DateTime,
    error::{metadata::ProvideErrorMetadata, operation::BuildError},
};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::{ControlPlane, Diagnostic, Named, ObservedRole, ObservedStateMachine, Page, Tags};
use crate::stepfunctions::{CallError, Failure, call_timeouts, classify};

/// Items in a page of Step Functions' lists: the most there may be.
const PAGE: i32 = 1_000;
/// In every role's description.
const ROLE_DESCRIPTION: &str = "Execution role of an approval workflow, made by approve.";

/// Step Functions and IAM over the wire. Retries nothing: that is its callers' to decide.
#[derive(Debug, Clone)]
pub struct SdkControlPlane {
    sfn: aws_sdk_sfn::Client,
    iam: aws_sdk_iam::Client,
}

impl SdkControlPlane {
    /// A port with `config`'s region, endpoint and credentials.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        let sfn = aws_sdk_sfn::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(call_timeouts())
            .build();
        let iam = aws_sdk_iam::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(call_timeouts())
            .build();
        Self { sfn: aws_sdk_sfn::Client::from_conf(sfn), iam: aws_sdk_iam::Client::from_conf(iam) }
    }
}

/// What a failed call of that name means.
fn failed<E>(operation: &'static str) -> impl FnOnce(SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    move |error| classify(operation, &error, &[])
}

#[async_trait]
impl ControlPlane for SdkControlPlane {
    async fn list_activities(&self, next: Option<String>) -> Result<Page<Named>, CallError> {
        let call = self.sfn.list_activities().max_results(PAGE).set_next_token(next);
        let answer = call.send().await.map_err(failed("ListActivities"))?;
        let named = |item: sfn::ActivityListItem| Named { name: item.name, arn: item.activity_arn };
        Ok(page(answer.activities.into_iter().map(named), answer.next_token))
    }

    async fn describe_activity(&self, arn: &str) -> Result<(), CallError> {
        let call = self.sfn.describe_activity().activity_arn(arn);
        call.send().await.map_err(failed("DescribeActivity"))?;
        Ok(())
    }

    async fn create_activity(&self, name: &str, tags: &Tags) -> Result<String, CallError> {
        let call = self.sfn.create_activity().name(name).set_tags(Some(sfn_tags(tags)));
        Ok(call.send().await.map_err(failed("CreateActivity"))?.activity_arn)
    }

    async fn delete_activity(&self, arn: &str) -> Result<(), CallError> {
        let call = self.sfn.delete_activity().activity_arn(arn);
        call.send().await.map_err(failed("DeleteActivity"))?;
        Ok(())
    }

    async fn list_tags(&self, arn: &str) -> Result<Tags, CallError> {
        let call = self.sfn.list_tags_for_resource().resource_arn(arn);
        let answer = call.send().await.map_err(failed("ListTagsForResource"))?;
        let pair = |tag: sfn::Tag| Some((tag.key?, tag.value.unwrap_or_default()));
        Ok(answer.tags.unwrap_or_default().into_iter().filter_map(pair).collect())
    }

    async fn tag_resource(&self, arn: &str, tags: &Tags) -> Result<(), CallError> {
        let call = self.sfn.tag_resource().resource_arn(arn).set_tags(Some(sfn_tags(tags)));
        call.send().await.map_err(failed("TagResource"))?;
        Ok(())
    }

    async fn list_state_machines(&self, next: Option<String>) -> Result<Page<Named>, CallError> {
        let call = self.sfn.list_state_machines().max_results(PAGE).set_next_token(next);
        let answer = call.send().await.map_err(failed("ListStateMachines"))?;
        let named = |item: sfn::StateMachineListItem| Named { name: item.name, arn: item.state_machine_arn };
        Ok(page(answer.state_machines.into_iter().map(named), answer.next_token))
    }

    async fn describe_state_machine(&self, arn: &str) -> Result<ObservedStateMachine, CallError> {
        let call = self.sfn.describe_state_machine().state_machine_arn(arn);
        let answer = call.send().await.map_err(failed("DescribeStateMachine"))?;
        Ok(ObservedStateMachine {
            arn: answer.state_machine_arn,
            definition: answer.definition,
            role_arn: answer.role_arn,
            standard: answer.r#type == sfn::StateMachineType::Standard,
            deleting: answer.status == Some(sfn::StateMachineStatus::Deleting),
        })
    }

    async fn create_state_machine(
        &self,
        name: &str,
        definition: &str,
        role_arn: &str,
        tags: &Tags,
    ) -> Result<String, CallError> {
        let call = self.sfn.create_state_machine().name(name).definition(definition).role_arn(role_arn);
        let call = call.r#type(sfn::StateMachineType::Standard).set_tags(Some(sfn_tags(tags)));
        Ok(call.send().await.map_err(failed("CreateStateMachine"))?.state_machine_arn)
    }

    async fn update_state_machine(&self, arn: &str, definition: &str, role_arn: &str) -> Result<(), CallError> {
        let call = self.sfn.update_state_machine().state_machine_arn(arn).definition(definition).role_arn(role_arn);
        call.send().await.map_err(failed("UpdateStateMachine"))?;
        Ok(())
    }

    async fn delete_state_machine(&self, arn: &str) -> Result<(), CallError> {
        let call = self.sfn.delete_state_machine().state_machine_arn(arn);
        call.send().await.map_err(failed("DeleteStateMachine"))?;
        Ok(())
    }

    async fn validate_definition(&self, definition: &str) -> Result<Vec<Diagnostic>, CallError> {
        let call = self.sfn.validate_state_machine_definition().definition(definition);
        let answer = call.send().await.map_err(failed("ValidateStateMachineDefinition"))?;
        let errors = answer
            .diagnostics
            .into_iter()
            .filter(|diagnostic| diagnostic.severity == sfn::ValidateStateMachineDefinitionSeverity::Error);
        Ok(errors.map(|error| Diagnostic { location: error.location, message: error.message }).collect())
    }

    async fn get_role(&self, name: &str) -> Result<ObservedRole, CallError> {
        let operation = "GetRole";
        let answer = self.iam.get_role().role_name(name).send().await.map_err(failed(operation))?;
        role(operation, answer.role)
    }

    async fn create_role(&self, name: &str, trust_policy: &str, tags: &Tags) -> Result<ObservedRole, CallError> {
        let operation = "CreateRole";
        let tags = iam_tags(operation, tags)?;
        let call = self.iam.create_role().role_name(name).assume_role_policy_document(trust_policy);
        let call = call.description(ROLE_DESCRIPTION).set_tags(Some(tags));
        role(operation, call.send().await.map_err(failed(operation))?.role)
    }

    async fn update_trust_policy(&self, name: &str, trust_policy: &str) -> Result<(), CallError> {
        let call = self.iam.update_assume_role_policy().role_name(name).policy_document(trust_policy);
        call.send().await.map_err(failed("UpdateAssumeRolePolicy"))?;
        Ok(())
    }

    async fn tag_role(&self, name: &str, tags: &Tags) -> Result<(), CallError> {
        let operation = "TagRole";
        let call = self.iam.tag_role().role_name(name).set_tags(Some(iam_tags(operation, tags)?));
        call.send().await.map_err(failed(operation))?;
        Ok(())
    }

    async fn delete_role(&self, name: &str) -> Result<(), CallError> {
        self.iam.delete_role().role_name(name).send().await.map_err(failed("DeleteRole"))?;
        Ok(())
    }

    async fn list_attached_policies(&self, role: &str, next: Option<String>) -> Result<Page<String>, CallError> {
        let call = self.iam.list_attached_role_policies().role_name(role).set_marker(next);
        let answer = call.send().await.map_err(failed("ListAttachedRolePolicies"))?;
        let policies = answer.attached_policies.unwrap_or_default();
        let next = answer.marker.filter(|_| answer.is_truncated);
        Ok(page(policies.into_iter().filter_map(|policy| policy.policy_arn), next))
    }

    async fn attach_policy(&self, role: &str, policy_arn: &str) -> Result<(), CallError> {
        let call = self.iam.attach_role_policy().role_name(role).policy_arn(policy_arn);
        call.send().await.map_err(failed("AttachRolePolicy"))?;
        Ok(())
    }

    async fn detach_policy(&self, role: &str, policy_arn: &str) -> Result<(), CallError> {
        let call = self.iam.detach_role_policy().role_name(role).policy_arn(policy_arn);
        call.send().await.map_err(failed("DetachRolePolicy"))?;
        Ok(())
    }

    async fn list_inline_policies(&self, role: &str, next: Option<String>) -> Result<Page<String>, CallError> {
        let call = self.iam.list_role_policies().role_name(role).set_marker(next);
        let answer = call.send().await.map_err(failed("ListRolePolicies"))?;
        let next = answer.marker.filter(|_| answer.is_truncated);
        Ok(page(answer.policy_names.into_iter(), next))
    }

    async fn delete_inline_policy(&self, role: &str, policy: &str) -> Result<(), CallError> {
        let call = self.iam.delete_role_policy().role_name(role).policy_name(policy);
        call.send().await.map_err(failed("DeleteRolePolicy"))?;
        Ok(())
    }
}

fn page<T>(items: impl Iterator<Item = T>, next: Option<String>) -> Page<T> {
    Page { items: items.collect(), next: next.filter(|next| !next.is_empty()) }
}

fn sfn_tags(tags: &Tags) -> Vec<sfn::Tag> {
    tags.iter().map(|(key, value)| sfn::Tag::builder().key(key).value(value).build()).collect()
}

fn iam_tags(operation: &'static str, tags: &Tags) -> Result<Vec<iam::Tag>, CallError> {
    let built = tags.iter().map(|(key, value)| iam::Tag::builder().key(key).value(value).build());
    let refused = |error: BuildError| CallError {
        failure: Failure::Refused,
        operation,
        code: None,
        message: format!("a tag that is none: {error}"),
    };
    built.collect::<Result<_, _>>().map_err(refused)
}

fn role(operation: &'static str, role: Option<iam::Role>) -> Result<ObservedRole, CallError> {
    let unclear =
        |message: &str| CallError { failure: Failure::Unknown, operation, code: None, message: message.to_owned() };
    let role = role.ok_or_else(|| unclear("an answer without a role"))?;
    // IAM gives policies percent-encoded.
    let trust_policy = role.assume_role_policy_document.unwrap_or_default();
    let trust_policy = percent_decode_str(&trust_policy).decode_utf8_lossy().into_owned();
    let tags = role.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
    let created = timestamp(&role.create_date).ok_or_else(|| unclear("a role with a time out of range"))?;
    Ok(ObservedRole { arn: role.arn, trust_policy, tags, created })
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.secs()).ok()
}
