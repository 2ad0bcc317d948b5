//! Fills the tables before a run, so that operations that are slow only with many rows are exercised.

use std::time::Instant;

use anyhow::Result;
use lockstep_domain::ids::KeyId;
use lockstep_store::fulfilment::keys::{HASH, place};
use lockstep_testkit::sqlx;
use lockstep_vault::Keys;
use sqlx::{AssertSqlSafe, Executor as _};
use uuid::Uuid;

use crate::database::Database;
use crate::{Volume, ground, say};

/// Every `EACH`-th order is delivered, and so has a sealed key.
const EACH: usize = 20;

/// Fills the tables of a database that has the schema and games.
pub(crate) async fn fill(database: &Database, volume: Volume) -> Result<()> {
    let (users, orders, looks) = match volume {
        Volume::Small => (200, 4_000, 3_000),
        Volume::Full => (20_000, 400_000, 300_000),
    };
    say(&format!(
        "filling the tables: {orders} orders, {looks} rows of one owner"
    ));
    let began = Instant::now();
    let mut connection = database.connect().await?;
    connection
        .execute("create table soak_keys (n bigint, id uuid, sealed bytea, hash bytea)")
        .await?;
    let keys = Keys::parse(ground::SECRET)?;
    let delivered: Vec<i64> = (1..=i64::try_from(orders / EACH)?).map(|n| n * 20).collect();
    for some in delivered.chunks(500) {
        let (mut ids, mut sealed, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for n in some {
            let (id, text) = (Uuid::new_v4(), format!("SOAK-OLD-{n}"));
            ids.push(id);
            sealed.push(keys.seal(&place(KeyId(id)), text.as_bytes()));
            hashes.push(keys.hash(HASH, &[text.as_bytes()]).to_vec());
        }
        sqlx::query("insert into soak_keys select * from unnest($1::bigint[], $2::uuid[], $3::bytea[], $4::bytea[])")
            .bind(some)
            .bind(ids)
            .bind(sealed)
            .bind(hashes)
            .execute(&mut connection)
            .await?;
    }
    let statements = include_str!("volume.sql")
        .replace("$USERS", &users.to_string())
        .replace("$ORDERS", &orders.to_string())
        .replace("$EACH", &EACH.to_string())
        .replace("$LOOKS", &looks.to_string());
    connection.execute(AssertSqlSafe(statements)).await?;
    say(&format!("filled in {} s", began.elapsed().as_secs()));
    Ok(())
}
