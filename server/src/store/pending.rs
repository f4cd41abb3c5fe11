//! One of a snapshot, as the store holds it: understood only as far as it is asked for, as there are so many.

use std::sync::Arc;

use super::{
    Revision, StoreError,
    codec::{decode, decode_approval},
};
use crate::approval::{Approval, ApprovalId};

/// An approval that was pending.
#[derive(Debug, Clone)]
pub struct Pending(Form);

#[derive(Debug, Clone)]
enum Form {
    Read(Arc<Approval>),
    Written { id: ApprovalId, revision: Revision, state: Box<str>, request: Box<str>, input: Arc<str> },
}

impl From<Arc<Approval>> for Pending {
    fn from(approval: Arc<Approval>) -> Self {
        Self(Form::Read(approval))
    }
}

impl Pending {
    /// Of what [`codec`](super::codec) wrote.
    pub(super) fn written(
        id: ApprovalId,
        revision: Revision,
        state: Box<str>,
        request: Box<str>,
        input: Arc<str>,
    ) -> Self {
        Self(Form::Written { id, revision, state, request, input })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ApprovalId {
        match &self.0 {
            Form::Read(approval) => &approval.id,
            Form::Written { id, .. } => id,
        }
    }

    /// What is to be decided about.
    #[must_use]
    pub fn input(&self) -> &str {
        match &self.0 {
            Form::Read(approval) => &approval.input,
            Form::Written { input, .. } => input,
        }
    }

    /// The approval.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where what is kept can't be read.
    pub fn read(&self) -> Result<Arc<Approval>, StoreError> {
        match &self.0 {
            Form::Read(approval) => Ok(Arc::clone(approval)),
            Form::Written { id, revision, state, request, input } => {
                decode_approval(id.clone(), *revision, state, decode(request)?, Arc::clone(input)).map(Arc::new)
            }
        }
    }
}
