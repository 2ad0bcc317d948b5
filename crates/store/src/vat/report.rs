//! The report of a quarter, and whether receipts and books agree.

use lockstep_domain::Money;
use lockstep_domain::admin::Exact;
use lockstep_domain::tax::{Quarter, Treatment, VatReport, VatReportRow};

use super::country_of;
use crate::row::{how_many_of, money_of};
use crate::{Result, Store, StoreError, Tx};

/// Receipts less credit notes that were issued in a quarter (UTC), by country, treatment and rate.
///
/// # Errors
/// [`StoreError`].
pub async fn quarter(tx: &mut Tx, quarter: Quarter) -> Result<VatReport> {
    let (from, end) = quarter.days();
    let rows = sqlx::query!(
        r#"-- store.vat.report.quarter
        select t.country, t.treatment, t.rate,
               t.treatment = 'STANDARD' and t.country is distinct from s.country as "is_oss!",
               count(*) filter (where r.kind = 'RECEIPT') as "receipts!",
               count(*) filter (where r.kind = 'CREDIT_NOTE') as "credit_notes!",
               sum(case r.kind when 'RECEIPT' then r.net else -r.net end) as "net!",
               sum(case r.kind when 'RECEIPT' then r.vat else -r.vat end) as "vat!",
               sum(case r.kind when 'RECEIPT' then r.gross else -r.gross end) as "gross!"
          from receipts r join order_taxes t on t.order_id = r.order_id join tax_settings s on s.version = t.settings
         where r.issued_at >= $1::date::timestamp at time zone 'UTC' and r.issued_at < $2::date::timestamp at time zone 'UTC'
         group by 1, 2, 3, 4 order by 4, 1, 2, 3"#,
        from,
        end
    )
    .fetch_all(tx.conn())
    .await?;
    let rows: Vec<VatReportRow> = rows
        .into_iter()
        .map(|row| {
            Ok(VatReportRow {
                country: country_of(&row.country)?,
                treatment: Treatment::of(&row.treatment)
                    .ok_or_else(|| StoreError::Schema(format!("unexpected treatment {:?}", row.treatment)))?,
                rate: Exact(row.rate),
                is_oss: row.is_oss,
                receipts: how_many_of(row.receipts),
                credit_notes: how_many_of(row.credit_notes),
                net: money_of(row.net)?,
                vat: money_of(row.vat)?,
                gross: money_of(row.gross)?,
            })
        })
        .collect::<Result<_>>()?;
    let sum = |part: fn(&VatReportRow) -> Money| {
        rows.iter()
            .try_fold(Money::ZERO, |sum, row| sum.checked_add(part(row)))
            .ok_or_else(|| StoreError::Schema("the receipts of a quarter do not fit".into()))
    };
    let (net, vat, gross) = (sum(|row| row.net)?, sum(|row| row.vat)?, sum(|row| row.gross)?);
    let to_review = sqlx::query_scalar!(
        r#"-- store.vat.report.to_review
        select count(*) as "count!" from order_taxes t join orders o on o.id = t.order_id
         where t.proof in ('INSUFFICIENT', 'CONTRADICTED', 'MISSING') and o.status = 'COMPLETED'
           and t.frozen_at >= $1::date::timestamp at time zone 'UTC' and t.frozen_at < $2::date::timestamp at time zone 'UTC'"#,
        from,
        end
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(VatReport {
        quarter: quarter.to_string(),
        from,
        to: end.pred_opt().unwrap_or(end),
        rows,
        net,
        vat,
        gross,
        to_review: how_many_of(to_review),
    })
}

/// Whether the receipts are what the books say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Completed orders that are taxed and have no receipt.
    pub missing: u64,
    /// Orders whose receipts less credit notes are not what the shop has kept of them.
    pub differing: u64,
}

/// Compares every receipt with the bookings of its order. Reads all of them.
///
/// # Errors
/// [`StoreError`].
pub async fn standing(store: &Store) -> Result<Standing> {
    let read = store.read(|tx| {
        Box::pin(async move {
            let row = sqlx::query!(
                r#"-- store.vat.report.standing
                with documented as (
                    select order_id, sum(case kind when 'RECEIPT' then gross else -gross end) as gross from receipts group by order_id),
                booked as (
                    select t.order_id, -sum(t.amount) as kept from transactions t
                     where t.status = 'COMPLETED' and t.order_id in (select order_id from documented) group by t.order_id)
                select (select count(*) from documented d left join booked b on b.order_id = d.order_id
                         where b.kept is distinct from d.gross) as "differing!",
                       (select count(*) from order_taxes t join orders o on o.id = t.order_id
                         where o.status = 'COMPLETED' and o.total > 0
                           and exists (select from order_units u where u.order_id = o.id and u.state <> 'REFUNDED' and u.price_paid > 0)
                           and not exists (select from receipts r where r.order_id = o.id)) as "missing!""#
            )
            .fetch_one(tx.uncached())
            .await?;
            Ok::<_, StoreError>(Standing {
                missing: how_many_of(row.missing),
                differing: how_many_of(row.differing),
            })
        })
    });
    Ok(read.await?.value)
}
