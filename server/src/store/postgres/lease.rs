//! Which server does what is due. Each server has a lease, and holds slots; approvals belong to slots. What a server held
//! whose lease has ended is taken over by the next that looks.
//!
//! A lease that ended is never renewed. The server takes another one, with another number, so that what it began under
//! the first can be told from what it does under the second.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;

use super::{
    connection::failed,
    rows::{first, get},
};
use crate::store::{Revision, StoreError};

/// The advisory lock of whoever takes slots.
pub(super) const LOCK: i64 = 0x61_7070_726f_7666;

const INSERT: &str = "INSERT INTO servers (name, until)
    VALUES ($1, clock_timestamp() + $2 * interval '1 millisecond') RETURNING server";
const RENEW: &str = "UPDATE servers SET until = clock_timestamp() + $2 * interval '1 millisecond'
    WHERE server = $1 AND until > clock_timestamp() RETURNING server";
const RELEASE: &str = "UPDATE servers SET until = '-infinity' WHERE server = $1";
const TAKE_OVER: &str = "UPDATE slots s SET server = $1
    WHERE NOT EXISTS (SELECT FROM servers v WHERE v.server = s.server AND v.until > clock_timestamp()) RETURNING slot";
const MIGRATING: &str = "SELECT EXISTS (SELECT FROM migration WHERE NOT finished)";
/// A server without a slot gets a new one.
const NEW_SLOT: &str = "INSERT INTO slots (slot, server)
    SELECT coalesce(max(slot), 0) + 1, $1 FROM slots HAVING count(*) FILTER (WHERE server = $1) = 0";
const FORGET: &str = "DELETE FROM servers WHERE until < clock_timestamp() - interval '1 day'";
const FORGET_GROUPS: &str = "DELETE FROM groups g WHERE NOT EXISTS (SELECT FROM servers v WHERE v.server = g.server)";
const LOOK: &str = "SELECT h.revision, h.settings,
        (SELECT count(*) FROM servers WHERE until > clock_timestamp()),
        (SELECT count(*) FROM slots s WHERE NOT EXISTS
            (SELECT FROM servers v WHERE v.server = s.server AND v.until > clock_timestamp()))
    FROM head h";

/// What is seen of the database at a look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) revision: Revision,
    pub(super) settings: i64,
    /// Servers whose lease has not ended.
    pub(super) servers: i64,
    /// Slots that nobody has who may act.
    pub(super) free_slots: i64,
}

pub(super) async fn look(client: &Client) -> Result<Seen, StoreError> {
    let row = client.query_one(LOOK, &[]).await.map_err(failed)?;
    Ok(Seen { revision: get(&row, 0)?, settings: get(&row, 1)?, servers: get(&row, 2)?, free_slots: get(&row, 3)? })
}

/// A lease: its number, and until when it holds by this server's own clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub(super) server: i64,
    pub(super) until: Instant,
}

/// The part of a lease that is not used: clocks may differ in pace, and what is sent takes its time.
fn usable(length: Duration) -> Duration {
    length - length / 5
}

/// Takes a lease and a slot, and over what is free.
pub(super) async fn take(client: &mut Client, name: &str, length: Duration) -> Result<Lease, StoreError> {
    // Before it is asked for: the database's answer may take long.
    let asked = Instant::now();
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    let migrating = transaction.query_one(MIGRATING, &[]).await.map_err(failed)?;
    if get(&migrating, 0)? {
        return Err(StoreError::Migrating);
    }
    transaction.execute(FORGET, &[]).await.map_err(failed)?;
    transaction.execute(FORGET_GROUPS, &[]).await.map_err(failed)?;
    let row = transaction.query_one(INSERT, &[&name, &millis(length)]).await.map_err(failed)?;
    let server: i64 = get(&row, 0)?;
    transaction.execute(TAKE_OVER, &[&server]).await.map_err(failed)?;
    transaction.execute(NEW_SLOT, &[&server]).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(Lease { server, until: asked + usable(length) })
}

/// Takes over what is free; how many slots that were.
pub(super) async fn take_over(client: &mut Client, server: i64) -> Result<u64, StoreError> {
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    let taken = transaction.execute(TAKE_OVER, &[&server]).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(taken)
}

/// Renews a lease; `None` if it has ended.
pub(super) async fn renew(client: &Client, server: i64, length: Duration) -> Result<Option<Lease>, StoreError> {
    let asked = Instant::now();
    let renewed = first(client.query(RENEW, &[&server, &millis(length)]).await)?;
    Ok(renewed.map(|_| Lease { server, until: asked + usable(length) }))
}

/// Ends a lease: others take over at once.
pub(super) async fn release(client: &Client, server: i64) -> Result<(), StoreError> {
    client.execute(RELEASE, &[&server]).await.map(drop).map_err(failed)
}

fn millis(length: Duration) -> f64 {
    length.as_secs_f64() * 1_000.0
}
