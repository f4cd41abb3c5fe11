//! Provisioning over the wire.
