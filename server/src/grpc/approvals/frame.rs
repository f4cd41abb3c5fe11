//! What the stream of pending approvals sends, as bytes: an approval is encoded once for all streams that send it.

use approve_proto::v1::{StreamPendingApprovalsRequest, StreamPendingApprovalsResponse};
use bytes::{BufMut as _, Bytes};
use prost::{
    Message as _,
    encoding::{message, string},
};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::{ProstCodec, ProstDecoder};

use crate::{approval::Approval, grpc::convert};

/// The numbers of the response's fields.
pub(super) const UPSERTED: u32 = 1;
const RESUME_TOKEN: u32 = 4;

/// One response.
#[derive(Debug)]
pub(super) enum Frame {
    /// An approval, encoded by [`upserted`], and the stream's own token.
    Upserted { encoded: Bytes, resume_token: String },
    /// Any other one.
    Message(Box<StreamPendingApprovalsResponse>),
}

/// The field `upserted` of a response. A message's encoding is that of its fields, one after the other.
pub(super) fn upserted(approval: &Approval) -> Bytes {
    let approval = convert::approval(approval);
    let mut encoded = Vec::with_capacity(message::encoded_len(UPSERTED, &approval));
    message::encode(UPSERTED, &approval, &mut encoded);
    encoded.into()
}

/// Between bytes and the stream's messages.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameCodec;

impl Codec for FrameCodec {
    type Encode = Frame;
    type Decode = StreamPendingApprovalsRequest;
    type Encoder = FrameEncoder;
    type Decoder = ProstDecoder<StreamPendingApprovalsRequest>;

    fn encoder(&mut self) -> Self::Encoder {
        FrameEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<StreamPendingApprovalsResponse, _>::raw_decoder(BufferSettings::default())
    }
}

/// Writes frames.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameEncoder;

impl Encoder for FrameEncoder {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, frame: Frame, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match frame {
            Frame::Upserted { encoded, resume_token } => {
                let token = if resume_token.is_empty() { 0 } else { string::encoded_len(RESUME_TOKEN, &resume_token) };
                buffer.reserve(encoded.len() + token);
                buffer.put_slice(&encoded);
                if token > 0 {
                    string::encode(RESUME_TOKEN, &resume_token, buffer);
                }
                Ok(())
            }
            Frame::Message(message) => {
                message.encode(buffer).map_err(|_| Status::internal("a response does not fit in its buffer"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use approve_proto::v1::stream_pending_approvals_response::Change;
    use proptest::prelude::*;

    use super::*;
    use crate::approval::arbitrary::{new_approval, requests};

    proptest! {
        #[test]
        fn its_parts_are_the_message(request in requests(), resume_token in "[a-z]{0,30}") {
            let approval = new_approval(request, "{\"amount\": 1200.50}");
            let whole = StreamPendingApprovalsResponse {
                change: Some(Change::Upserted(convert::approval(&approval))),
                resume_token: resume_token.clone(),
            };
            let mut parts = upserted(&approval).to_vec();
            if !resume_token.is_empty() {
                string::encode(RESUME_TOKEN, &resume_token, &mut parts);
            }
            prop_assert_eq!(StreamPendingApprovalsResponse::decode(&*parts).unwrap(), whole);
        }
    }
}
