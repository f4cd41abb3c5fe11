//! The writer's connection, with all its statements prepared.

use std::collections::HashMap;

use futures::future::{BoxFuture, FutureExt as _, join_all, try_join_all};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error, Row, Statement, types::ToSql};
use tokio_util::task::TaskTracker;

use super::connection::Address;

/// Statements that are sent together and carried out in order, by one round trip. The database refuses all that follow a
/// failed one in a transaction.
pub(super) struct Pipeline<'a> {
    link: &'a Link,
    sent: Vec<BoxFuture<'a, Result<Vec<Row>, Error>>>,
}

/// A connection and its statements.
pub(super) struct Link {
    client: Client,
    driving: JoinHandle<()>,
    statements: HashMap<&'static str, Statement>,
}

impl Link {
    /// Connects and prepares statements.
    pub(super) async fn open(
        address: &Address,
        tasks: &TaskTracker,
        statements: &[&'static str],
    ) -> Result<Self, Error> {
        let (client, driving) = address.connect(tasks, None).await?;
        let prepared = try_join_all(statements.iter().map(|sql| client.prepare(sql))).await?;
        let statements = statements.iter().copied().zip(prepared).collect();
        Ok(Self { client, driving, statements })
    }

    pub(super) fn pipeline(&self) -> Pipeline<'_> {
        Pipeline { link: self, sent: Vec::new() }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Ends what was begun, whatever became of it.
    pub(super) async fn roll_back(&self) -> Result<(), Error> {
        self.client.batch_execute("ROLLBACK").await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl<'a> Pipeline<'a> {
    /// One of the prepared statements, if there is anything to ask for.
    pub(super) fn ask(&mut self, sql: &'static str, wanted: &mut Vec<String>) -> Option<usize> {
        (!wanted.is_empty()).then(|| self.run(sql, vec![param(std::mem::take(wanted))]))
    }

    /// One of the prepared statements; its place among the answers.
    pub(super) fn run(&mut self, sql: &'static str, params: Vec<Param<'a>>) -> usize {
        let link = self.link;
        let place = self.sent.len();
        self.sent.push(
            async move {
                let params: Vec<&(dyn ToSql + Sync)> =
                    params.iter().map(AsRef::as_ref).map(|param| param as _).collect();
                match link.statements.get(sql) {
                    Some(statement) => link.client.query(statement, &params).await,
                    None => link.client.query(sql, &params).await,
                }
            }
            .boxed(),
        );
        place
    }

    /// A statement without parameters and rows.
    pub(super) fn control(&mut self, sql: &'static str) {
        let client = &self.link.client;
        self.sent.push(async move { client.batch_execute(sql).await.map(|()| Vec::new()) }.boxed());
    }

    /// Sends them all; their rows, or the first error.
    pub(super) async fn send(self) -> Result<Vec<Vec<Row>>, Error> {
        // So few are polled, and so sent, in order.
        debug_assert!(self.sent.len() < 30);
        join_all(self.sent).await.into_iter().collect()
    }
}

/// A parameter of a statement.
pub(super) type Param<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// A parameter of a statement.
pub(super) fn param<'a>(value: impl ToSql + Sync + Send + 'a) -> Param<'a> {
    Box::new(value)
}
