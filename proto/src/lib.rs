//! The `approve.v1` gRPC API: messages, clients and servers, generated from `approve/v1/*.proto`.
//!
//! The comments in the `.proto` files are the reference: each says shape, unit, limit and when a field is absent.

/// Messages, clients and servers of package `approve.v1`.
#[allow(
    missing_docs,
    clippy::doc_lazy_continuation,
    clippy::large_enum_variant,
    rustdoc::invalid_html_tags,
    rustdoc::bare_urls
)]
pub mod v1 {
    tonic::include_proto!("approve.v1");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the API, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/approve.v1.bin"));

/// The `domain` of every `google.rpc.ErrorInfo` that the API sends.
pub const ERROR_DOMAIN: &str = "approve.v1";

/// Request metadata in which a caller names itself where the server trusts that (development, on loopback): a
/// principal, `user:<name>`.
pub const ACTOR_METADATA: &str = "approve-actor";

/// Request metadata that names the caller's groups where the server trusts that: `<name>[,<name>…]`.
pub const GROUPS_METADATA: &str = "approve-groups";

/// Request metadata in which a service names the person that it acts for: a principal, `user:<name>`. Their groups are in
/// [`GROUPS_METADATA`]. Needs the permission to act on behalf.
pub const ON_BEHALF_OF_METADATA: &str = "approve-on-behalf-of";
