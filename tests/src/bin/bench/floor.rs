//! The floor of a call: a tonic server, in a process of its own, whose Decide does nothing.

use approve_proto::v1::{
    Approval, DecideRequest, DecideResponse, GetApprovalRequest, GetApprovalResponse, ListApprovalsRequest,
    ListApprovalsResponse, StreamPendingApprovalsRequest, StreamPendingApprovalsResponse,
    approval_service_server::{ApprovalService, ApprovalServiceServer},
};
use approve_tests::{
    process::{Process, command},
    wait_for,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, codegen::BoxStream, transport::Server};

struct Empty;

#[tonic::async_trait]
impl ApprovalService for Empty {
    async fn stream_pending_approvals(
        &self,
        _: Request<StreamPendingApprovalsRequest>,
    ) -> Result<Response<BoxStream<StreamPendingApprovalsResponse>>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn decide(&self, _: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        Ok(Response::new(DecideResponse { approval: Some(Approval::default()), revision: 0 }))
    }

    async fn get_approval(&self, _: Request<GetApprovalRequest>) -> Result<Response<GetApprovalResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_approvals(
        &self,
        _: Request<ListApprovalsRequest>,
    ) -> Result<Response<ListApprovalsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Prints its URL and serves until it is killed.
pub(crate) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let incoming = TcpListenerStream::new(listener);
    Server::builder()
        .tcp_nodelay(true)
        .add_service(ApprovalServiceServer::new(Empty))
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}

/// A running floor.
pub(crate) struct Floor {
    _process: Process,
    _folder: TempDir,
    pub(crate) url: String,
}

impl Floor {
    pub(crate) async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut command = command(std::env::current_exe().unwrap(), folder.path());
        command.arg("floor");
        let process = Process::spawn("floor", command, folder.path());
        let url = wait_for("the floor's URL", async || process.stdout().strip_suffix('\n').map(str::to_owned)).await;
        Self { _process: process, _folder: folder, url }
    }
}
