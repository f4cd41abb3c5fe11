//! The inbox for approvers: pages made by the server, beside gRPC on the same port.
//!
//! Pages work without scripts; htmx adds liveness. What a page asks for goes through [`Operations`], as a call does: no
//! rule and no permission is looked at here but to show what can be done. A session is a sealed cookie; every POST
//! carries its session's token, and comes from a page of this server.

mod answer;
mod approval;
mod assets;
mod audit;
mod bulk;
mod decide;
mod fields;
mod front;
mod guard;
mod history;
mod inbox;
mod link;
mod list;
mod live;
mod session;
mod sign_in;
mod view;

use std::{sync::Arc, time::Duration};

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    front::Front,
    session::Sessions,
    sign_in::{CALLBACK, SignIn},
};
use crate::{
    auth::{Authenticator, CallLimits},
    config::PublicUrl,
    notify::Links,
    operations::Operations,
    watch::Hub,
    workflows::Workflows,
};

/// What pages need.
pub(crate) struct Web {
    pub(crate) operations: Operations,
    pub(crate) hub: Arc<Hub>,
    pub(crate) workflows: Arc<Workflows>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) limits: Arc<CallLimits>,
    pub(crate) sessions: Sessions,
    pub(crate) sign_in: SignIn,
    /// Absent: nobody gets any.
    pub(crate) links: Option<Arc<Links>>,
    pub(crate) url: PublicUrl,
    /// How long a request's body may take.
    pub(crate) request_time: Duration,
    /// Ends streams.
    pub(crate) closing: CancellationToken,
}

/// All pages.
pub(crate) fn routes(web: Arc<Web>) -> Router {
    Router::new()
        .route("/", get(inbox::page))
        .route("/live", get(live::stream))
        .route("/approvals/{id}", get(approval::page))
        .route("/approvals/{id}/decide", post(approval::decide))
        .route("/approvals/{id}/audit", get(audit::page))
        .route("/link/{token}", get(link::page))
        .route("/link/{token}/decide", post(link::decide))
        .route("/bulk", post(bulk::confirm))
        .route("/bulk/decide", post(bulk::decide))
        .route("/history", get(history::page))
        .route("/sign-in", get(sign_in::page).post(sign_in::pick))
        .route("/sign-in/start", get(sign_in::start))
        .route(CALLBACK, get(sign_in::callback))
        .route("/sign-out", post(sign_in::out))
        .route("/assets/{version}/{name}", get(assets::serve))
        .fallback(answer::no_page)
        .layer(middleware::from_fn_with_state(Arc::clone(&web), guard::guard))
        .with_state(web)
}
