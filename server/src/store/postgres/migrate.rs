//! The schema, brought up to date. Servers that start at once take turns.

use tokio_postgres::Client;

use super::connection::failed;
use crate::store::StoreError;

/// Each brings the schema from the version of its place to the next.
pub(super) const MIGRATIONS: [&str; 4] = [
    include_str!("schema/0001.sql"),
    include_str!("schema/0002_migration.sql"),
    include_str!("schema/0003_search.sql"),
    include_str!("schema/0004_messages.sql"),
];
/// The advisory lock of whoever migrates: "approve" as a number.
const LOCK: i64 = 0x61_7070_726f_7665;

/// The newest version.
#[cfg(test)]
pub(super) const NEWEST: usize = MIGRATIONS.len();

/// Brings the schema to the newest version.
pub(super) async fn migrate(client: &mut Client) -> Result<(), StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    transaction
        .batch_execute("CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL)")
        .await
        .map_err(failed)?;
    let row = transaction.query_one("SELECT coalesce(max(version), 0) FROM schema_version", &[]).await;
    let found: i64 = row.and_then(|row| row.try_get(0)).map_err(failed)?;
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    if found < known {
        for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
            transaction.batch_execute(migration).await.map_err(failed)?;
        }
        transaction.execute("DELETE FROM schema_version", &[]).await.map_err(failed)?;
        transaction.execute("INSERT INTO schema_version VALUES ($1)", &[&known]).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}
