//! The whole state of an [`Engine`] as one JSON document, and back.
//!
//! | part | |
//! |---|---|
//! | `world`, `iam` | as they are |
//! | `revisions` | every configuration of a machine that a machine or an execution has, once; others name its place |
//! | `machines`, `executions` | in order of their ARNs and ids |
//! | `by_machine`, `closed` | the executions of each machine, and the closed ones in the order they ended |
//!
//! Definitions are kept as text and compiled again. JSON of users is kept as text, too: within the document it could be
//! nested more deeply than a parser takes.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    io,
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::Value;

use super::{
    Engine, EngineOptions, Tags,
    execution::{Branch, BranchId, Execution, ExecutionId, ExecutionStatus, Parent, ROOT, Waiting},
    executions::Executions,
    history::Event,
    machines::{Revision, StateMachine},
    timers::TimerKey,
    world::World,
};
use crate::{
    asl::{Definition, Graph, Kind, Variables},
    iam::Iam,
    json::Json,
};

/// Written with references, read as values.
#[derive(Serialize, Deserialize)]
struct Saved<'s, W, I> {
    world: W,
    iam: I,
    revisions: Vec<SavedRevision>,
    machines: BTreeMap<String, SavedMachine>,
    executions: Vec<SavedExecution<'s>>,
    last_execution: u64,
    by_machine: BTreeMap<Arc<str>, BTreeSet<ExecutionId>>,
    closed: VecDeque<ExecutionId>,
}

#[derive(Serialize, Deserialize)]
struct SavedRevision {
    arn: Arc<str>,
    name: Arc<str>,
    definition: Arc<str>,
    role_arn: Arc<str>,
    logging: Json,
    tracing: Json,
    updated: Timestamp,
    id: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SavedMachine {
    current: usize,
    created: Timestamp,
    tags: Tags,
    deleting: bool,
    encryption: Option<Json>,
}

#[derive(Serialize, Deserialize)]
struct SavedExecution<'s> {
    id: ExecutionId,
    arn: Arc<str>,
    name: Arc<str>,
    machine: usize,
    input: Json,
    status: ExecutionStatus,
    started: Timestamp,
    stopped: Option<Timestamp>,
    output: Option<Json>,
    error: Option<Arc<str>>,
    cause: Option<Arc<str>>,
    history: Cow<'s, [Event]>,
    /// Parents before their children.
    branches: Vec<SavedBranch>,
    variables: Vec<Arc<Variables>>,
    next_branch: u32,
    timeout: Option<TimerKey>,
    doomed: bool,
    tokens: Cow<'s, [Arc<str>]>,
}

/// Its graph follows from its parent's.
#[derive(Serialize, Deserialize)]
struct SavedBranch {
    id: BranchId,
    parent: Option<Parent>,
    state: usize,
    input: Json,
    entered: Timestamp,
    entered_event: u64,
    last_event: u64,
    retry_count: u64,
    attempts: Vec<u64>,
    waiting: Waiting,
    variables: usize,
    inherited: usize,
}

/// What several share, each once.
struct Pool<T> {
    places: HashMap<*const T, usize>,
    shared: Vec<Arc<T>>,
}

impl<T> Pool<T> {
    fn new() -> Self {
        Self { places: HashMap::new(), shared: Vec::new() }
    }

    fn place(&mut self, value: &Arc<T>) -> usize {
        *self.places.entry(Arc::as_ptr(value)).or_insert_with(|| {
            self.shared.push(value.clone());
            self.shared.len() - 1
        })
    }
}

impl Engine {
    /// Writes everything that its answers follow from, but for its options, as one line of JSON. Look after
    /// [`Engine::take_effects`] first: those are not kept.
    pub fn save(&self, writer: impl io::Write) -> Result<(), serde_json::Error> {
        let mut revisions = Pool::new();
        let machines = self.machines.iter();
        let machines = machines.map(|(arn, machine)| (arn.clone(), machine.saved(&mut revisions))).collect();
        let mut executions: Vec<_> =
            self.executions.by_id.iter().map(|(id, execution)| execution.saved(*id, &mut revisions)).collect();
        executions.sort_unstable_by_key(|execution| execution.id);
        let saved = Saved {
            world: &self.world,
            iam: &self.iam,
            revisions: revisions.shared.iter().map(|revision| revision.saved()).collect(),
            machines,
            executions,
            last_execution: self.executions.last,
            by_machine: self.executions.by_machine.clone(),
            closed: self.executions.closed.clone(),
        };
        serde_json::to_writer(writer, &saved)
    }

    /// The engine that [`Engine::save`] wrote. It goes on as that one would have, given the same options.
    pub fn restore(options: EngineOptions, text: &str) -> Result<Self, serde_json::Error> {
        let saved: Saved<'_, World, Iam> = serde_json::from_str(text)?;
        let revisions: Vec<Arc<Revision>> =
            saved.revisions.into_iter().map(SavedRevision::restored).collect::<Result<_, _>>()?;
        let machines = saved.machines.into_iter();
        let machines = machines
            .map(|(arn, machine)| Ok((arn, machine.restored(&revisions)?)))
            .collect::<Result<_, serde_json::Error>>()?;
        let mut executions = Executions {
            last: saved.last_execution,
            by_machine: saved.by_machine,
            closed: saved.closed,
            ..Executions::default()
        };
        for execution in saved.executions {
            let (id, execution) = execution.restored(&revisions)?;
            executions.by_arn.insert(execution.arn.clone(), id);
            executions.by_id.insert(id, Box::new(execution));
        }
        Ok(Self { options, world: saved.world, machines, executions, iam: saved.iam })
    }
}

