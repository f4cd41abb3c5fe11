//! Who is calling, and what they may do.
//!
//! [`Authenticator`] turns what a call shows (a bearer token, a client certificate, or the caller's own word) into a
//! [`Caller`] with grants; `CallLimits` keeps one caller from taking what is others'. `grpc/gate.rs` asks both once for
//! every call; services ask the caller.

mod asserted;
mod authenticator;
mod caller;
mod certificate;
mod error;
mod jwt;
mod limits;
mod names;
mod oidc;
mod permission;
mod role;
mod secret;
mod tls;
mod tokens;

pub use self::{
    authenticator::Authenticator,
    caller::{Authenticated, Caller},
    error::AuthError,
    jwt::KeysError,
    permission::{Grant, Permission, Place},
    secret::Secret,
    tls::TlsError,
    tokens::{ApiToken, ApiTokens, DEFAULT_LIFETIME, NewToken, TokenError},
};
pub(crate) use self::{
    authenticator::Shown,
    limits::{CallLimits, Seat, Seats, Slot, network},
    names::principal,
    oidc::{Begun, Provider, SignInError},
    permission::Grants,
    role::check_member,
    tls::{Loaded, Tls},
};

/// The caller, as the gate knows them.
///
/// # Errors
/// [`AuthError::Missing`] where the gate let nobody in: a defect.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, AuthError> {
    request.extensions().get::<Caller>().cloned().ok_or(AuthError::Missing)
}
