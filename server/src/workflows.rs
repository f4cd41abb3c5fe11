//! The workflows that the server works for, in memory: what is stored, with what their definitions say.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use tokio::sync::{Mutex, watch};

use crate::{
    approval::StepDefaults,
    clock::SharedClock,
    provision::{
        self, Attachment, ControlPlane, Heartbeats, Options, Outputs, Plan, Progress, ProvisionError, Spec, Step,
        StepReport, Warning,
    },
    stepfunctions::SharedStepFunctions,
    store::{SharedStore, StoreError, WorkflowRecord},
};

/// A workflow and what its definition says of its approval steps.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// As it is stored.
    pub record: WorkflowRecord,
    /// The states that wait for its activities.
    pub steps: Vec<Step>,
    /// Its activities, the main one first.
    pub activity_arns: Vec<String>,
}

impl Workflow {
    pub(crate) fn new(record: WorkflowRecord) -> Self {
        let activity_arns = record.spec.activity_arns(&record.activity_arn);
        let steps = provision::steps(&record.definition, &activity_arns);
        Self { record, steps, activity_arns }
    }

    /// What is known of a task of one of its activities before its input is read.
    #[must_use]
    pub fn step_defaults(&self, activity_arn: &str) -> StepDefaults {
        StepDefaults {
            workflow: self.record.name.clone(),
            activity_arn: activity_arn.to_owned(),
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

    /// The HeartbeatSeconds that a task of one of its activities has; `state` is what the task says it is of.
    #[must_use]
    pub fn heartbeat(&self, activity_arn: &str, state: Option<&str>) -> Option<SignedDuration> {
        provision::heartbeat(&self.steps, activity_arn, state)
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
        let map = read(store).await?;
        Ok(Self { known: watch::Sender::new(Arc::new(map)), changing: Mutex::new(()) })
    }

    /// Reads anew what is stored: another server may have changed it.
    pub async fn reload(&self, store: &SharedStore) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        let map = read(store).await?;
        self.known.send_if_modified(|known| {
            let same =
                known.values().map(|workflow| &workflow.record).eq(map.values().map(|workflow| &workflow.record));
            if !same {
                *known = Arc::new(map);
            }
            !same
        });
        Ok(())
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

async fn read(store: &SharedStore) -> Result<WorkflowMap, StoreError> {
    let known = store.workflows().await?;
    Ok(known.into_iter().map(|record| (record.name.clone(), Arc::new(Workflow::new(record)))).collect())
}

/// Why a workflow was not applied or destroyed.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionerError {
    /// The resources could not be brought to what they should be. What was done stays; the same call goes on from there.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// Something would have to be deleted and made anew that people are waited for with.
    #[error("{resource} would have to be replaced, and {pending} approvals of the workflow are pending")]
    Pending {
        /// What would have to be replaced.
        resource: String,
        /// How many approvals are pending.
        pending: u64,
    },
    /// Others provision it, by code.
    #[error("the workflow {0} is provisioned by code and only attached here; change it there, and attach it again")]
    Attached(String),
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
    /// How many heartbeats may be sent, for warnings.
    pub heartbeats: Heartbeats,
    /// One apply or destroy at a time, so that none undoes half of another.
    pub working: Mutex<()>,
}

impl Provisioner {
    /// What an apply would do, and what of the spec may be a mistake. Changes nothing.
    pub async fn plan(&self, spec: &Spec) -> Result<(Plan, Vec<Warning>), ProvisionerError> {
        let plan = provision::preview(&*self.control, &*self.clock, spec).await?;
        Ok((plan, self.warnings(spec)))
    }

    /// How a workflow's resources differ from what was last applied.
    pub async fn drift(&self, workflow: &Workflow) -> Result<Plan, ProvisionerError> {
        let spec = &workflow.record.spec;
        let mut plan = self.compare(spec).await?;
        if spec.attached {
            plan.forget_ownership();
        }
        Ok(plan)
    }

    async fn compare(&self, spec: &Spec) -> Result<Plan, ProvisionerError> {
        let observed = provision::observe(&*self.control, &*self.clock, spec).await.map_err(ProvisionError::from)?;
        Ok(provision::plan(spec, &observed))
    }

    /// What of a spec may be a mistake. Also what it leaves behind of the workflow as it is.
    #[must_use]
    pub fn warnings(&self, spec: &Spec) -> Vec<Warning> {
        let mut warnings = provision::warnings(spec, self.heartbeats);
        if let Some(known) = self.workflows.get(&spec.name) {
            warnings.extend(provision::renamed(&known.record.spec, spec));
        }
        warnings
    }

    /// Brings a workflow's resources to what the spec says, and works for it from then on.
    pub async fn apply(
        &self,
        spec: Spec,
        options: Options,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Arc<Workflow>, ProvisionerError> {
        let _working = self.working.lock().await;
        let known = self.workflows.get(&spec.name);
        if known.as_ref().is_some_and(|known| known.record.spec.attached) {
            return Err(ProvisionerError::Attached(spec.name));
        }
        let careful = options.replace && !options.force;
        let pending = if careful { self.store.count_pending(Some(&spec.name)).await? } else { 0 };
        let options = Options { replace: options.replace && pending == 0, ..options };
        let outputs = provision::apply(&*self.control, &*self.clock, &spec, options, progress).await;
        let outputs = outputs.map_err(|error| match error {
            ProvisionError::ReplaceNeeded { resource, .. } if pending > 0 => {
                ProvisionerError::Pending { resource, pending }
            }
            error => error.into(),
        })?;
        self.keep(spec, outputs, known).await
    }

    /// Works from now on for a state machine that others provision. Changes nothing in AWS.
    pub async fn attach(&self, attachment: Attachment) -> Result<Arc<Workflow>, ProvisionerError> {
        let _working = self.working.lock().await;
        let known = self.workflows.get(&attachment.name);
        if known.as_ref().is_some_and(|known| !known.record.spec.attached) {
            let problem = "a workflow of that name is provisioned from here; choose another name, or destroy it first";
            return Err(ProvisionError::Field { field: "name".to_owned(), problem: problem.to_owned() }.into());
        }
        let (spec, outputs) = provision::attach(&*self.control, &*self.clock, attachment).await?;
        self.keep(spec, outputs, known).await
    }

    async fn keep(
        &self,
        spec: Spec,
        outputs: Outputs,
        known: Option<Arc<Workflow>>,
    ) -> Result<Arc<Workflow>, ProvisionerError> {
        let now = self.clock.now();
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

    /// Deletes what an apply that never succeeded left behind of a spec's resources, those that are ours.
    pub async fn clear(&self, spec: &Spec) -> Result<Vec<StepReport>, ProvisionerError> {
        let _working = self.working.lock().await;
        Ok(provision::destroy_spec(&*self.control, &*self.clock, spec).await?)
    }

    /// Deletes a workflow's resources, those that are ours, and forgets it. Of one that others provision, only forgets it.
    pub async fn destroy(&self, workflow: &Workflow) -> Result<Vec<StepReport>, ProvisionerError> {
        let _working = self.working.lock().await;
        let steps = match workflow.record.spec.attached {
            true => Vec::new(),
            false => provision::destroy(&*self.control, &workflow.record).await?,
        };
        self.workflows.remove(&self.store, &workflow.record.name).await?;
        Ok(steps)
    }
}
