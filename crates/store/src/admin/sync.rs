//! The state of the catalogue's synchronisation with G2A.

use chrono::{DateTime, Utc};
use lockstep_domain::admin::{JobBrief, SyncProgress, SyncStatus};

use crate::jobs::{self, Job, JobKind, Lane};
use crate::row::how_many_of;
use crate::{Result, Tx};

/// A run that has recorded nothing for this time no longer counts as running, in seconds.
const SILENT: i32 = 120;

/// The state of the catalogue.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn status(tx: &mut Tx, now: DateTime<Utc>) -> Result<SyncStatus> {
    let row = sqlx::query!(
        r#"-- store.admin.sync.status
        select (select max(finished_at) from sync_runs where status = 'COMPLETED') as last_sync,
               (select count(*) from games where withdrawn_at is null and g2a_product_id is not null) as "products!",
               (select count(*) from games where withdrawn_at is null and g2a_product_id is not null and in_stock) as "in_stock!",
               exists (select 1 from sync_runs
                        where status = 'RUNNING' and updated_at > $1::timestamptz - make_interval(secs => $2))
                    or exists (select 1 from supplier_jobs where lane = 'CATALOGUE' and finished_at is null) as "running!""#,
        now,
        f64::from(SILENT)
    )
    .fetch_one(tx.conn())
    .await?;
    let (products, in_stock) = (how_many_of(row.products), how_many_of(row.in_stock));
    Ok(SyncStatus {
        last_sync: row.last_sync,
        total_products: products,
        in_stock,
        out_of_stock: products.saturating_sub(in_stock),
        sync_in_progress: row.running,
    })
}

/// The progress of the running synchronisation.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn progress(tx: &mut Tx, now: DateTime<Utc>) -> Result<SyncProgress> {
    let row = sqlx::query!(
        r#"-- store.admin.sync.progress
        select started_at, pages_read, coalesce(pages_total, 0) as "pages_total!", seen, skipped
          from sync_runs where status = 'RUNNING' and updated_at > $1::timestamptz - make_interval(secs => $2)
         order by started_at desc limit 1"#,
        now,
        f64::from(SILENT)
    )
    .fetch_optional(tx.conn())
    .await?;
    let job = jobs::open(tx, Lane::Catalogue).await?;
    let brief = job.as_ref().map(|job| JobBrief {
        id: job.id,
        kind: job.kind.as_str(),
        state: job.state.as_str(),
    });
    if let Some(job) = job.filter(|job| job.kind == JobKind::Products) {
        return Ok(of_products(&job, brief, now));
    }
    let Some(row) = row else {
        return Ok(SyncProgress {
            in_progress: brief.is_some(),
            job: brief,
            ..SyncProgress::default()
        });
    };
    let number = |column: i32| u32::try_from(column).unwrap_or(0);
    let (read, all, seen) = (number(row.pages_read), number(row.pages_total), number(row.seen));
    let started = row.started_at;
    Ok(SyncProgress {
        in_progress: true,
        current_page: read,
        total_pages: all,
        products_processed: seen,
        // Assumes the average number of products per page so far.
        products_total: seen
            .checked_div(read)
            .map_or(0, |a_page| a_page.saturating_mul(all).max(seen)),
        errors: number(row.skipped),
        started_at: Some(started),
        estimated_completion: now
            .signed_duration_since(started)
            .checked_div(i32::try_from(read).unwrap_or(i32::MAX))
            .and_then(|a_page| a_page.checked_mul(i32::try_from(all).unwrap_or(0)))
            .and_then(|whole| started.checked_add_signed(whole)),
        job: brief,
        ..SyncProgress::default()
    })
}

/// The progress of a job over some products, which has one run for each.
fn of_products(job: &Job, brief: Option<JobBrief>, now: DateTime<Utc>) -> SyncProgress {
    let all = u32::try_from(job.products.len()).unwrap_or(u32::MAX);
    let done = u32::try_from(job.done).unwrap_or(0);
    SyncProgress {
        in_progress: true,
        current_page: done,
        total_pages: all,
        products_processed: done,
        products_total: all,
        errors: u32::try_from(job.result.problems.len()).unwrap_or(u32::MAX),
        started_at: job.started_at,
        estimated_completion: job.started_at.and_then(|started| {
            let one = now
                .signed_duration_since(started)
                .checked_div(i32::try_from(done).ok()?)?;
            started.checked_add_signed(one.checked_mul(i32::try_from(all).ok()?)?)
        }),
        job: brief,
        ..SyncProgress::default()
    }
}
