//! Creates a catalogue of any size within minutes, by SQL: synchronising a million products would take hours of a
//! supplier's request budget, and the benchmarks measure reading.
//!
//! What triggers would have written is written by the same expressions, in bulk, and then compared with the triggers'
//! own results for a sample of games.

use anyhow::{Result, ensure};
use lockstep_testkit::sqlx::{self, AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::servers::Database;

const FILL: &str = include_str!("fill.sql");

/// Creates `games` games in an empty database, with statistics and visibility map as autovacuum would leave them.
pub(crate) async fn fill(database: &Database, games: usize) -> Result<()> {
    let mut connection = PgConnection::connect(&database.url).await?;
    connection
        .execute(AssertSqlSafe(FILL.replace("$COUNT", &games.to_string())))
        .await?;
    connection.close().await?;
    check(database, games).await?;
    database.sql.execute("vacuum (analyze)").await?;
    database.sql.execute("checkpoint").await?;
    Ok(())
}

/// Lets the triggers rewrite every thousandth game, and compares the results with the bulk data.
async fn check(database: &Database, games: usize) -> Result<()> {
    let mut tx = database.sql.begin().await?;
    for statement in [
        "create temporary table written on commit drop as
             select s.* from game_search s join games g on g.id = s.game_id where g.g2a_product_id like 'bench-%000'",
        "update games set title = title || 'x' where id in (select game_id from written)",
        "update games set title = left(title, -1) where id in (select game_id from written)",
    ] {
        sqlx::query(statement).execute(&mut *tx).await?;
    }
    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from written w join game_search s using (game_id)
          where (w.title, w.words) is distinct from (s.title, s.words)",
    )
    .fetch_one(&mut *tx)
    .await?;
    ensure!(wrong == 0, "{wrong} games are not indexed as their trigger would");
    let before: (i64, i64) = sqlx::query_as("select sum(listed)::bigint, sum(buyable)::bigint from catalog_totals")
        .fetch_one(&mut *tx)
        .await?;
    // Deleting games and counting the rest exercises the trigger's own arithmetic.
    let gone = sqlx::query("delete from games where g2a_product_id like 'bench-%0000'")
        .execute(&mut *tx)
        .await?;
    let after: (i64, i64, i64, i64) = sqlx::query_as(
        "select sum(listed)::bigint, sum(buyable)::bigint,
                (select count(*) from games where withdrawn_at is null),
                (select count(*) from games where withdrawn_at is null and in_stock and not is_preorder)
           from catalog_totals",
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.rollback().await?;
    ensure!(gone.rows_affected() > 0 || games < 10_000, "nothing was taken away");
    ensure!(
        (after.0, after.1) == (after.2, after.3),
        "totals of {before:?} became {after:?}"
    );
    Ok(())
}
