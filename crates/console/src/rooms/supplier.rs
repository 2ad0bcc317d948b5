//! The supplier: synchronising now, its progress and history, the request budget, and incidents.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::{CloseError, JobKind, NewJob, Submitted};
use lockstep_domain::admin::{IncidentRow, JobRow, Page, SyncProgress, SyncRunRow};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;
use lockstep_page::{format, page};

use super::{found, id};
use crate::action::{self, ActionPage, Choice};
use crate::gate::StaffForm;
use crate::layout::Layout;
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, Filter, ListPage, Row, Table};

/// Rows of each list on the room's own page.
const SOME: Page = Page { number: 1, size: 10 };

/// How far the running synchronisation is.
struct Progress {
    text: String,
    done: u32,
    total: u32,
    can_cancel: bool,
}

#[derive(Template)]
#[template(path = "supplier.html")]
struct SupplierPage {
    layout: Layout,
    facts: Vec<(&'static str, String)>,
    alarms: Vec<(String, String)>,
    progress: Option<Progress>,
    may_write: bool,
    incidents: Table,
    jobs: Table,
    runs: Table,
}

/// `GET /admin/supplier`
pub(crate) async fn page(staff: Staff) -> Result<Response, PageError> {
    let (words, office) = (staff.words(), staff.office());
    let status = office.sync_status(&staff.admin, staff.now).await?;
    let progress = office.sync_progress(&staff.admin, staff.now).await?;
    let budget = office.supplier_budget(&staff.admin).await?;
    let metrics = office.supplier_metrics(&staff.admin).await?;
    let incidents = office.incidents(&staff.admin, Some(true), SOME).await?;
    let jobs = office.jobs(&staff.admin, SOME).await?;
    let runs = office.sync_runs(&staff.admin, SOME).await?;
    let number = |number: u64| format::number(words, number);
    let unknown = || words.text("console.unknown").to_owned();
    let mut facts = vec![
        (
            words.text("console.figure.sync"),
            status.last_sync.map_or_else(
                || words.text("console.figure.sync.never").to_owned(),
                |at| format::ago(words, at, staff.now),
            ),
        ),
        (
            words.text("console.supplier.in_stock"),
            words.with_all(
                "console.figure.in_stock",
                &[&number(status.in_stock), &number(status.total_products)],
            ),
        ),
        (
            words.text("console.supplier.budget"),
            match (budget.available, budget.capacity, budget.per_minute) {
                (Some(available), Some(capacity), Some(rate)) => words.with_all(
                    "console.supplier.budget.value",
                    &[
                        &number(available.into()),
                        &number(capacity.into()),
                        &number(rate.into()),
                    ],
                ),
                _ => unknown(),
            },
        ),
        (
            words.text("console.supplier.calls"),
            words.with_all(
                "console.supplier.calls.value",
                &[&number(metrics.requests_total), &number(metrics.requests_error)],
            ),
        ),
        (
            words.text("console.supplier.latency"),
            words.with_all(
                "console.supplier.latency.value",
                &[&metrics.latency_stats.p50, &metrics.latency_stats.p95],
            ),
        ),
        (
            words.text("console.supplier.workers"),
            number(u64::try_from(budget.workers.len()).unwrap_or(0)),
        ),
    ];
    for worker in budget.workers.iter().filter(|worker| worker.breaker != "closed") {
        facts.push((words.text("console.supplier.breaker"), worker.breaker.clone()));
    }
    if let Some(until) = budget.blocked_until.filter(|until| *until > staff.now) {
        facts.push((words.text("console.supplier.blocked"), format::moment(words, until)));
    }
    let page = SupplierPage {
        layout: Layout::new(&staff, words.text("console.room.supplier").to_owned(), &[])
            .following("/admin/live/supplier".to_owned()),
        facts,
        alarms: budget
            .alarms
            .iter()
            .map(|alarm| (show::name(words, "alarm", &alarm.kind), show::short(&alarm.detail, 300)))
            .collect(),
        progress: progress.in_progress.then(|| of_progress(&staff, &progress)),
        may_write: staff.may(Permission::SupplierWrite),
        incidents: incident_table(&staff, incidents.incidents),
        jobs: job_table(words, jobs.jobs),
        runs: run_table(words, runs.runs),
    };
    page::private(&page)
}

fn of_progress(staff: &Staff, progress: &SyncProgress) -> Progress {
    let words = staff.words();
    Progress {
        text: words.with_all(
            "console.supplier.progress",
            &[
                &format::number(words, progress.products_processed.into()),
                &format::number(words, progress.current_page.into()),
                &format::number(words, progress.total_pages.into()),
            ],
        ),
        done: progress.current_page,
        total: progress.total_pages,
        can_cancel: progress.job.is_some() && staff.may(Permission::SupplierWrite),
    }
}

fn job_table(words: Language, jobs: Vec<JobRow>) -> Table {
    let rows = jobs.into_iter().map(|job| Row {
        href: Some(format!("/admin/supplier/jobs/{}", job.id)),
        cells: vec![
            Cell::Main(show::name(words, "job", job.kind)),
            show::state_cell(words, "job_state", job.state),
            Cell::number(words, job.counts.synced.into()),
            Cell::number(words, job.counts.updated.into()),
            Cell::time(words, job.requested_at),
        ],
    });
    let head = [
        "console.column.kind",
        "console.column.state",
        "#console.column.products",
        "#console.column.changed",
        "console.column.requested",
    ];
    Table::plain(words, "console.supplier.jobs", &head, rows.collect())
}

fn run_table(words: Language, runs: Vec<SyncRunRow>) -> Table {
    let rows = runs.into_iter().map(|run| Row {
        href: None,
        cells: vec![
            Cell::Text(show::name(words, "run", run.kind)),
            show::state_cell(words, "job_state", run.status),
            Cell::number(words, run.counts.added.into()),
            Cell::number(words, run.counts.updated.into()),
            Cell::number(words, run.skipped.into()),
            Cell::time(words, run.started_at),
            Cell::text_or_none(run.stopped_by.map(|why| show::short(&why, 120))),
        ],
    });
    let head = [
        "console.column.kind",
        "console.column.state",
        "#console.column.added",
        "#console.column.changed",
        "#console.column.skipped",
        "console.column.started",
        "console.column.note",
    ];
    Table::plain(words, "console.supplier.runs", &head, rows.collect())
}

/// `GET /admin/supplier/runs`
pub(crate) async fn runs(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let runs = staff.office().sync_runs(&staff.admin, staff.page()).await?;
    ListPage {
        layout: Layout::new(
            &staff,
            words.text("console.supplier.runs").to_owned(),
            &[(words.text("console.room.supplier"), "/admin/supplier")],
        ),
        lead: None,
        actions: Vec::new(),
        table: run_table(words, runs.runs).paged(&staff, runs.paging),
    }
    .answer(&staff)
    .await
}

/// `GET /admin/supplier/sync`
pub(crate) async fn sync_page(staff: Staff) -> Result<Response, PageError> {
    sync_form(&staff, &Form::default())
}

fn sync_form(staff: &Staff, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text("console.supplier.sync").to_owned(),
            &[(words.text("console.room.supplier"), "/admin/supplier")],
        ),
        form,
        "/admin/supplier/sync".to_owned(),
        words.text("console.supplier.sync.submit"),
        "/admin/supplier".to_owned(),
    );
    page.warning = Some(words.text("console.supplier.sync.warning").to_owned());
    let chosen = form.value("kind");
    page.choices = vec![Choice {
        name: "kind",
        label: words.text("console.column.kind"),
        options: ["INCREMENTAL", "FULL"]
            .map(|kind| (kind.to_owned(), show::name(words, "job", kind), kind == chosen))
            .into(),
    }];
    page.fields = vec![
        form.field("product", "text", words.text("console.supplier.product"))
            .hint(words.text("console.supplier.product.hint")),
    ];
    page.answer(form)
}

