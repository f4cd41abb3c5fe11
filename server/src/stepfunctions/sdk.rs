//! The port over the AWS SDK.
