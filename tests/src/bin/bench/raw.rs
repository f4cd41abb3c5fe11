//! gRPC without messages: bytes go out and come in as they are, so that neither side spends time on what is in them.

use approve_proto::ACTOR_METADATA;
use http::uri::PathAndQuery;
use prost::{
    Message,
    bytes::{Buf as _, BufMut as _, Bytes},
};
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

/// The stream of pending approvals; the floor has one of the same name.
pub(crate) const STREAM: &str = "/approve.v1.ApprovalService/StreamPendingApprovals";
/// Who calls.
const ACTOR: &str = "user:ana";
/// Calls and streams that share a connection: fewer than the server lets a connection have.
pub(crate) const STREAMS_PER_CONNECTION: usize = 100;

/// Takes bytes, gives bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// A connection of its own.
pub(crate) async fn connect(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().tcp_nodelay(true).connect().await.unwrap()
}

/// So many connections.
pub(crate) async fn connections(url: &str, count: usize) -> Vec<Channel> {
    let mut channels = Vec::new();
    for _ in 0..count {
        channels.push(connect(url).await);
    }
    channels
}

/// A request of the one who calls.
pub(crate) fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(ACTOR_METADATA, ACTOR.parse().unwrap());
    request
}

/// Calls a method.
pub(crate) async fn call(channel: &Channel, path: &'static str, message: &impl Message) -> Bytes {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let request = request(message.encode_to_vec().into());
    client.unary(request, PathAndQuery::from_static(path), RawCodec).await.unwrap().into_inner()
}

/// Opens a stream.
pub(crate) async fn open(channel: &Channel, path: &'static str, message: &impl Message) -> Streaming<Bytes> {
    let mut client = Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX);
    client.ready().await.unwrap();
    let request = request(message.encode_to_vec().into());
    client.server_streaming(request, PathAndQuery::from_static(path), RawCodec).await.unwrap().into_inner()
}
