use std::collections::BTreeMap;

use approve_client::proto::{ApiToken, GetCallerResponse, Grant, Permission};
use serde::Serialize;

use super::{moment, present, sorted};
use crate::output::names::Name;

#[derive(Serialize)]
pub(crate) struct CallerJson<'a> {
    principal: &'a str,
    groups: &'a [String],
    authenticated_as: Option<&'a str>,
    via: &'a str,
    grants: Vec<GrantJson<'a>>,
}

#[derive(Serialize)]
struct GrantJson<'a> {
    permissions: Vec<String>,
    workflows: &'a [String],
    labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
pub(crate) struct TokenJson<'a> {
    name: &'a str,
    grants: Vec<GrantJson<'a>>,
    create_time: Option<String>,
    created_by: &'a str,
    expire_time: Option<String>,
    revoke_time: Option<String>,
}

impl<'a> From<&'a GetCallerResponse> for CallerJson<'a> {
    fn from(caller: &'a GetCallerResponse) -> Self {
        Self {
            principal: &caller.principal,
            groups: &caller.groups,
            authenticated_as: present(&caller.authenticated_as),
            via: &caller.via,
            grants: caller.grants.iter().map(GrantJson::from).collect(),
        }
    }
}

impl<'a> From<&'a Grant> for GrantJson<'a> {
    fn from(grant: &'a Grant) -> Self {
        Self {
            permissions: grant.permissions.iter().map(|permission| Permission::lower(*permission)).collect(),
            workflows: &grant.workflows,
            labels: sorted(&grant.labels),
        }
    }
}

impl<'a> From<&'a ApiToken> for TokenJson<'a> {
    fn from(token: &'a ApiToken) -> Self {
        Self {
            name: &token.name,
            grants: token.grants.iter().map(GrantJson::from).collect(),
            create_time: moment(token.create_time.as_ref()),
            created_by: &token.created_by,
            expire_time: moment(token.expire_time.as_ref()),
            revoke_time: moment(token.revoke_time.as_ref()),
        }
    }
}
