//! Jobs: what staff asked of the workers, how far it is, and what can be cancelled.

use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::JobCancelled;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::{format, forms};

use super::layout;
use crate::gate::StaffForm;
use crate::rooms::id;
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table};

/// `GET /admin/system/jobs`
pub(super) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let listed = staff.office().jobs(&staff.admin, staff.page()).await?;
    let may_cancel = staff.may(Permission::SupplierWrite);
    let rows = listed.jobs.into_iter().map(|job| {
        let is_open = matches!(job.state, "WAITING" | "RUNNING");
        Row {
            href: Some(format!("/admin/supplier/jobs/{}", job.id)),
            cells: vec![
                Cell::Main(show::name(words, "job", job.kind)),
                show::state_cell(words, "job_state", job.state),
                if job.products_total > 0 {
                    Cell::Number(format!(
                        "{} / {}",
                        format::number(words, job.products_done.into()),
                        format::number(words, job.products_total.into())
                    ))
                } else {
                    Cell::number(words, job.counts.synced.into())
                },
                Cell::time(words, job.requested_at),
                Cell::time_or_none(words, job.finished_at),
                Cell::text_or_none(job.reason.map(|why| show::short(&why, 120))),
                if is_open && may_cancel && !job.cancel_requested {
                    Cell::Post(
                        format!("/admin/system/jobs/{}/cancel", job.id),
                        words.text("system.jobs.cancel"),
                    )
                } else {
                    Cell::Nothing
                },
            ],
        }
    });
    let head = [
        "console.column.kind",
        "console.column.state",
        "#console.column.products",
        "console.column.requested",
        "system.column.ended",
        "console.column.note",
        "console.column.action",
    ];
    let mut actions = Vec::new();
    if may_cancel {
        actions.push((words.text("console.supplier.sync"), "/admin/supplier/sync".to_owned()));
    }
    ListPage {
        layout: layout(&staff, words.text("system.jobs").to_owned(), &[]),
        lead: Some(words.text("system.jobs.lead").to_owned()),
        actions,
        table: Table::plain(words, "system.jobs", &head, rows.collect())
            .paged(&staff, listed.paging)
            .or_else(words, "system.jobs.none", "system.jobs.none.advice"),
    }
    .answer(&staff)
    .await
}

/// `POST /admin/system/jobs/{id}/cancel`
pub(super) async fn cancel(Path(job): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let staff = sent.staff;
    let done = match staff.office().cancel_job(&staff.admin, id(&job)?).await? {
        None => "job_ended",
        Some(JobCancelled::Over(_)) => "job_cancelled",
        Some(JobCancelled::Requested(_)) => "job_stops",
    };
    Ok(forms::done(&format!("/admin/system/jobs?done={done}")))
}
