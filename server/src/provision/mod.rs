//! Provisioning: the AWS resources behind an approval step, desired against observed.

mod spec;

pub use self::spec::{RoleSpec, Spec, StateMachineSpec};