/// `POST /admin/supplier/sync`
pub(crate) async fn sync(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let product = form.value("product").to_owned();
    let is_id = |id: &str| {
        id.len() <= 50
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let new = match (product.as_str(), form.value("kind")) {
        ("", "FULL") => NewJob::new(JobKind::Full),
        ("", _) => NewJob::new(JobKind::Incremental),
        (id, _) if is_id(id) => NewJob {
            products: vec![id.to_owned()],
            ..NewJob::new(JobKind::Products)
        },
        _ => {
            form.wrong("product", words.text("wrong.product_invalid"));
            return sync_form(&staff, &form);
        }
    };
    match staff.office().submit_job(&staff.admin, &new).await? {
        Submitted::New(job) | Submitted::Joined(job) => {
            return Ok(forms::done(&format!("/admin/supplier/jobs/{}", job.id)));
        }
        Submitted::Busy(_) => form.wrong("", words.text("wrong.sync_running")),
    }
    sync_form(&staff, &form)
}

/// `POST /admin/supplier/sync/cancel`
pub(crate) async fn cancel(sent: StaffForm) -> Result<Response, PageError> {
    let done = match sent.staff.office().cancel_sync(&sent.staff.admin).await? {
        Some(_) => "sync_cancelled",
        None => "no_sync",
    };
    Ok(forms::done(&format!("/admin/supplier?done={done}")))
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    layout: Layout,
    state: Cell,
    /// It goes on: the page shows itself again.
    is_open: bool,
    progress: Option<(u32, u32)>,
    facts: Vec<(&'static str, String)>,
    reason: Option<String>,
    faults: Option<Table>,
    log: Vec<String>,
    can_cancel: bool,
}

/// `GET /admin/supplier/jobs/{id}`
pub(crate) async fn job(staff: Staff, Path(job): Path<String>) -> Result<Response, PageError> {
    let words = staff.words();
    let job = found(staff.office().job_shown(&staff.admin, id(&job)?).await?)?;
    let is_open = matches!(job.state, "WAITING" | "RUNNING");
    let number = |number: u32| format::number(words, number.into());
    let facts = vec![
        (
            words.text("console.column.requested"),
            format::moment(words, job.requested_at),
        ),
        (words.text("console.column.products"), number(job.counts.synced)),
        (words.text("console.column.added"), number(job.counts.added)),
        (words.text("console.column.changed"), number(job.counts.updated)),
        (words.text("console.column.removed"), number(job.counts.removed)),
    ];
    let rows = job.counts.errors.iter().map(|fault| Row {
        href: None,
        cells: vec![Cell::Code(fault.product_id.clone()), Cell::Text(fault.error.clone())],
    });
    let rows: Vec<Row> = rows.collect();
    let head = ["console.column.product", "console.column.reason"];
    let page = JobPage {
        layout: Layout::new(
            &staff,
            show::name(words, "job", job.kind),
            &[(words.text("console.room.supplier"), "/admin/supplier")],
        )
        .following_job(format!("/admin/live/jobs/{}", job.id), is_open),
        state: show::state_cell(words, "job_state", job.state),
        is_open,
        progress: (job.products_total > 0).then_some((job.products_done, job.products_total)),
        facts,
        reason: job.reason,
        faults: (!rows.is_empty()).then(|| Table::plain(words, "console.job.faults", &head, rows)),
        log: job.log,
        can_cancel: is_open && !job.cancel_requested && staff.may(Permission::SupplierWrite),
    };
    page::private(&page)
}

fn incident_table(staff: &Staff, incidents: Vec<IncidentRow>) -> Table {
    let words = staff.words();
    let may_close = staff.may(Permission::SupplierWrite);
    let rows = incidents.into_iter().map(|incident| {
        let close = format!("/admin/incidents/{}/close", incident.id);
        let order = incident.order_id.filter(|_| staff.may(Permission::OrdersRead));
        Row {
            href: order.map(|order| format!("/admin/orders/{order}")),
            cells: vec![
                Cell::Main(show::name(words, "incident", &incident.kind)),
                Cell::Text(show::short(&incident.detail, 160)),
                incident.g2a_order_id.map_or(Cell::Nothing, Cell::Code),
                Cell::time(words, incident.created_at),
                match (incident.resolved_at, incident.note) {
                    (Some(_), Some(note)) => Cell::Text(note),
                    (Some(_), None) => Cell::Tag("good", words.text("console.incident.by_rule").to_owned()),
                    (None, _) if may_close => Cell::Action(close, words.text("console.incident.close")),
                    (None, _) => Cell::Tag("warn", words.text("console.incident.open").to_owned()),
                },
            ],
        }
    });
    let head = [
        "console.column.kind",
        "console.column.what",
        "console.column.g2a_order",
        "console.column.time",
        "console.column.note",
    ];
    Table::plain(words, "console.incidents.title", &head, rows.collect()).or_else(
        words,
        "console.incidents.none",
        "console.incidents.none.advice",
    )
}

/// `GET /admin/incidents`
pub(crate) async fn incidents(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let open = match staff.parameter("state").as_deref() {
        Some("open") => Some(true),
        Some("closed") => Some(false),
        _ => None,
    };
    let listed = staff.office().incidents(&staff.admin, open, staff.page()).await?;
    let filter = Filter::choice(
        &staff,
        "state",
        words.text("console.column.state"),
        show::choices(words, "incident_state", ["open", "closed"]),
    );
    let table = incident_table(&staff, listed.incidents)
        .filtered(&staff, vec![filter])
        .paged(&staff, listed.paging);
    ListPage {
        layout: Layout::new(
            &staff,
            words.text("console.incidents.title").to_owned(),
            &[(words.text("console.room.supplier"), "/admin/supplier")],
        ),
        lead: None,
        actions: Vec::new(),
        table,
    }
    .answer(&staff)
    .await
}

/// `GET /admin/incidents/{id}/close`
pub(crate) async fn close_page(staff: Staff, Path(incident): Path<String>) -> Result<Response, PageError> {
    id(&incident)?;
    close_form(&staff, &incident, &Form::default())
}

fn close_form(staff: &Staff, incident: &str, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text("console.incident.close").to_owned(),
            &[
                (words.text("console.room.supplier"), "/admin/supplier"),
                (words.text("console.incidents.title"), "/admin/incidents?state=open"),
            ],
        ),
        form,
        format!("/admin/incidents/{incident}/close"),
        words.text("console.incident.close"),
        "/admin/incidents?state=open".to_owned(),
    );
    page.warning = Some(words.text("console.incident.warning").to_owned());
    page.fields = vec![
        form.field("reason", "text", words.text("console.field.note"))
            .hint(words.text("console.field.note.hint"))
            .required(),
    ];
    page.answer(form)
}

/// `POST /admin/incidents/{id}/close`
pub(crate) async fn close(Path(incident): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, incident_id) = (staff.words(), id(&incident)?);
    if let Some(note) = action::reason(words, &mut form, true) {
        match staff.office().close_incident(&staff.admin, incident_id, &note).await {
            Ok(_) => return Ok(forms::done("/admin/incidents?state=open&done=incident_closed")),
            Err(CloseError::NotFound) => return Err(PageError::NotFound),
            Err(CloseError::Closed) => form.wrong("", words.text("wrong.incident_closed")),
            Err(CloseError::Store(error)) => return Err(error.into()),
        }
    }
    close_form(&staff, &incident, &form)
}
