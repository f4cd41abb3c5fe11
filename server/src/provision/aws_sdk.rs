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
use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;

use super::{
    ControlPlane, Diagnostic, Encryption, LogLevel, Logging, MachineInput, Named, NewRole, ObservedRole,
    ObservedStateMachine, Page, Settings, Tags,
};
use crate::stepfunctions::{CallError, Failure, call_timeouts, classify};

/// Items in a page of Step Functions' lists: the most there may be.
const PAGE: i32 = 1_000;
/// How long AWS uses a data key again where nobody said, in seconds.
const DATA_KEY_REUSE: i32 = 300;
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

    async fn describe_activity(&self, arn: &str) -> Result<Option<Encryption>, CallError> {
        let call = self.sfn.describe_activity().activity_arn(arn);
        let answer = call.send().await.map_err(failed("DescribeActivity"))?;
        Ok(answer.encryption_configuration.and_then(read_encryption))
    }

    async fn create_activity(
        &self,
        name: &str,
        encryption: Option<&Encryption>,
        tags: &Tags,
    ) -> Result<String, CallError> {
        let operation = "CreateActivity";
        let call = self.sfn.create_activity().name(name).set_tags(Some(sfn_tags(tags)));
        let encryption = encryption.map(|some| write_encryption(operation, Some(some))).transpose()?;
        let call = call.set_encryption_configuration(encryption);
        Ok(call.send().await.map_err(failed(operation))?.activity_arn)
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
            settings: Settings {
                logging: answer.logging_configuration.and_then(read_logging),
                tracing: answer.tracing_configuration.is_some_and(|tracing| tracing.enabled),
                encryption: answer.encryption_configuration.and_then(read_encryption),
            },
            standard: answer.r#type == sfn::StateMachineType::Standard,
            deleting: answer.status == Some(sfn::StateMachineStatus::Deleting),
        })
    }

    async fn create_state_machine(
        &self,
        name: &str,
        input: MachineInput<'_>,
        tags: &Tags,
    ) -> Result<String, CallError> {
        let operation = "CreateStateMachine";
        let MachineInput { definition, role_arn, settings } = input;
        let call = self.sfn.create_state_machine().name(name).definition(definition).role_arn(role_arn);
        let call = call.r#type(sfn::StateMachineType::Standard).set_tags(Some(sfn_tags(tags)));
        let encryption =
            settings.encryption.as_ref().map(|some| write_encryption(operation, Some(some))).transpose()?;
        let call = call
            .set_logging_configuration(settings.logging.as_ref().map(|some| write_logging(Some(some))))
            .set_tracing_configuration(settings.tracing.then(|| write_tracing(true)))
            .set_encryption_configuration(encryption);
        Ok(call.send().await.map_err(failed(operation))?.state_machine_arn)
    }

    async fn update_state_machine(&self, arn: &str, input: MachineInput<'_>) -> Result<(), CallError> {
        let operation = "UpdateStateMachine";
        let MachineInput { definition, role_arn, settings } = input;
        let call = self.sfn.update_state_machine().state_machine_arn(arn).definition(definition).role_arn(role_arn);
        let call = call
            .logging_configuration(write_logging(settings.logging.as_ref()))
            .tracing_configuration(write_tracing(settings.tracing))
            .encryption_configuration(write_encryption(operation, settings.encryption.as_ref())?);
        // AWS documents that `enabled` has to be there, and the SDK leaves a false out.
        let call = call.customize().mutate_request(|request| {
            let Some(text) = request.body().bytes().and_then(|body| std::str::from_utf8(body).ok()) else { return };
            let text = text.replace(r#""tracingConfiguration":{}"#, r#""tracingConfiguration":{"enabled":false}"#);
            request.headers_mut().insert("content-length", text.len().to_string());
            *request.body_mut() = text.into();
        });
        call.send().await.map_err(failed(operation))?;
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

    async fn create_role(&self, new: NewRole<'_>) -> Result<ObservedRole, CallError> {
        let operation = "CreateRole";
        let tags = iam_tags(operation, new.tags)?;
        let call = self.iam.create_role().role_name(new.name).path(new.path);
        let call = call.assume_role_policy_document(new.trust_policy);
        let call = call.set_permissions_boundary(new.permissions_boundary.map(str::to_owned));
        let call = call.description(ROLE_DESCRIPTION).set_tags(Some(tags));
        role(operation, call.send().await.map_err(failed(operation))?.role)
    }

    async fn update_trust_policy(&self, name: &str, trust_policy: &str) -> Result<(), CallError> {
        let call = self.iam.update_assume_role_policy().role_name(name).policy_document(trust_policy);
        call.send().await.map_err(failed("UpdateAssumeRolePolicy"))?;
        Ok(())
    }

    async fn set_permissions_boundary(&self, name: &str, policy_arn: Option<&str>) -> Result<(), CallError> {
        match policy_arn {
            Some(arn) => {
                let call = self.iam.put_role_permissions_boundary().role_name(name).permissions_boundary(arn);
                call.send().await.map_err(failed("PutRolePermissionsBoundary"))?;
            }
            None => {
                let call = self.iam.delete_role_permissions_boundary().role_name(name);
                call.send().await.map_err(failed("DeleteRolePermissionsBoundary"))?;
            }
        }
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

    async fn get_inline_policy(&self, role: &str, policy: &str) -> Result<String, CallError> {
        let call = self.iam.get_role_policy().role_name(role).policy_name(policy);
        let answer = call.send().await.map_err(failed("GetRolePolicy"))?;
        Ok(decoded(&answer.policy_document))
    }

    async fn put_inline_policy(&self, role: &str, policy: &str, document: &str) -> Result<(), CallError> {
        let call = self.iam.put_role_policy().role_name(role).policy_name(policy).policy_document(document);
        call.send().await.map_err(failed("PutRolePolicy"))?;
        Ok(())
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

fn unclear(operation: &'static str, message: &str) -> CallError {
    CallError { failure: Failure::Unknown, operation, code: None, message: message.to_owned() }
}

fn role(operation: &'static str, role: Option<iam::Role>) -> Result<ObservedRole, CallError> {
    let role = role.ok_or_else(|| unclear(operation, "an answer without a role"))?;
    let created = timestamp(&role.create_date).ok_or_else(|| unclear(operation, "a role with a time out of range"))?;
    Ok(ObservedRole {
        arn: role.arn,
        path: role.path,
        trust_policy: decoded(&role.assume_role_policy_document.unwrap_or_default()),
        permissions_boundary: role.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn),
        tags: role.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect(),
        created,
    })
}

/// IAM gives policies percent-encoded.
fn decoded(policy: &str) -> String {
    percent_decode_str(policy).decode_utf8_lossy().into_owned()
}

fn read_encryption(found: sfn::EncryptionConfiguration) -> Option<Encryption> {
    let seconds = found.kms_data_key_reuse_period_seconds.unwrap_or(DATA_KEY_REUSE);
    let data_key_reuse = SignedDuration::from_secs(seconds.into());
    found.kms_key_id.map(|kms_key_id| Encryption { kms_key_id, data_key_reuse })
}

fn write_encryption(
    operation: &'static str,
    encryption: Option<&Encryption>,
) -> Result<sfn::EncryptionConfiguration, CallError> {
    let builder = sfn::EncryptionConfiguration::builder();
    let builder = match encryption {
        Some(with) => builder
            .r#type(sfn::EncryptionType::CustomerManagedKmsKey)
            .kms_key_id(&with.kms_key_id)
            .set_kms_data_key_reuse_period_seconds(with.data_key_reuse.as_secs().try_into().ok()),
        None => builder.r#type(sfn::EncryptionType::AwsOwnedKey),
    };
    builder.build().map_err(|error| CallError {
        failure: Failure::Refused,
        operation,
        code: None,
        message: format!("an encryption that is none: {error}"),
    })
}

fn read_logging(found: sfn::LoggingConfiguration) -> Option<Logging> {
    let level = match found.level? {
        sfn::LogLevel::All => LogLevel::All,
        sfn::LogLevel::Error => LogLevel::Error,
        sfn::LogLevel::Fatal => LogLevel::Fatal,
        _ => return None,
    };
    let destination = found.destinations.unwrap_or_default().into_iter().next();
    let group = destination.and_then(|destination| destination.cloud_watch_logs_log_group);
    let log_group_arn = group.and_then(|group| group.log_group_arn).unwrap_or_default();
    Some(Logging { level, log_group_arn, include_execution_data: found.include_execution_data })
}

fn write_logging(logging: Option<&Logging>) -> sfn::LoggingConfiguration {
    let builder = sfn::LoggingConfiguration::builder();
    let Some(logging) = logging else { return builder.level(sfn::LogLevel::Off).build() };
    let group = sfn::CloudWatchLogsLogGroup::builder().log_group_arn(&logging.log_group_arn).build();
    builder
        .level(match logging.level {
            LogLevel::All => sfn::LogLevel::All,
            LogLevel::Error => sfn::LogLevel::Error,
            LogLevel::Fatal => sfn::LogLevel::Fatal,
        })
        .include_execution_data(logging.include_execution_data)
        .destinations(sfn::LogDestination::builder().cloud_watch_logs_log_group(group).build())
        .build()
}

fn write_tracing(enabled: bool) -> sfn::TracingConfiguration {
    sfn::TracingConfiguration::builder().enabled(enabled).build()
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.secs()).ok()
}
