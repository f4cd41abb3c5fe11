//! What a spec says of AWS resources.

use std::{collections::BTreeMap, path::PathBuf};

use approve_client::proto::{self, RoleSpec, StateMachineSpec};
use serde::Deserialize;

use super::{ReadFile, seconds};
use crate::failure::Failure;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateMachine {
    #[serde(default)]
    name: String,
    /// Relative to the spec file.
    definition_file: Option<PathBuf>,
    timeout_seconds: Option<u32>,
    heartbeat_seconds: Option<u32>,
    #[serde(default, rename = "type")]
    kind: String,
    logging: Option<Logging>,
    #[serde(default)]
    tracing: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Logging {
    level: Level,
    log_group: String,
    #[serde(default)]
    include_execution_data: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    All,
    Error,
    Fatal,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Role {
    #[serde(default)]
    name: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    managed_policies: Vec<String>,
    /// Files, relative to the spec file.
    #[serde(default)]
    inline_policies: BTreeMap<String, PathBuf>,
    #[serde(default)]
    permissions_boundary: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Encryption {
    kms_key: String,
    data_key_reuse_seconds: Option<u32>,
}

impl StateMachine {
    pub(super) fn read(self, read: &ReadFile<'_>) -> Result<StateMachineSpec, Failure> {
        Ok(StateMachineSpec {
            name: self.name,
            definition: self.definition_file.as_deref().map(read).transpose()?.unwrap_or_default(),
            timeout: self.timeout_seconds.map(seconds),
            heartbeat: self.heartbeat_seconds.map(seconds),
            r#type: self.kind,
            logging: self.logging.map(|logging| proto::Logging {
                level: match logging.level {
                    Level::All => "ALL",
                    Level::Error => "ERROR",
                    Level::Fatal => "FATAL",
                }
                .to_owned(),
                log_group_arn: logging.log_group,
                include_execution_data: logging.include_execution_data,
            }),
            tracing: self.tracing,
        })
    }
}

impl Role {
    pub(super) fn read(self, read: &ReadFile<'_>) -> Result<RoleSpec, Failure> {
        let inline = self.inline_policies.into_iter().map(|(name, file)| Ok((name, read(&file)?)));
        Ok(RoleSpec {
            name: self.name,
            path: self.path,
            managed_policy_arns: self.managed_policies,
            inline_policies: inline.collect::<Result<_, Failure>>()?,
            permissions_boundary_arn: self.permissions_boundary,
        })
    }
}

impl Encryption {
    pub(super) fn read(self) -> proto::Encryption {
        proto::Encryption { kms_key_id: self.kms_key, data_key_reuse: self.data_key_reuse_seconds.map(seconds) }
    }
}
