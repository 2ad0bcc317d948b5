//! Pages that follow what happens: an event for each change of what a page shows, as long as its reader may see it. The
//! page's script reads the page again; without scripts its link does.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use lockstep_domain::admin::Page;
use lockstep_domain::ids::OrderId;
use lockstep_domain::order::OrderStatus;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::session::PageUser;
use lockstep_shop::SessionWatch;
use uuid::Uuid;

use super::id;
use crate::edit::fingerprint;
use crate::staff::Staff;

/// Longest time between two looks. Whoever lost the permission sees nothing a second later.
const LOOK: Duration = Duration::from_millis(700);
/// Shortest time between two looks.
const CALM: Duration = Duration::from_millis(250);
/// Looks at the figures of the first page: every seventh, because they cost more than one thing's state.
const FIGURES: u32 = 7;
/// Interval of keep-alive lines on an idle stream, so that proxies do not close it.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Rows of lists whose change is an event.
const SOME: Page = Page { number: 1, size: 10 };

/// What a page follows.
#[derive(Debug, Clone, Copy)]
enum Topic {
    Today,
    Supplier,
    Job(Uuid),
    Order(OrderId),
    Bulk(Uuid),
    Prices,
    Diagnostics,
}

/// What a page shows, as a short name that changes with it; and whether nothing follows.
struct State {
    shown: String,
    is_over: bool,
}

impl State {
    fn of(shown: &impl std::fmt::Debug, is_over: bool) -> Self {
        Self {
            shown: fingerprint(&format!("{shown:?}")),
            is_over,
        }
    }
}

impl Topic {
    /// What there is now; `None` if it does not exist.
    async fn look(self, staff: &Staff) -> Result<Option<State>, PageError> {
        let (office, by, now) = (staff.office(), &staff.admin, staff.state.now());
        Ok(match self {
            Self::Today => {
                let dashboard = office.dashboard(by, now).await?;
                let incidents = if staff.may(Permission::SupplierRead) {
                    Some(office.incidents(by, Some(true), SOME).await?)
                } else {
                    None
                };
                Some(State::of(&(dashboard, incidents), false))
            }
            Self::Supplier => {
                let progress = office.sync_progress(by, now).await?;
                let incidents = office.incidents(by, Some(true), SOME).await?;
                let jobs = office.jobs(by, SOME).await?;
                Some(State::of(&(progress, incidents, jobs), false))
            }
            Self::Job(job) => {
                let job = office.job_shown(by, job).await?;
                job.map(|job| State::of(&job, !matches!(job.state, "WAITING" | "RUNNING")))
            }
            Self::Order(order) => office.order(by, order).await?.map(|order| {
                let is_open = matches!(order.status, OrderStatus::Pending | OrderStatus::Processing);
                State::of(&order, !is_open)
            }),
            Self::Bulk(bulk) => {
                let position = office.bulk_position(by, bulk).await?;
                position.map(|position| State::of(&position, !matches!(position.0.as_str(), "OPEN" | "UNDOING")))
            }
            Self::Prices => {
                let jobs = office.price_jobs(by, SOME).await?;
                let is_open = jobs.jobs.iter().any(|job| job.state == "OPEN");
                Some(State::of(&jobs, !is_open))
            }
            Self::Diagnostics => {
                let (last, is_running) = office.diagnosis(by);
                Some(State::of(&(last.map(|last| last.at), is_running), !is_running))
            }
        })
    }
}

/// A page that is open.
struct Follower {
    staff: Staff,
    watch: SessionWatch,
    permission: Permission,
    topic: Topic,
    told: Option<State>,
    looks: u32,
}

impl Follower {
    /// Whether the reader may still see what the page shows.
    async fn may_look(&mut self) -> bool {
        if !self.watch.goes_on().await {
            return false;
        }
        let may_still = self.staff.office().may_still(&self.staff.admin, self.permission).await;
        may_still.unwrap_or(false)
    }

    /// The next event: at once for the first, so that nothing is missed between the page and its stream. `None` at the end.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.told.as_ref().is_some_and(|told| told.is_over) {
            return None;
        }
        loop {
            if self.told.is_some() && !self.watch.wait(CALM, LOOK).await {
                return None;
            }
            if !self.may_look().await {
                return None;
            }
            let is_due = !matches!(self.topic, Topic::Today) || self.looks.is_multiple_of(FIGURES);
            self.looks = self.looks.wrapping_add(1);
            if !is_due {
                continue;
            }
            let state = self.topic.look(&self.staff).await.ok()??;
            if self.told.as_ref().is_none_or(|told| told.shown != state.shown) {
                let name = if state.is_over { "over" } else { "news" };
                self.told = Some(state);
                // Browsers ignore an event without data.
                return Some((Ok(Event::default().event(name).data(name)), self));
            }
        }
    }
}

async fn follow(staff: Staff, reader: PageUser, topic: Topic) -> Result<Response, PageError> {
    let permission = staff.needs.permission.ok_or(PageError::Internal)?;
    if topic.look(&staff).await?.is_none() {
        return Err(PageError::NotFound);
    }
    let follower = Follower {
        watch: reader.context.watch()?,
        staff,
        permission,
        topic,
        told: None,
        looks: 0,
    };
    let mut response = Sse::new(stream::unfold(follower, Follower::next))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Disables buffering in proxies, which would delay the events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// `GET /admin/live/today`
pub(crate) async fn today(staff: Staff, reader: PageUser) -> Result<Response, PageError> {
    follow(staff, reader, Topic::Today).await
}

/// `GET /admin/live/supplier`
pub(crate) async fn supplier(staff: Staff, reader: PageUser) -> Result<Response, PageError> {
    follow(staff, reader, Topic::Supplier).await
}

/// `GET /admin/live/jobs/{id}`
pub(crate) async fn job(staff: Staff, reader: PageUser, Path(job): Path<String>) -> Result<Response, PageError> {
    follow(staff, reader, Topic::Job(id(&job)?)).await
}

/// `GET /admin/live/orders/{id}`
pub(crate) async fn order(staff: Staff, reader: PageUser, Path(order): Path<String>) -> Result<Response, PageError> {
    follow(staff, reader, Topic::Order(OrderId(id(&order)?))).await
}

/// `GET /admin/live/bulk/{id}`
pub(crate) async fn bulk(staff: Staff, reader: PageUser, Path(bulk): Path<String>) -> Result<Response, PageError> {
    follow(staff, reader, Topic::Bulk(id(&bulk)?)).await
}

/// `GET /admin/live/prices`
pub(crate) async fn prices(staff: Staff, reader: PageUser) -> Result<Response, PageError> {
    follow(staff, reader, Topic::Prices).await
}

/// `GET /admin/live/diagnostics`
pub(crate) async fn diagnostics(staff: Staff, reader: PageUser) -> Result<Response, PageError> {
    follow(staff, reader, Topic::Diagnostics).await
}
