//! Today: figures of the shop, what needs a person, and the sales of 30 days.

use askama::Template;
use axum::response::Response;
use lockstep_admin::{CheckState, FirstStep, MAX_REPORT_DAYS, ReportDays, ReportError, ReservationFilter};
use lockstep_domain::admin::{Dashboard, EmailState, Page, RefundReport, ReportBy, SalesReport};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::i18n::Language;
use lockstep_page::{format, forms, page};

use crate::chart::Bars;
use crate::gate::StaffForm;
use crate::layout::{Layout, first_room};
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, Row, Table, machine};

/// A figure: name, value, what it means, and where it leads.
struct Figure {
    name: &'static str,
    value: String,
    note: String,
    href: Option<&'static str>,
}

/// What needs a person: kind, what happened, and the page where something can be done.
struct Alarm {
    title: String,
    detail: String,
    time: Option<(String, String)>,
    action: Option<(String, &'static str)>,
}

#[derive(Template)]
#[template(path = "today.html")]
struct TodayPage {
    layout: Layout,
    as_of: (String, String),
    first_day: Option<FirstDay>,
    figures: Vec<Figure>,
    alarms: Vec<Alarm>,
    chart: Option<Bars>,
    sales: Option<Table>,
    refunds: Option<Table>,
    top: Table,
    recent: Table,
}

/// What a real shop still needs: only for who may change the system.
struct FirstDay {
    /// The checks have not ended yet.
    is_waiting: bool,
    steps: Vec<Step>,
}

/// Something that a real shop needs: whether it works, what was found, and where to do something about it.
struct Step {
    name: &'static str,
    is_done: bool,
    /// What was seen is another program's text, which is English.
    is_foreign: bool,
    seen: String,
    remedy: Option<String>,
    href: Option<&'static str>,
}

/// The page of a member of staff who may open none of the rooms.
#[derive(Template)]
#[template(path = "nothing.html")]
struct NothingPage {
    layout: Layout,
}

/// `GET /admin`
pub(crate) async fn page(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    if !staff.may(Permission::DashboardRead) {
        return match first_room(&staff) {
            Some(room) => Ok(forms::done(room)),
            None => page::private(&NothingPage {
                layout: Layout::new(&staff, words.text("console.room.today").to_owned(), &[]),
            }),
        };
    }
    let dashboard = staff.office().dashboard(&staff.admin, staff.now).await?;
    let today = staff.office().today(staff.now).await?;
    let days = ReportDays::default().resolve(today, MAX_REPORT_DAYS);
    let days = days.map_err(|_| PageError::Internal)?;
    let sales = report(staff.office().sales(&staff.admin, ReportBy::Day, days).await)?;
    let refunds = report(staff.office().refunds(&staff.admin, days).await)?;
    let mut figures = figures(words, &dashboard);
    let alarms = alarms(&staff, &mut figures).await?;
    let page = TodayPage {
        layout: Layout::new(&staff, words.text("console.room.today").to_owned(), &[])
            .following("/admin/live/today".to_owned()),
        as_of: (machine(staff.now), format::moment(words, staff.now)),
        first_day: first_day(&staff).await?,
        figures,
        alarms,
        chart: sales.as_ref().map(|sales| chart(words, sales)),
        sales: sales.as_ref().map(|sales| table_of_sales(words, sales)),
        refunds: refunds.map(|refunds| table_of_refunds(words, &refunds)),
        top: top(words, &dashboard),
        recent: recent(&staff, &dashboard),
    };
    page::private(&page)
}

/// What the first day still lacks; `None` when it lacks nothing, and for who cannot do anything about it.
async fn first_day(staff: &Staff) -> Result<Option<FirstDay>, PageError> {
    if !staff.may(Permission::SystemWrite) {
        return Ok(None);
    }
    let (words, office) = (staff.words(), staff.office());
    let found = office.first_steps(&staff.admin, staff.state.shop.clock()).await;
    if found.is_empty() {
        let is_waiting = office.knows_itself();
        return Ok(is_waiting.then(|| FirstDay {
            is_waiting,
            steps: Vec::new(),
        }));
    }
    let mut steps: Vec<(FirstStep, Step)> = found
        .into_iter()
        .map(|(step, finding)| {
            let shown = Step {
                name: words.text(match step {
                    FirstStep::Supplier => "first.supplier",
                    FirstStep::Payments => "first.payments",
                    FirstStep::Mail => "first.mail",
                    FirstStep::Address => "first.address",
                    FirstStep::Legal => "first.legal",
                    FirstStep::Prices => "first.prices",
                    FirstStep::SecondFactor => "first.second_factor",
                    FirstStep::Backup => "first.backup",
                }),
                is_done: finding.state == CheckState::Well,
                is_foreign: finding.seen.is_verbatim(),
                seen: words.tell(&finding.seen),
                remedy: finding.remedy.map(|remedy| words.tell(&remedy)),
                href: match step {
                    FirstStep::Supplier => Some("/admin/system/g2a"),
                    FirstStep::Mail => Some("/admin/system/mail"),
                    FirstStep::Legal => Some("/admin/content/pages"),
                    FirstStep::SecondFactor => Some("/account/second-factor"),
                    FirstStep::Payments | FirstStep::Address | FirstStep::Prices | FirstStep::Backup => {
                        Some("/admin/system/settings")
                    }
                },
            };
            (step, shown)
        })
        .collect();
    let has_factor = office.has_second_factor(&staff.admin).await?;
    let factor = Step {
        name: words.text("first.second_factor"),
        is_done: has_factor,
        is_foreign: false,
        seen: if has_factor {
            words.text("first.second_factor.on")
        } else {
            words.text("first.second_factor.off")
        }
        .to_owned(),
        remedy: None,
        href: Some("/account/second-factor"),
    };
    steps.push((FirstStep::SecondFactor, factor));
    steps.sort_by_key(|(step, _)| *step);
    let lacks = steps.iter().any(|(_, step)| !step.is_done);
    Ok(lacks.then(|| FirstDay {
        is_waiting: false,
        steps: steps.into_iter().map(|(_, step)| step).collect(),
    }))
}

/// `POST /admin/first-day`: forgets what was checked; the page that follows checks anew.
pub(crate) async fn check_again(sent: StaffForm) -> Result<Response, PageError> {
    let staff = sent.staff;
    staff.office().forget_first_steps(&staff.admin);
    Ok(forms::done("/admin?done=checked"))
}

/// A report, or none while others are being made: the rest of the page is of use without it.
fn report<T>(report: Result<T, ReportError>) -> Result<Option<T>, PageError> {
    match report {
        Ok(report) => Ok(Some(report)),
        Err(ReportError::Busy | ReportError::TooSlow) => Ok(None),
        Err(ReportError::Store(error)) => Err(error.into()),
    }
}

fn figures(words: Language, dashboard: &Dashboard) -> Vec<Figure> {
    let price = |amount| format::price(words, amount);
    let margin = &dashboard.margin;
    vec![
        Figure {
            name: words.text("console.figure.revenue_today"),
            value: price(dashboard.revenue_today),
            note: words.with("console.figure.margin", price(margin.today)),
            href: None,
        },
        Figure {
            name: words.text("console.figure.revenue_week"),
            value: price(dashboard.revenue_this_week),
            note: words.with("console.figure.margin", price(margin.this_week)),
            href: None,
        },
        Figure {
            name: words.text("console.figure.revenue_month"),
            value: price(dashboard.revenue_this_month),
            note: words.with("console.figure.margin", price(margin.this_month)),
            href: None,
        },
        Figure {
            name: words.text("console.figure.in_progress"),
            value: format::number(words, dashboard.pending_orders),
            note: words.with_all(
                "console.figure.of_orders",
                &[
                    &format::number(words, dashboard.completed_orders),
                    &format::number(words, dashboard.total_orders),
                ],
            ),
            href: Some("/admin/orders?status=PROCESSING"),
        },
        Figure {
            name: words.text("console.figure.customers"),
            value: format::number(words, dashboard.total_users),
            note: words.with(
                "console.figure.new_today",
                format::number(words, dashboard.new_users_today),
            ),
            href: None,
        },
    ]
}

/// What needs a person, as far as the member of staff may see it; and the figures that belong to it.
async fn alarms(staff: &Staff, figures: &mut Vec<Figure>) -> Result<Vec<Alarm>, PageError> {
    let (words, office) = (staff.words(), staff.office());
    let time = |at| Some((machine(at), format::ago(words, at, staff.now)));
    let mut alarms = Vec::new();
    let some = Page { number: 1, size: 5 };
    let one = Page { number: 1, size: 1 };
    if staff.may(Permission::SupplierRead) {
        let sync = office.sync_status(&staff.admin, staff.now).await?;
        figures.push(Figure {
            name: words.text("console.figure.sync"),
            value: match sync.last_sync {
                Some(at) => format::ago(words, at, staff.now),
                None => words.text("console.figure.sync.never").to_owned(),
            },
            note: words.with_all(
                "console.figure.in_stock",
                &[
                    &format::number(words, sync.in_stock),
                    &format::number(words, sync.total_products),
                ],
            ),
            href: Some("/admin/supplier"),
        });
        let buying = office
            .reservations(&staff.admin, &ReservationFilter::default(), one)
            .await?;
        let oldest = buying.reservations.first();
        figures.push(Figure {
            name: words.text("console.figure.buying"),
            value: format::number(words, buying.paging.total),
            note: match oldest {
                Some(unit) => words.with("console.figure.oldest", format::ago(words, unit.created_at, staff.now)),
                None => words.text("console.figure.buying.none").to_owned(),
            },
            href: None,
        });
        for alarm in office.supplier_budget(&staff.admin).await?.alarms {
            alarms.push(Alarm {
                title: show::name(words, "alarm", &alarm.kind),
                detail: show::short(&alarm.detail, 200),
                time: time(alarm.since),
                action: Some(("/admin/supplier".to_owned(), words.text("console.alarm.look"))),
            });
        }
        let may_close = staff.may(Permission::SupplierWrite);
        let incidents = office.incidents(&staff.admin, Some(true), some).await?;
        let more = incidents.paging.total.saturating_sub(5);
        for incident in incidents.incidents {
            let close = format!("/admin/incidents/{}/close", incident.id);
            alarms.push(Alarm {
                title: show::name(words, "incident", &incident.kind),
                detail: show::short(&incident.detail, 200),
                time: time(incident.created_at),
                action: may_close.then(|| (close, words.text("console.incident.close"))),
            });
        }
        if more > 0 {
            alarms.push(Alarm {
                title: words.count("console.alarm.more", more),
                detail: String::new(),
                time: None,
                action: Some((
                    "/admin/incidents?state=open".to_owned(),
                    words.text("console.alarm.look"),
                )),
            });
        }
    }
    if staff.may(Permission::EmailRead) {
        let queue = office.email_queue(&staff.admin, EmailState::Waiting, one).await?;
        figures.push(Figure {
            name: words.text("console.figure.emails"),
            value: format::number(words, queue.counts.waiting),
            note: match queue.emails.first() {
                Some(email) => words.with("console.figure.oldest", format::ago(words, email.created_at, staff.now)),
                None => words.with("console.figure.emails.sent", format::number(words, queue.counts.sent)),
            },
            href: Some("/admin/emails"),
        });
        if queue.counts.failed > 0 {
            alarms.push(Alarm {
                title: words.count("console.alarm.emails", queue.counts.failed),
                detail: words.text("console.alarm.emails.detail").to_owned(),
                time: None,
                action: Some((
                    "/admin/emails?state=failed".to_owned(),
                    words.text("console.alarm.look"),
                )),
            });
        }
    }
    Ok(alarms)
}

fn chart(words: Language, sales: &SalesReport) -> Bars {
    let bars = sales.rows.iter().map(|row| {
        let value = format::price(words, row.revenue);
        (row.key.clone(), row.revenue.cents(), value)
    });
    Bars {
        title: words.with("console.chart.sales", format::price(words, sales.totals.revenue)),
        bars: bars.collect(),
    }
}

fn table_of_sales(words: Language, sales: &SalesReport) -> Table {
    let rows = sales.rows.iter().rev().map(|row| Row {
        href: None,
        cells: vec![
            Cell::Text(row.key.clone()),
            Cell::number(words, row.orders.unwrap_or_default()),
            Cell::money(words, row.sold),
            Cell::money(words, row.refunded),
            Cell::money(words, row.revenue),
        ],
    });
    let head = [
        "console.column.day",
        "#console.column.orders",
        "#console.column.sold",
        "#console.column.refunded",
        "#console.column.revenue",
    ];
    Table::plain(words, "console.today.sales", &head, rows.collect())
}

fn table_of_refunds(words: Language, refunds: &RefundReport) -> Table {
    let rows = refunds.rows.iter().map(|row| Row {
        href: None,
        cells: vec![
            Cell::Text(show::name(words, "refund_reason", &row.reason)),
            Cell::number(words, row.count),
            Cell::money(words, row.refunded),
        ],
    });
    let head = [
        "console.column.reason",
        "#console.column.count",
        "#console.column.refunded",
    ];
    Table::plain(words, "console.today.refunds", &head, rows.collect())
}

fn top(words: Language, dashboard: &Dashboard) -> Table {
    let rows = dashboard.top_selling_games.iter().map(|game| Row {
        href: None,
        cells: vec![
            Cell::Link(game.title.clone(), format!("/game/{}", game.slug)),
            Cell::number(words, game.sales_count),
            Cell::money(words, game.revenue),
        ],
    });
    let head = [
        "console.column.game",
        "#console.column.units",
        "#console.column.revenue",
    ];
    Table::plain(words, "console.today.top", &head, rows.collect())
}

fn recent(staff: &Staff, dashboard: &Dashboard) -> Table {
    let words = staff.words();
    let may_read = staff.may(Permission::OrdersRead);
    let rows = dashboard.recent_orders.iter().map(|order| Row {
        href: may_read.then(|| format!("/admin/orders/{}", order.id)),
        cells: vec![
            Cell::Main(order.user_email.clone()),
            Cell::money(words, order.total),
            show::order_cell(words, order.status),
            Cell::time(words, order.created_at),
        ],
    });
    let head = [
        "console.column.customer",
        "#console.column.total",
        "console.column.status",
        "console.column.placed",
    ];
    Table::plain(words, "console.today.recent", &head, rows.collect())
}
