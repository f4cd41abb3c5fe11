//! The approvals of a snapshot, as bytes: most of them were only asked for yet, and go from what the store holds to the
//! wire without being understood in between.

use approve_proto::v1 as proto;
use bytes::{BufMut, Bytes};
use prost::encoding::{
    WireType, encode_key, encode_varint, encoded_len_varint, int32, int64, key_len, message, uint32,
};

use super::frame;
use crate::{
    approval::{DeliveryState, Status},
    grpc::convert,
    store::{Outline, Pending, StoreError, Text},
};

/// How many rules are remembered.
const RULES: usize = 16;

/// Encodes the approvals of one stream.
#[derive(Debug, Default)]
pub(super) struct SnapshotEncoder {
    /// What rules are in writing, and as fields of an approval that has no votes: most approvals share theirs.
    rules: Vec<(Box<str>, Vec<u8>)>,
    approval: Vec<u8>,
    part: Vec<u8>,
}

impl SnapshotEncoder {
    /// What [`frame::upserted`] makes of it, but perhaps with its fields in another order.
    pub(super) fn upserted(&mut self, found: &Pending) -> Result<Bytes, StoreError> {
        let Some(outline) = found.outline() else { return Ok(frame::upserted(&*found.read()?)) };
        self.write(&outline)?;
        let length = self.approval.len() as u64;
        let mut encoded =
            Vec::with_capacity(key_len(frame::UPSERTED) + encoded_len_varint(length) + self.approval.len());
        encode_key(frame::UPSERTED, WireType::LengthDelimited, &mut encoded);
        encode_varint(length, &mut encoded);
        encoded.put_slice(&self.approval);
        Ok(encoded.into())
    }

    fn write(&mut self, outline: &Outline<'_>) -> Result<(), StoreError> {
        let Outline { id, revision, state, request, input } = outline;
        let rule = self.rule(outline)?;
        let (to, part) = (&mut self.approval, &mut self.part);
        to.clear();
        text(1, id.as_str(), to);
        int32::encode(2, &convert::status(Status::Pending).into(), to);
        text(3, &state.version.to_string(), to);
        int64(4, *revision, to);
        text(5, &request.source.workflow.0, to);
        text(6, &request.title.0, to);
        text(7, &request.description.0, to);
        optional(8, request.requester.as_ref(), to);
        text(10, input, to);
        source(outline, part);
        nested(11, part, to);
        for (key, value) in &request.labels {
            part.clear();
            text(1, &key.0, part);
            text(2, &value.0, part);
            nested(12, part, to);
        }
        int32::encode(13, &convert::priority(request.priority).into(), to);
        message::encode(14, &convert::timestamp(state.created), to);
        message::encode(15, &convert::timestamp(state.updated), to);
        if let Some(expires) = state.expires {
            message::encode(16, &convert::timestamp(expires), to);
        }
        let delivery = convert::delivery_state(DeliveryState::None).into();
        message::encode(21, &proto::Delivery { state: delivery, ..Default::default() }, to);
        int32::encode(22, &convert::task_state(state.task.state).into(), to);
        uint32(23, state.task.count, to);
        text(28, &request.rule_version.0, to);
        if let Some((_, fields)) = self.rules.get(rule) {
            to.put_slice(fields);
        }
        Ok(())
    }

    /// Where the rule is among those that are remembered.
    fn rule(&mut self, outline: &Outline<'_>) -> Result<usize, StoreError> {
        let text = outline.request.rule_text();
        if let Some(known) = self.rules.iter().position(|(known, _)| **known == *text) {
            return Ok(known);
        }
        let rule = outline.request.rule()?;
        let mut fields = Vec::new();
        message::encode(9, &convert::rule(&rule), &mut fields);
        for stage in rule.progress(&[]) {
            message::encode(27, &convert::progress(stage), &mut fields);
        }
        if self.rules.len() == RULES {
            self.rules.clear();
        }
        self.rules.push((text.into(), fields));
        Ok(self.rules.len() - 1)
    }
}

fn source(outline: &Outline<'_>, to: &mut Vec<u8>) {
    let source = &outline.request.source;
    to.clear();
    text(1, &source.activity_arn.0, to);
    optional(2, source.execution_arn.as_ref(), to);
    optional(3, source.state_machine_arn.as_ref(), to);
    optional(4, source.state_name.as_ref(), to);
    if let Some(entered) = source.state_entered {
        message::encode(5, &convert::timestamp(entered), to);
    }
    uint32(6, outline.state.task.attempt, to);
    optional(7, source.key.as_ref(), to);
}

fn optional(tag: u32, value: Option<&Text<'_>>, to: &mut Vec<u8>) {
    if let Some(Text(value)) = value {
        text(tag, value, to);
    }
}

/// What is empty is left out, as it is by the generated code.
fn text(tag: u32, value: &str, to: &mut Vec<u8>) {
    if !value.is_empty() {
        nested(tag, value.as_bytes(), to);
    }
}

fn nested(tag: u32, value: &[u8], to: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, to);
    encode_varint(value.len() as u64, to);
    to.put_slice(value);
}

fn int64(tag: u32, value: i64, to: &mut Vec<u8>) {
    if value != 0 {
        int64::encode(tag, &value, to);
    }
}

fn uint32(tag: u32, value: u32, to: &mut Vec<u8>) {
    if value != 0 {
        uint32::encode(tag, &value, to);
    }
}

#[cfg(test)]
mod tests {
    use approve_proto::v1::{StreamPendingApprovalsResponse, stream_pending_approvals_response::Change};
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::approval::{
        apply,
        arbitrary::{commands, new_approval, requests, seconds},
    };

    proptest! {
        #[test]
        fn it_says_what_the_approval_is(
            requests in proptest::collection::vec((requests(), "[ -~]{0,40}"), 1..4),
            happened in proptest::collection::vec(commands(), 0..4),
            revision in 1_i64..1_000_000,
        ) {
            let mut encoder = SnapshotEncoder::default();
            // Twice, as rules are remembered.
            for (request, input) in requests.iter().chain(&requests) {
                let mut approval = new_approval(request.clone(), input);
                approval.revision = revision;
                prop_assert!(Pending::of(&approval).outline().is_some(), "it was asked, and no more");
                for command in &happened {
                    if let Ok(transition) = apply(&approval, command, seconds(1)) {
                        approval = transition.approval;
                    }
                }
                let encoded = encoder.upserted(&Pending::of(&approval)).unwrap();
                let told = StreamPendingApprovalsResponse::decode(encoded).unwrap();
                prop_assert_eq!(told.change, Some(Change::Upserted(convert::approval(&approval))));
            }
        }
    }
}
