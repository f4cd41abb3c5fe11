//! Which AWS managed policies exist, so that a real ARN is told from one that guides got wrong.

use super::ManagedPolicy;

/// One a line, as in `arn:aws:iam::aws:policy/<line>`; sorted. From AWS's list in 2025; newer ones are missing.
const MANAGED: &str = include_str!("managed_policies.txt");

/// Under this path are those that only roles linked to a service may have.
const SERVICE_LINKED: &str = "/aws-service-role/";

/// The managed policy of AWS with this ARN.
pub(super) fn find(arn: &str) -> Option<ManagedPolicy> {
    let rest = arn.strip_prefix("arn:aws:iam::aws:policy/")?;
    let found = MANAGED.lines().find(|line| *line == rest)?;
    let (path, name) =
        found.rsplit_once('/').map_or(("/".to_owned(), found), |(path, name)| (format!("/{path}/"), name));
    Some(ManagedPolicy { arn: arn.to_owned(), name: name.to_owned(), path })
}

/// Whether a role of the account may have it.
pub(super) fn is_attachable(policy: &ManagedPolicy) -> bool {
    policy.path != SERVICE_LINKED
}