impl Revision {
    fn saved(&self) -> SavedRevision {
        SavedRevision {
            arn: self.arn.clone(),
            name: self.name.clone(),
            definition: self.definition_text.clone(),
            role_arn: self.role_arn.clone(),
            logging: Json::from_value(&self.logging),
            tracing: Json::from_value(&self.tracing),
            updated: self.updated,
            id: self.id.clone(),
        }
    }
}

impl SavedRevision {
    fn restored(self) -> Result<Arc<Revision>, serde_json::Error> {
        let wrong = || serde_json::Error::custom(format!("the definition of {} is not valid any more", self.arn));
        let definition = Definition::parse(&self.definition).map_err(|_| wrong())?;
        Ok(Arc::new(Revision {
            arn: self.arn,
            name: self.name,
            definition_text: self.definition,
            role_arn: self.role_arn,
            logging: self.logging.to_value()?,
            tracing: self.tracing.to_value()?,
            updated: self.updated,
            id: self.id,
            definition,
        }))
    }
}

fn shared<T>(pool: &[Arc<T>], place: usize) -> Result<Arc<T>, serde_json::Error> {
    pool.get(place).cloned().ok_or_else(|| serde_json::Error::custom(format!("nothing is at place {place}")))
}

impl StateMachine {
    fn saved(&self, revisions: &mut Pool<Revision>) -> SavedMachine {
        SavedMachine {
            current: revisions.place(&self.current),
            created: self.created,
            tags: self.tags.clone(),
            deleting: self.deleting,
            encryption: self.encryption.as_ref().map(Json::from_value),
        }
    }
}

impl SavedMachine {
    fn restored(self, revisions: &[Arc<Revision>]) -> Result<StateMachine, serde_json::Error> {
        let encryption: Option<Value> = self.encryption.as_ref().map(Json::to_value).transpose()?;
        Ok(StateMachine {
            current: shared(revisions, self.current)?,
            created: self.created,
            tags: self.tags,
            deleting: self.deleting,
            encryption,
        })
    }
}

impl Execution {
    fn saved(&self, id: ExecutionId, revisions: &mut Pool<Revision>) -> SavedExecution<'_> {
        let mut variables = Pool::new();
        SavedExecution {
            id,
            arn: self.arn.clone(),
            name: self.name.clone(),
            machine: revisions.place(&self.machine),
            input: self.input.clone(),
            status: self.status,
            started: self.started,
            stopped: self.stopped,
            output: self.output.clone(),
            error: self.error.clone(),
            cause: self.cause.clone(),
            history: Cow::Borrowed(&self.history),
            branches: self.branches.iter().map(|(id, branch)| branch.saved(*id, &mut variables)).collect(),
            variables: variables.shared,
            next_branch: self.next_branch,
            timeout: self.timeout,
            doomed: self.doomed,
            tokens: Cow::Borrowed(&self.tokens),
        }
    }
}

impl SavedExecution<'_> {
    fn restored(self, revisions: &[Arc<Revision>]) -> Result<(ExecutionId, Execution), serde_json::Error> {
        let machine = shared(revisions, self.machine)?;
        let mut branches: BTreeMap<BranchId, Branch> = BTreeMap::new();
        for branch in self.branches {
            let graph = graph_of(&branch, &branches, &machine)
                .ok_or_else(|| serde_json::Error::custom(format!("a branch of {} has no place", self.arn)))?;
            let (id, branch) = branch.restored(graph, &self.variables)?;
            branches.insert(id, branch);
        }
        let execution = Execution {
            arn: self.arn,
            name: self.name,
            machine,
            input: self.input,
            status: self.status,
            started: self.started,
            stopped: self.stopped,
            output: self.output,
            error: self.error,
            cause: self.cause,
            history: self.history.into_owned(),
            branches,
            next_branch: self.next_branch,
            timeout: self.timeout,
            doomed: self.doomed,
            tokens: self.tokens.into_owned(),
        };
        Ok((self.id, execution))
    }
}

fn graph_of(branch: &SavedBranch, restored: &BTreeMap<BranchId, Branch>, machine: &Revision) -> Option<Arc<Graph>> {
    let Some(parent) = &branch.parent else {
        return (branch.id == ROOT).then(|| machine.definition.graph.clone());
    };
    let around = restored.get(&parent.branch)?;
    match &around.graph.states.get(around.state)?.kind {
        Kind::Parallel { branches } => branches.get(parent.index).cloned(),
        Kind::Map(map) => Some(map.processor.clone()),
        _ => None,
    }
}

impl Branch {
    fn saved(&self, id: BranchId, variables: &mut Pool<Variables>) -> SavedBranch {
        SavedBranch {
            id,
            parent: self.parent.clone(),
            state: self.state,
            input: self.input.clone(),
            entered: self.entered,
            entered_event: self.entered_event,
            last_event: self.last_event,
            retry_count: self.retry_count,
            attempts: self.attempts.clone(),
            waiting: self.waiting.clone(),
            variables: variables.place(&self.variables),
            inherited: self.inherited,
        }
    }
}

impl SavedBranch {
    fn restored(
        self,
        graph: Arc<Graph>,
        variables: &[Arc<Variables>],
    ) -> Result<(BranchId, Branch), serde_json::Error> {
        let branch = Branch {
            graph,
            parent: self.parent,
            state: self.state,
            input: self.input,
            entered: self.entered,
            entered_event: self.entered_event,
            last_event: self.last_event,
            retry_count: self.retry_count,
            attempts: self.attempts,
            waiting: self.waiting,
            variables: shared(variables, self.variables)?,
            inherited: self.inherited,
        };
        Ok((self.id, branch))
    }
}
