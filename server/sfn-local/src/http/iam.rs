//! IAM and STS operations.

use super::query::{Form, QueryResult, element};
use crate::{
    engine::{ApiError, Tags},
    iam::{CreateRole, Iam, ManagedPolicy, Role},
    journal::Entry,
    shared::Shared,
};

const IAM: &str = "https://iam.amazonaws.com/doc/2010-05-08/";
const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

pub(super) fn call(shared: &Shared, form: &Form, operation: &str, body: &[u8]) -> Result<QueryResult, ApiError> {
    if ["Get", "List"].iter().any(|verb| operation.starts_with(verb)) {
        return apply(shared, form, operation);
    }
    let entry = || Entry::Iam(operation.to_owned(), String::from_utf8_lossy(body).into_owned());
    shared.recorded(entry, || apply(shared, form, operation))?
}

/// Carries out a call of the journal again; it answers what it answered.
pub(super) fn replay(shared: &Shared, operation: &str, body: &[u8]) {
    let _ = apply(shared, &Form::parse(body), operation);
}

fn apply(shared: &Shared, form: &Form, operation: &str) -> Result<QueryResult, ApiError> {
    if operation == "GetCallerIdentity" {
        let account = &shared.account_id;
        let arn = format!("arn:aws:iam::{account}:root");
        let body = [element("Arn", &arn), element("UserId", account), element("Account", account)].concat();
        return Ok(QueryResult { namespace: STS, body: Some(body) });
    }
    let body = shared.call(|engine, now| {
        engine.tick(now);
        // Whole milliseconds, as everything in the engine: a role is usable at the very end of its delay.
        let now = engine.now();
        let iam = engine.iam();
        match operation {
            "CreateRole" => create_role(iam, form, now),
            "GetRole" => iam.role(form.require("RoleName")?).map(|role| Some(role_xml(role))),
            "DeleteRole" => iam.delete_role(form.require("RoleName")?).map(|()| None),
            "UpdateAssumeRolePolicy" => {
                let (name, policy) = (form.require("RoleName")?, form.require("PolicyDocument")?);
                iam.update_trust_policy(name, policy, now).map(|()| None)
            }
            "AttachRolePolicy" => {
                iam.attach_role_policy(form.require("RoleName")?, form.require("PolicyArn")?).map(|()| None)
            }
            "DetachRolePolicy" => {
                iam.detach_role_policy(form.require("RoleName")?, form.require("PolicyArn")?).map(|()| None)
            }
            "ListAttachedRolePolicies" => attached(iam, iam.role(form.require("RoleName")?)?).map(Some),
            "ListRolePolicies" => {
                let role = iam.role(form.require("RoleName")?)?;
                let members = role.inline.keys().map(|name| element("member", name)).collect();
                Ok(Some(list("PolicyNames", members)))
            }
            "PutRolePolicy" => {
                let (name, policy) = (form.require("RoleName")?, form.require("PolicyName")?);
                iam.put_role_policy(name, policy, form.require("PolicyDocument")?).map(|()| None)
            }
            "GetRolePolicy" => {
                let (name, policy) = (form.require("RoleName")?, form.require("PolicyName")?);
                let document = percent_encode(iam.role_policy(name, policy)?);
                let parts =
                    [element("RoleName", name), element("PolicyName", policy), element("PolicyDocument", &document)];
                Ok(Some(parts.concat()))
            }
            "DeleteRolePolicy" => {
                iam.delete_role_policy(form.require("RoleName")?, form.require("PolicyName")?).map(|()| None)
            }
            "TagRole" => iam.tag_role(form.require("RoleName")?, form.tags()?).map(|()| None),
            "UntagRole" => iam.untag_role(form.require("RoleName")?, &form.list("TagKeys")).map(|()| None),
            "ListRoleTags" => {
                let role = iam.role(form.require("RoleName")?)?;
                Ok(Some(list("Tags", tag_members(&role.tags))))
            }
            "ListRoles" => {
                let roles = iam.roles(form.get("PathPrefix").unwrap_or("/"));
                let members = roles.map(|role| format!("<member>{}</member>", role_fields(role)));
                Ok(Some(list("Roles", members.collect())))
            }
            "UpdateRole" => {
                let (name, seconds) = (form.require("RoleName")?, max_session_duration(form)?);
                iam.update_role(name, form.get("Description").map(str::to_owned), seconds).map(|()| Some(String::new()))
            }
            "PutRolePermissionsBoundary" => {
                let boundary = form.require("PermissionsBoundary")?.to_owned();
                iam.bound_role(form.require("RoleName")?, Some(boundary)).map(|()| None)
            }
            "DeleteRolePermissionsBoundary" => iam.bound_role(form.require("RoleName")?, None).map(|()| None),
            "GetPolicy" => iam.policy(form.require("PolicyArn")?).map(|policy| Some(policy_xml(&policy))),
            "CreatePolicy" => {
                let (name, document) = (form.require("PolicyName")?, form.require("PolicyDocument")?);
                iam.create_policy(name, form.get("Path"), document).map(|policy| Some(policy_xml(&policy)))
            }
            "DeletePolicy" => iam.delete_policy(form.require("PolicyArn")?).map(|()| None),
            "ListInstanceProfilesForRole" => {
                iam.role(form.require("RoleName")?)?;
                Ok(Some(list("InstanceProfiles", String::new())))
            }
            other => Err(ApiError::new(
                "InvalidAction",
                format!("Could not find operation {other}: this IAM has what provisioning a role needs, no more"),
            )),
        }
    })?;
    Ok(QueryResult { namespace: IAM, body })
}

