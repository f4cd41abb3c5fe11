//! The gRPC services: messages in, commands and queries out, and the only map from what goes wrong to a status.

mod access;
mod approvals;
mod audit;
mod body;
mod convert;
mod gate;
mod incoming;
mod rpc;
mod secured;
mod status;
mod token;
mod web;
mod workflow_spec;
mod workflows;

use std::time::Duration;

use approve_proto::{
    FILE_DESCRIPTOR_SET,
    v1::{
        access_service_server::AccessServiceServer, approval_service_server::ApprovalServiceServer,
        audit_service_server::AuditServiceServer, workflow_service_server::WorkflowServiceServer,
    },
};
use http::HeaderMap;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

pub(crate) use self::{
    access::Access,
    approvals::{ApprovalRoutes, Approvals},
    audit::AuditCalls,
    gate::{Gate, GateParts, address},
    incoming::incoming,
    secured::secured,
    web::Web,
    workflows::WorkflowCalls,
};

/// The longest message that is taken: a definition of 1 MiB, or an input of 256 KiB, with what is around it.
const MAX_MESSAGE_BYTES: usize = 2 * 1024 * 1024;

/// All services, and the health that they report.
pub(crate) async fn routes(
    access: Access,
    approvals: Approvals,
    workflows: WorkflowCalls,
    audit: AuditCalls,
) -> Result<(Routes, HealthReporter), tonic_reflection::server::Error> {
    let approvals = ApprovalRoutes::new(approvals);
    let workflows = WorkflowServiceServer::new(workflows).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let audit = AuditServiceServer::new(audit).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let access = AccessServiceServer::new(access).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let (reporter, health) = tonic_health::server::health_reporter();
    serving(&reporter).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let mut routes = Routes::builder();
    routes
        .add_service(access)
        .add_service(health)
        .add_service(reflection)
        .add_service(approvals)
        .add_service(workflows)
        .add_service(audit);
    Ok((routes.routes(), reporter))
}

/// Says that calls may come.
pub(crate) async fn serving(reporter: &HealthReporter) {
    reporter.set_serving::<AccessServiceServer<Access>>().await;
    reporter.set_serving::<ApprovalServiceServer<Approvals>>().await;
    reporter.set_serving::<WorkflowServiceServer<WorkflowCalls>>().await;
    reporter.set_serving::<AuditServiceServer<AuditCalls>>().await;
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
}

/// Says that no more calls should come.
pub(crate) async fn not_serving(reporter: &HealthReporter) {
    reporter.set_not_serving::<AccessServiceServer<Access>>().await;
    reporter.set_not_serving::<ApprovalServiceServer<Approvals>>().await;
    reporter.set_not_serving::<WorkflowServiceServer<WorkflowCalls>>().await;
    reporter.set_not_serving::<AuditServiceServer<AuditCalls>>().await;
    reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
}

/// How long the caller will wait for an answer, by `grpc-timeout`.
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount.checked_mul(3_600)?)),
        "M" => Some(Duration::from_secs(amount.checked_mul(60)?)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_read_as_grpc_writes_it() {
        let mut headers = HeaderMap::new();
        assert_eq!(deadline(&headers), None);
        for (text, expected) in [
            ("250m", Some(Duration::from_millis(250))),
            ("5S", Some(Duration::from_secs(5))),
            ("x", None),
            ("", None),
            ("99999999999999999999H", None),
        ] {
            headers.insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(deadline(&headers), expected, "{text}");
        }
    }
}
