//! Several servers on one database, on real processes. They need PostgreSQL: `tests/run` has one.

mod database;
mod lease;
mod rounds;
