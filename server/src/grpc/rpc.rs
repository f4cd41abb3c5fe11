//! Every call of the API: whether it streams, and which permission it needs.
//!
//! A caller needs one of the permissions somewhere to be let in at all. Where it holds is for the service to say, once it
//! knows what the call is about.

use crate::auth::{Permission, Slot};

/// A call of the API.
#[derive(Debug)]
pub(super) struct Rpc {
    /// Its path.
    pub(super) path: &'static str,
    /// What it takes while it lasts.
    pub(super) slot: Slot,
    /// One of these is needed; none: whoever shows who they are may call it.
    pub(super) permissions: &'static [Permission],
}

impl Rpc {
    /// Its service and name, without the package of ours.
    pub(super) fn name(&self) -> &'static str {
        let path = self.path.trim_start_matches('/');
        path.strip_prefix("approve.v1.").unwrap_or(path)
    }
}

const fn call(path: &'static str, permissions: &'static [Permission]) -> Rpc {
    Rpc { path, slot: Slot::Call, permissions }
}

const fn list(path: &'static str, permissions: &'static [Permission]) -> Rpc {
    Rpc { path, slot: Slot::List, permissions }
}

const fn stream(path: &'static str, permissions: &'static [Permission]) -> Rpc {
    Rpc { path, slot: Slot::Stream, permissions }
}

use Permission::{Audit, Decide, Operate, Provision, Start, View};

const RPCS: [Rpc; 35] = [
    // Without the permission to view there is no approval. The rest is asked of the approval itself.
    stream("/approve.v1.ApprovalService/StreamPendingApprovals", &[View]),
    call("/approve.v1.ApprovalService/GetApproval", &[View]),
    list("/approve.v1.ApprovalService/ListApprovals", &[View]),
    call("/approve.v1.ApprovalService/Decide", &[Decide]),
    call("/approve.v1.ApprovalService/WithdrawVote", &[Decide]),
    call("/approve.v1.ApprovalService/ClaimApproval", &[Decide]),
    call("/approve.v1.ApprovalService/ReleaseApproval", &[Decide, Operate]),
    call("/approve.v1.ApprovalService/ReassignApproval", &[Decide, Operate]),
    // Also for whoever asked for the approval.
    call("/approve.v1.ApprovalService/CancelApproval", &[View]),
    call("/approve.v1.ApprovalService/HoldApproval", &[Operate]),
    call("/approve.v1.ApprovalService/ResumeApproval", &[Operate]),
    call("/approve.v1.ApprovalService/ExplainApproval", &[View]),
    // Looks at nothing that is kept.
    call("/approve.v1.ApprovalService/CheckRule", &[]),
    call("/approve.v1.WorkflowService/PlanWorkflow", &[Provision]),
    call("/approve.v1.WorkflowService/GetWorkflowDrift", &[Provision]),
    call("/approve.v1.WorkflowService/ExportWorkflow", &[Provision]),
    call("/approve.v1.WorkflowService/AttachWorkflow", &[Provision]),
    stream("/approve.v1.WorkflowService/ApplyWorkflow", &[Provision]),
    call("/approve.v1.WorkflowService/DestroyWorkflow", &[Provision]),
    call("/approve.v1.WorkflowService/GetWorkflow", &[View, Start, Provision]),
    call("/approve.v1.WorkflowService/ListWorkflows", &[View, Start, Provision]),
    call("/approve.v1.WorkflowService/StartExecution", &[Start]),
    call("/approve.v1.WorkflowService/GetExecution", &[View, Start]),
    list("/approve.v1.AuditService/ListEvents", &[Audit]),
    stream("/approve.v1.AuditService/ExportEvents", &[Audit]),
    call("/approve.v1.AuditService/GetAuditHead", &[Audit]),
    call("/approve.v1.AccessService/GetCaller", &[]),
    call("/approve.v1.AccessService/GetServerInfo", &[]),
    call("/approve.v1.AccessService/CreateApiToken", &[Operate]),
    call("/approve.v1.AccessService/ListApiTokens", &[Operate]),
    call("/approve.v1.AccessService/RevokeApiToken", &[Operate]),
    stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &[]),
    stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &[]),
    call("/grpc.health.v1.Health/Check", &[]),
    stream("/grpc.health.v1.Health/Watch", &[]),
];

/// The call of a path; `None` where there is no such.
pub(super) fn find(path: &str) -> Option<&'static Rpc> {
    RPCS.iter().find(|rpc| rpc.path == path)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_call_of_the_api_has_its_place_here() {
        let set = FileDescriptorSet::decode(approve_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut known = 0;
        for file in set.file.iter().filter(|file| file.package() == "approve.v1") {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/approve.v1.{}/{}", service.name(), method.name());
                    let rpc = find(&path).unwrap_or_else(|| panic!("{path} has no permissions"));
                    assert_eq!(rpc.slot == Slot::Stream, method.server_streaming(), "{path}");
                    assert!(!method.client_streaming(), "{path}: a request has one message, which has to come in time");
                    known += 1;
                }
            }
        }
        let ours = RPCS.iter().filter(|rpc| rpc.path.starts_with("/approve.v1.")).count();
        assert_eq!(known, ours, "there are paths that no service has");
    }
}
