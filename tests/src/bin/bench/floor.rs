//! The floor of calls and streams: a tonic server, in a process of its own, whose Decide does nothing, and whose stream
//! tells bytes that it was given.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use approve_proto::v1::{
    Approval, DecideRequest, DecideResponse, approval_service_server::ApprovalService,
    approval_service_server::ApprovalServiceServer,
};
use approve_tests::{
    process::{Process, command},
    wait_for,
};
use futures::{StreamExt as _, future::BoxFuture, stream};
use prost::bytes::Bytes;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxStream, Service, http},
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
    transport::{Channel, Server},
};
use tonic_prost::ProstCodec;

use crate::raw::{self, RawCodec, STREAM};

const LOAD: &str = "/approve.v1.ApprovalService/Load";
const PUBLISH: &str = "/approve.v1.ApprovalService/Publish";

/// What a stream tells.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Load {
    /// To whoever opens one: so often…
    #[prost(uint64, tag = "1")]
    pub(crate) count: u64,
    /// …this message…
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) message: Bytes,
    /// …and this one. After it, `message` for each [`Floor::publish`].
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) last: Bytes,
}

struct Empty;

#[tonic::async_trait]
impl ApprovalService for Empty {
    async fn decide(&self, _: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        Ok(Response::new(DecideResponse { approval: Some(Approval::default()), revision: 0 }))
    }
}

/// What the streams share.
struct Feed {
    load: Mutex<Load>,
    published: watch::Sender<u64>,
}

impl Feed {
    fn load(&self) -> Load {
        self.load.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stream(&self) -> BoxStream<Bytes> {
        let Load { count, message, last } = self.load();
        let first = message.clone();
        let snapshot = (0..count).map(move |_| Ok(first.clone())).chain([Ok(last)]);
        let mut published = self.published.subscribe();
        let seen = *published.borrow_and_update();
        let live = stream::unfold((published, seen, message), |(mut published, seen, message)| async move {
            published.wait_for(|count| *count > seen).await.ok()?;
            Some((Ok(message.clone()), (published, seen + 1, message)))
        });
        Box::pin(stream::iter(snapshot).chain(live))
    }
}

#[derive(Clone)]
struct FloorService {
    feed: Arc<Feed>,
    calls: ApprovalServiceServer<Empty>,
}

impl NamedService for FloorService {
    const NAME: &'static str = "approve.v1.ApprovalService";
}

impl Service<http::Request<Body>> for FloorService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let feed = Method(self.feed.clone());
        match request.uri().path() {
            STREAM => Box::pin(async move { Ok(Grpc::new(RawCodec).server_streaming(feed, request).await) }),
            PUBLISH => Box::pin(async move { Ok(Grpc::new(RawCodec).unary(feed, request).await) }),
            LOAD => Box::pin(async move {
                let codec = ProstCodec::<Load, Load>::default();
                Ok(Grpc::new(codec).max_decoding_message_size(usize::MAX).unary(feed, request).await)
            }),
            _ => self.calls.call(request),
        }
    }
}

struct Method(Arc<Feed>);

impl ServerStreamingService<Bytes> for Method {
    type Response = Bytes;
    type ResponseStream = BoxStream<Bytes>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let stream = self.0.stream();
        Box::pin(async { Ok(Response::new(stream)) })
    }
}

impl UnaryService<Bytes> for Method {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        self.0.published.send_modify(|count| *count += 1);
        Box::pin(async { Ok(Response::new(Bytes::new())) })
    }
}

impl UnaryService<Load> for Method {
    type Response = Load;
    type Future = BoxFuture<'static, Result<Response<Load>, Status>>;

    fn call(&mut self, request: Request<Load>) -> Self::Future {
        *self.0.load.lock().unwrap_or_else(PoisonError::into_inner) = request.into_inner();
        Box::pin(async { Ok(Response::new(Load::default())) })
    }
}

/// Prints its URL and serves until it is killed.
pub(crate) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let feed = Arc::new(Feed { load: Mutex::default(), published: watch::Sender::new(0) });
    let service = FloorService { feed, calls: ApprovalServiceServer::new(Empty) };
    let incoming = TcpListenerStream::new(listener);
    Server::builder().tcp_nodelay(true).add_service(service).serve_with_incoming(incoming).await.unwrap();
}

/// A running floor.
pub(crate) struct Floor {
    process: Process,
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
        Self { process, _folder: folder, url }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Says what streams that are opened from here on tell.
    pub(crate) async fn load(&self, load: Load) {
        raw::call(&raw::connect(&self.url).await, LOAD, &load).await;
    }

    /// Tells all streams the message.
    pub(crate) async fn publish(channel: &Channel) {
        raw::call(channel, PUBLISH, &()).await;
    }
}
