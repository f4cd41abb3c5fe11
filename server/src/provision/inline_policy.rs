//! The inline policies of the execution role.

use std::collections::BTreeMap;

use super::{
    Change, ControlPlane, INLINE_POLICY, ProvisionError, Spec,
    apply::{Job, Progress},
    definition,
    observe::{all, found},
    patience::unthrottled,
    plan,
};
use crate::{clock::Clock, stepfunctions::CallError};

pub(super) async fn observe(
    control: &dyn ControlPlane,
    clock: &dyn Clock,
    role: &str,
) -> Result<BTreeMap<String, String>, CallError> {
    let names = found(all(clock, |next| control.list_inline_policies(role, next)).await)?.unwrap_or_default();
    let mut policies = BTreeMap::new();
    for name in names {
        let policy = found(unthrottled(clock, || control.get_inline_policy(role, &name)).await)?;
        policies.extend(policy.map(|policy| (name, policy)));
    }
    Ok(policies)
}

/// What is to be done: first what should be there, then what should not.
pub(super) fn changes(spec: &Spec, observed: &BTreeMap<String, String>) -> Vec<(String, Change)> {
    let desired = &spec.role.inline_policies;
    let wanted = desired.iter().map(|(name, policy)| {
        let change = match observed.get(name) {
            None => Change::Create,
            Some(found) => plan::update(definition::differences("policy", found, policy)),
        };
        (name.clone(), change)
    });
    let unwanted = observed.keys().filter(|name| !desired.contains_key(*name));
    wanted.chain(unwanted.map(|name| (name.clone(), Change::Delete))).collect()
}

pub(super) async fn apply(job: &Job<'_>, observed: &BTreeMap<String, String>) -> Result<(), ProvisionError> {
    let &Job { control, clock, spec, .. } = job;
    let role = spec.role.name.as_str();
    for (name, change) in changes(spec, observed) {
        match (&change, spec.role.inline_policies.get(&name)) {
            (Change::Create | Change::Update(_) | Change::Replace(_), Some(policy)) => {
                let put = unthrottled(clock, || control.put_inline_policy(role, &name, policy)).await;
                put.map_err(|error| match error.code.as_deref() {
                    Some("MalformedPolicyDocument" | "LimitExceeded") => {
                        ProvisionError::field(format!("role.inline_policies.{name}"), error.message)
                    }
                    _ => error.into(),
                })?;
            }
            (Change::Delete, _) => {
                found(unthrottled(clock, || control.delete_inline_policy(role, &name)).await)?;
            }
            _ => {}
        }
        (job.tell)(Progress::Done(plan::report(INLINE_POLICY, &name, None, &change)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_compared_by_value() {
        let mut spec = Spec::reference();
        let own = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, policy)| ((*name).to_owned(), (*policy).to_owned())).collect()
        };
        let (kept, old) = (r#"{"Statement":[],"Version":"2012-10-17"}"#, r#"{"Statement":[1]}"#);
        spec.role.inline_policies =
            own(&[("new", kept), ("same", r#"{"Version": "2012-10-17", "Statement": []}"#), ("was", kept)]);
        let changes = changes(&spec, &own(&[("same", kept), ("was", old), ("stray", old)]));
        let told: Vec<(&str, bool)> =
            changes.iter().map(|(name, change)| (name.as_str(), *change == Change::Unchanged)).collect();
        assert_eq!(told, [("new", false), ("same", true), ("was", false), ("stray", false)]);
        assert_eq!((&changes[0].1, &changes[3].1), (&Change::Create, &Change::Delete));
        assert!(matches!(&changes[2].1, Change::Update(fields) if fields[0].field == "policy/Statement/0"));
    }
}