fn create_role(iam: &mut Iam, form: &Form, now: jiff::Timestamp) -> Result<Option<String>, ApiError> {
    let request = CreateRole {
        name: form.require("RoleName")?.to_owned(),
        path: form.get("Path").map(str::to_owned),
        trust_policy: form.require("AssumeRolePolicyDocument")?.to_owned(),
        description: form.get("Description").map(str::to_owned),
        max_session_duration: max_session_duration(form)?,
        tags: form.tags()?,
        permissions_boundary: form.get("PermissionsBoundary").map(str::to_owned),
    };
    iam.create_role(request, now).map(|role| Some(role_xml(&role)))
}

fn max_session_duration(form: &Form) -> Result<Option<u32>, ApiError> {
    let Some(text) = form.get("MaxSessionDuration") else { return Ok(None) };
    let seconds = text.parse().ok().filter(|seconds| (3600..=43_200).contains(seconds));
    let wrong = || ApiError::new("ValidationError", format!("MaxSessionDuration '{text}' is not from 3600 to 43200"));
    seconds.ok_or_else(wrong).map(Some)
}

fn role_xml(role: &Role) -> String {
    format!("<Role>{}</Role>", role_fields(role))
}

fn role_fields(role: &Role) -> String {
    let mut xml = [
        element("Path", &role.path),
        element("RoleName", &role.name),
        element("RoleId", &role.id),
        element("Arn", &role.arn),
        element("CreateDate", &role.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        element("AssumeRolePolicyDocument", &percent_encode(&role.trust_policy)),
        element("MaxSessionDuration", &role.max_session_duration.to_string()),
    ]
    .concat();
    if let Some(description) = &role.description {
        xml.push_str(&element("Description", description));
    }
    if !role.tags.is_empty() {
        xml.push_str(&format!("<Tags>{}</Tags>", tag_members(&role.tags)));
    }
    if let Some(arn) = &role.permissions_boundary {
        let boundary = [element("PermissionsBoundaryType", "Policy"), element("PermissionsBoundaryArn", arn)];
        xml.push_str(&format!("<PermissionsBoundary>{}</PermissionsBoundary>", boundary.concat()));
    }
    xml
}

fn attached(iam: &Iam, role: &Role) -> Result<String, ApiError> {
    let mut members = String::new();
    for arn in &role.attached {
        let policy = iam.policy(arn)?;
        let body = [element("PolicyName", &policy.name), element("PolicyArn", arn)].concat();
        members.push_str(&format!("<member>{body}</member>"));
    }
    Ok(list("AttachedPolicies", members))
}

fn policy_xml(policy: &ManagedPolicy) -> String {
    let body = [
        element("PolicyName", &policy.name),
        element("Arn", &policy.arn),
        element("Path", &policy.path),
        element("DefaultVersionId", "v1"),
        element("AttachmentCount", "0"),
        element("IsAttachable", "true"),
        element("CreateDate", "2015-02-06T18:41:15Z"),
        element("UpdateDate", "2015-02-06T18:41:15Z"),
    ];
    format!("<Policy>{}</Policy>", body.concat())
}

fn tag_members(tags: &Tags) -> String {
    let member = |(key, value): (&String, &String)| {
        format!("<member>{}{}</member>", element("Key", key), element("Value", value))
    };
    tags.iter().map(member).collect()
}

/// A list that is never cut.
fn list(name: &str, members: String) -> String {
    format!("<{name}>{members}</{name}><IsTruncated>false</IsTruncated>")
}

/// Policy documents come back encoded by RFC 3986.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
