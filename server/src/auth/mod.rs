//! Who is calling, and what they may do.
//!
//! [`Authenticator`] turns what a call shows (a bearer token, a client certificate, or the caller's own word) into a
//! [`Caller`] with grants; [`CallLimits`] keeps callers from taking more than their share. `grpc/gate.rs` asks both once for every call.

mod asserted;
mod authenticator;
mod caller;
mod error;
mod names;
mod permission;
mod role;

pub use self::{
    authenticator::Authenticator,
    caller::{Authenticated, Caller},
    error::AuthError,
    permission::{Grant, Permission, Place},
};
pub(crate) use self::{authenticator::Shown, permission::Grants, role::check_member};

/// The caller, as the gate knows them.
///
/// # Errors
/// [`AuthError::Missing`] where the gate let nobody in: a defect.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, AuthError> {
    request.extensions().get::<Caller>().cloned().ok_or(AuthError::Missing)
}
