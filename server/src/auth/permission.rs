//! What callers may do, and where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::approval::Scope;

/// Something that a caller may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// See approvals.
    View,
    /// Vote, claim, reassign, where the approval's rule lets them.
    Decide,
    /// Start executions.
    Start,
    /// Apply and destroy workflows.
    Provision,
    /// Cancel, hold and release approvals; make and revoke API tokens.
    Operate,
    /// Read the record of events, and explain for others.
    Audit,
    /// Act for a person.
    ActOnBehalf,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 7] =
        [Self::View, Self::Decide, Self::Start, Self::Provision, Self::Operate, Self::Audit, Self::ActOnBehalf];

    /// Its name, in config, in errors and on command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Decide => "decide",
            Self::Start => "start",
            Self::Provision => "provision",
            Self::Operate => "operate",
            Self::Audit => "audit",
            Self::ActOnBehalf => "act_on_behalf",
        }
    }

    /// Whether it is about approvals, which have labels. The others do not hold in a grant with labels.
    fn has_labels(self) -> bool {
        matches!(self, Self::View | Self::Decide | Self::Operate)
    }
}

/// Permissions, and where they hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What is allowed.
    pub permissions: Vec<Permission>,
    /// Where.
    #[serde(flatten)]
    pub scope: Scope,
}

/// Where something is done.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// On an approval.
    Approval(&'a str, &'a BTreeMap<String, String>),
    /// In a workflow, whatever its approvals' labels.
    Workflow(&'a str),
    /// In all workflows.
    Everywhere,
}

impl Grant {
    /// Everything, everywhere.
    #[must_use]
    pub fn everything() -> Self {
        Self { permissions: Permission::ALL.to_vec(), scope: Scope::default() }
    }

    /// Whether it gives a permission anywhere.
    fn gives(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission) && (permission.has_labels() || self.scope.labels.is_empty())
    }

    /// Whether it gives a permission at a place.
    #[must_use]
    pub fn allows(&self, permission: Permission, place: Place<'_>) -> bool {
        self.gives(permission)
            && match place {
                Place::Approval(workflow, labels) => self.scope.holds(workflow, labels),
                Place::Workflow(workflow) => self.scope.labels.is_empty() && self.scope.has_workflow(workflow),
                Place::Everywhere => self.scope.is_everything(),
            }
    }
}

/// What a caller may do: the sum of their grants.
pub(crate) trait Grants {
    /// Whether one of them allows it there.
    fn allow(&self, permission: Permission, place: Place<'_>) -> bool;

    /// Whether one of them allows it anywhere.
    fn allow_somewhere(&self, permission: Permission) -> bool;

    /// The approvals for which they allow it; `None`: all.
    fn scopes(&self, permission: Permission) -> Option<Vec<Scope>>;

    /// Whether they allow all that `grant` does.
    fn cover(&self, grant: &Grant) -> bool;

    /// What they allow where they also allow to act on behalf.
    fn on_behalf(&self) -> Vec<Grant>;
}

impl Grants for [Grant] {
    fn allow(&self, permission: Permission, place: Place<'_>) -> bool {
        self.iter().any(|grant| grant.allows(permission, place))
    }

    fn allow_somewhere(&self, permission: Permission) -> bool {
        self.iter().any(|grant| grant.gives(permission))
    }

    fn scopes(&self, permission: Permission) -> Option<Vec<Scope>> {
        let given = self.iter().filter(|grant| grant.gives(permission));
        let scopes: Vec<_> = given.map(|grant| grant.scope.clone()).collect();
        (!scopes.iter().any(Scope::is_everything)).then_some(scopes)
    }

    fn cover(&self, grant: &Grant) -> bool {
        grant
            .permissions
            .iter()
            .all(|permission| self.iter().any(|own| own.gives(*permission) && own.scope.covers(&grant.scope)))
    }

    fn on_behalf(&self) -> Vec<Grant> {
        let places: Vec<_> = self.iter().filter(|grant| grant.gives(Permission::ActOnBehalf)).collect();
        let mut narrowed = Vec::new();
        for grant in self {
            for place in &places {
                if let Some(scope) = grant.scope.both(&place.scope) {
                    let of_theirs = |permission: &Permission| *permission != Permission::ActOnBehalf;
                    let permissions = grant.permissions.iter().copied().filter(of_theirs).collect();
                    narrowed.push(Grant { permissions, scope });
                }
            }
        }
        narrowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(permissions: &[Permission], workflow: &str, labels: &[(&str, &str)]) -> Grant {
        Grant {
            permissions: permissions.to_vec(),
            scope: Scope {
                workflows: vec![workflow.to_owned().try_into().unwrap()],
                labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            },
        }
    }

    #[test]
    fn labels_limit_what_is_about_approvals_and_end_the_rest() {
        let grants = [grant(&[Permission::View, Permission::Start], "pay", &[("env", "prod")])];
        let prod = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
        assert!(grants.allow(Permission::View, Place::Approval("pay", &prod)));
        assert!(!grants.allow(Permission::View, Place::Approval("pay", &BTreeMap::new())));
        assert!(!grants.allow(Permission::View, Place::Workflow("pay")));
        assert!(!grants.allow_somewhere(Permission::Start));
        assert!(!grants.allow(Permission::Start, Place::Approval("pay", &prod)));
    }

    #[test]
    fn whoever_acts_on_behalf_does_so_where_they_may_and_nowhere_else() {
        let grants = [
            grant(&[Permission::View, Permission::Decide], "*", &[]),
            grant(&[Permission::ActOnBehalf], "pay-*", &[]),
            grant(&[Permission::Operate], "ship", &[]),
        ];
        let narrowed = grants.on_behalf();
        assert!(narrowed.allow(Permission::Decide, Place::Workflow("pay-a")));
        assert!(!narrowed.allow(Permission::Decide, Place::Workflow("ship")));
        assert!(!narrowed.allow_somewhere(Permission::Operate) && !narrowed.allow_somewhere(Permission::ActOnBehalf));
        assert!([grant(&Permission::ALL, "pay", &[("env", "prod")])].on_behalf().is_empty());
    }

    #[test]
    fn nobody_gives_more_than_they_have() {
        let grants = [grant(&[Permission::View], "pay-*", &[]), grant(&[Permission::Decide], "pay-a", &[])];
        assert!(grants.cover(&grant(&[Permission::View, Permission::Decide], "pay-a", &[("env", "prod")])));
        assert!(!grants.cover(&grant(&[Permission::Decide], "pay-*", &[])));
        assert!(!grants.cover(&grant(&[Permission::View], "*", &[])));
        assert!(!grants.cover(&Grant { permissions: vec![Permission::View], scope: Scope::default() }));
        let labeled = [grant(&[Permission::View], "pay", &[("env", "prod")])];
        assert!(!labeled.cover(&grant(&[Permission::View], "pay", &[])));
    }

    #[test]
    fn what_is_seen_is_everything_or_a_list() {
        assert_eq!([Grant::everything()].scopes(Permission::View), None);
        assert_eq!([grant(&[Permission::Decide], "pay", &[])].scopes(Permission::View), Some(Vec::new()));
    }
}
