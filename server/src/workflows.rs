//! The workflows that the server works for, in memory: what is stored, with what their definitions say.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use tokio::sync::{Mutex, watch};

use crate::{
    approval::StepDefaults,
    clock::SharedClock,
    provision::{self, ControlPlane, ProvisionError, Spec, Step, StepReport},
    stepfunctions::SharedStepFunctions,
    store::{SharedStore, StoreError, WorkflowRecord},
};

/// A workflow and what its definition says of its approval steps.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// As it is stored.
    pub record: WorkflowRecord,
    /// The states that wait for its activity.
    pub steps: Vec<Step>,
}

impl Workflow {
    fn new(record: WorkflowRecord) -> Self {
        let steps = provision::steps(&record.definition, &record.activity_arn);
        Self { record, steps }
    }

    /// What is known of a task before its input is read.
    #[must_use]
    pub fn step_defaults(&self) -> StepDefaults {
        StepDefaults {
            workflow: self.record.name.clone(),
            activity_arn: self.record.activity_arn.clone(),
            rule: self.record.spec.rule.clone(),
            timeouts: self.steps.iter().filter_map(|step| Some((step.state.clone(), step.timeout?))).collect(),
        }
    }

    fn step(&self, state: Option<&str>) -> Option<&Step> {
        match (state, self.steps.as_slice()) {
            (Some(state), all) => all.iter().find(|step| step.state == state),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// The HeartbeatSeconds of a state; of the only one there is, where the task does not name its state.
    #[must_use]
    pub fn heartbeat(&self, state: Option<&str>) -> Option<SignedDuration> {
        self.step(state)?.heartbeat
    }

    /// Whether a task's word for its identity comes from Step Functions' context object: only then is it believed.
    #[must_use]
    pub fn vouches_for_identity(&self, state: Option<&str>) -> bool {
        state.is_some() && self.step(state).is_some_and(|step| step.identity_from_context)
    }
}

/// All workflows, by name.
pub type WorkflowMap = BTreeMap<String, Arc<Workflow>>;

/// The known workflows; changes reach whoever subscribed.
#[derive(Debug)]
pub struct Workflows {
    known: watch::Sender<Arc<WorkflowMap>>,
    /// One change at a time, so that the map in memory follows the store's order.
    changing: Mutex<()>,
}

impl Workflows {
    /// Reads what is stored.
    pub async fn load(store: &SharedStore) -> Result<Self, StoreError> {
        let known = store.workflows().await?;
        let map = known.into_iter().map(|record| (record.name.clone(), Arc::new(Workflow::new(record)))).collect();
        Ok(Self { known: watch::Sender::new(Arc::new(map)), changing: Mutex::new(()) })
    }

    /// Keeps a workflow, in place of what it was.
    pub async fn put(&self, store: &SharedStore, record: WorkflowRecord) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        store.put_workflow(record.clone()).await?;
        self.known.send_modify(|map| {
            Arc::make_mut(map).insert(record.name.clone(), Arc::new(Workflow::new(record)));
        });
        Ok(())
    }

    /// Forgets a workflow.
    pub async fn remove(&self, store: &SharedStore, name: &str) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        store.delete_workflow(name).await?;
        self.known.send_modify(|map| {
            Arc::make_mut(map).remove(name);
        });
        Ok(())
    }

    /// As they are now.
    #[must_use]
    pub fn all(&self) -> Arc<WorkflowMap> {
        Arc::clone(&self.known.borrow())
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Workflow>> {
        self.known.borrow().get(name).cloned()
    }

    /// As they are, and as they change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<WorkflowMap>> {
        self.known.subscribe()
    }
}

/// Why a workflow was not applied or destroyed.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionerError {
    /// The resources could not be brought to what they should be. What was done stays; the same call goes on from there.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The resources are as they should be, but the workflow could not be kept; the same call goes on from there.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Provisions workflows, and keeps those that the server works for.
pub struct Provisioner {
    /// Where they are kept.
    pub store: SharedStore,
    /// For executions.
    pub stepfunctions: SharedStepFunctions,
    /// For resources.
    pub control: Arc<dyn ControlPlane>,
    /// For waits.
    pub clock: SharedClock,
    /// Those that are known.
    pub workflows: Arc<Workflows>,
    /// One apply or destroy at a time, so that none undoes half of another.
    pub working: Mutex<()>,
}

impl Provisioner {
    /// Brings a workflow's resources to what the spec says, and works for it from then on.
    pub async fn apply(
        &self,
        spec: Spec,
        adopt: bool,
        report: impl FnMut(StepReport) + Send,
    ) -> Result<Arc<Workflow>, ProvisionerError> {
        let _working = self.working.lock().await;
        let outputs = provision::apply(&*self.control, &*self.clock, &spec, adopt, report).await?;
        let now = self.clock.now();
        let known = self.workflows.get(&spec.name);
        let record = WorkflowRecord {
            name: spec.name.clone(),
            spec,
            activity_arn: outputs.activity_arn,
            role_arn: outputs.role_arn,
            state_machine_arn: outputs.state_machine_arn,
            definition: outputs.definition,
            created: known.map_or(now, |known| known.record.created),
            updated: now,
        };
        self.workflows.put(&self.store, record.clone()).await?;
        Ok(Arc::new(Workflow::new(record)))
    }

    /// Deletes a workflow's resources, those that are ours, and forgets it.
    pub async fn destroy(&self, workflow: &Workflow) -> Result<Vec<StepReport>, ProvisionerError> {
        let _working = self.working.lock().await;
        let steps = provision::destroy(&*self.control, &workflow.record).await?;
        self.workflows.remove(&self.store, &workflow.record.name).await?;
        Ok(steps)
    }
}
