//! The service as it is routed: the generated one, but for the stream, whose responses are encoded once for all.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use approve_proto::v1::{StreamPendingApprovalsRequest, approval_service_server::ApprovalServiceServer};
use http::{Request, Response};
use tonic::{
    Status,
    body::Body,
    codegen::BoxStream,
    server::{Grpc, NamedService, ServerStreamingService},
};
use tower::Service;

use super::{
    Approvals,
    frame::{Frame, FrameCodec},
};
use crate::grpc::MAX_MESSAGE_BYTES;

/// The path of the stream.
const STREAM: &str = "/approve.v1.ApprovalService/StreamPendingApprovals";

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// `approve.v1.ApprovalService`.
#[derive(Clone)]
pub(crate) struct ApprovalRoutes {
    generated: ApprovalServiceServer<Approvals>,
    approvals: Arc<Approvals>,
}

impl ApprovalRoutes {
    pub(crate) fn new(approvals: Approvals) -> Self {
        let approvals = Arc::new(approvals);
        let generated = ApprovalServiceServer::from_arc(Arc::clone(&approvals));
        Self { generated: generated.max_decoding_message_size(MAX_MESSAGE_BYTES), approvals }
    }
}

impl NamedService for ApprovalRoutes {
    const NAME: &'static str = <ApprovalServiceServer<Approvals> as NamedService>::NAME;
}

impl Service<Request<Body>> for ApprovalRoutes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.generated, context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        if request.uri().path() != STREAM {
            return self.generated.call(request);
        }
        let call = StreamCall(Arc::clone(&self.approvals));
        Box::pin(async move {
            let mut grpc = Grpc::new(FrameCodec).max_decoding_message_size(MAX_MESSAGE_BYTES);
            Ok(grpc.server_streaming(call, request).await)
        })
    }
}

struct StreamCall(Arc<Approvals>);

impl ServerStreamingService<StreamPendingApprovalsRequest> for StreamCall {
    type Response = Frame;
    type ResponseStream = BoxStream<Frame>;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<StreamPendingApprovalsRequest>) -> Self::Future {
        let approvals = Arc::clone(&self.0);
        Box::pin(async move { approvals.stream(request).await.map(tonic::Response::new) })
    }
}
