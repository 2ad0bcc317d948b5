//! Runs the steps of one unit. Each step depends on the recorded state alone, so resuming after a crash is the same as
//! continuing.

use std::time::Duration;

use lockstep_domain::Money;
use lockstep_domain::order::{RefundReason, UnitState};
use lockstep_failpoint::failpoint;
use lockstep_g2a::{Client, Code, CreatedOrder, Error, NewOrder};
use lockstep_store::fulfilment::incidents::{self, Incident};
use lockstep_store::fulfilment::{self as records, Unit, keys, unreadable};
use lockstep_store::{StoreError, Tx};
use rust_decimal::{Decimal, RoundingStrategy};

use crate::reading::{self, Stop};
use crate::rules::{self, AfterCreate, Compensation, CreateOutcome, DetailsOutcome, PayOutcome, Paying, WithoutKey};
use crate::{Fulfilment, Inner};

/// Result of a step.
pub(crate) enum Next {
    /// The unit has advanced and the worker keeps it.
    Continue,
    /// The unit waits, has ended, or belongs to another worker.
    Yield,
}

/// Interval between attempts for a preorder and for a game that is not available yet.
const LOOK_AGAIN: Duration = Duration::from_hours(1);

/// What an incident says of a game whose price is staff's and below what G2A asks; the lowest possible price follows.
const OFF_SALE: &str = "staff have set its price, so the game is off sale until the price is at least";

/// Runs one transaction of a step: its name, the values that it uses (cloned for each run), and its body, in which
/// `emails` is what e-mails may contain.
macro_rules! commit {
    ($inner:expr, $name:literal, [$($value:ident),*], |$tx:ident, $emails:ident| $body:expr) => {{
        let emails = $inner.emails.clone();
        $(let $value = $value.to_owned();)*
        $inner
            .store
            .tx($name, move |$tx: &mut Tx| {
                let $emails = emails.clone();
                $(let $value = $value.clone();)*
                Box::pin(async move {
                    let _unused = &$emails;
                    $body
                })
            })
            .await
    }};
}
pub(crate) use commit;

impl Fulfilment {
    /// Runs the step for the unit's state once.
    pub(crate) async fn step(&self, unit: &Unit) -> Result<Next, StoreError> {
        let is_unpaid = matches!(unit.state, UnitState::New | UnitState::Ordered);
        // What is not paid at G2A yet can still be refunded; a key that was paid for is fetched for nobody who is held.
        let is_cancelled = rules::is_cancelled(unit.cancel_asked, unit.is_replacement);
        if unit.is_held && (unit.state == UnitState::Paid || is_unpaid && !is_cancelled) {
            if is_unpaid && unit.is_owing {
                let why = "money of the buyer was taken back, goes back, or was reported as fraud";
                return self.end(unit, RefundReason::Cancelled, why).await;
            }
            self.hold(unit).await?;
            return Ok(Next::Yield);
        }
        match unit.state {
            UnitState::New => self.begin(unit).await,
            UnitState::Ordering => self.order(unit).await,
            UnitState::Ordered => self.pay(unit).await,
            UnitState::Paying => self.check_payment(unit).await,
            UnitState::Paid | UnitState::Fetching => self.fetch(unit).await,
            UnitState::Lost => self.compensate(unit).await,
            UnitState::Done | UnitState::Refunded => Ok(Next::Yield),
        }
    }

    /// `NEW`: waits for a preorder's release, sells a key from our own stock, and otherwise starts a purchase.
    async fn begin(&self, unit: &Unit) -> Result<Next, StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        if rules::is_cancelled(unit.cancel_asked, unit.is_replacement) {
            return self.end(unit, RefundReason::Cancelled, "cancelled").await;
        }
        // What was delivered once is out, whatever date the game has by now.
        if let Some(wait) = unit.out_in.filter(|_| !unit.is_replacement) {
            self.rest(unit, wait.min(LOOK_AGAIN), None).await?;
            return Ok(Next::Yield);
        }
        failpoint!("begin.own.before");
        let sold = commit!(inner, "fulfil.sell_own", [], |tx, emails| keys::sell_own(
            tx, lease, &emails
        )
        .await)?;
        failpoint!("begin.own.after");
        if sold.is_some() {
            metrics::counter!("lockstep_fulfilment_units_total", "end" => "own_stock").increment(1);
            return Ok(Next::Yield);
        }
        if unit.product.is_none() {
            if self.is_patient(unit) {
                self.rest(unit, LOOK_AGAIN, Some("no key in stock yet")).await?;
                return Ok(Next::Yield);
            }
            return self.end(unit, RefundReason::SoldOut, "not in stock").await;
        }
        if self.is_stopped(unit).await? {
            return Ok(Next::Yield);
        }
        failpoint!("ordering.intent.before");
        commit!(inner, "fulfil.begin_ordering", [], |tx, _l| records::begin_ordering(
            tx, lease
        )
        .await)?;
        failpoint!("ordering.intent.after");
        self.order(unit).await
    }

    /// `ORDERING`: creates an order at G2A. One that an earlier attempt may have created is unpaid and lapses.
    async fn order(&self, unit: &Unit) -> Result<Next, StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        let Some(product) = &unit.product else {
            return self.end(unit, RefundReason::SoldOut, "G2A has it no longer").await;
        };
        // A promo code's discount is paid by the shop, so the limit is based on the price before it.
        let floor = unit
            .list_price
            .checked_add(inner.settings.allowed_loss)
            .unwrap_or(unit.list_price);
        let asked = NewOrder {
            product_id: product.clone(),
            currency: "EUR".into(),
            max_price: Some(floor),
        };
        failpoint!("ordering.call.before");
        // The order belongs to the account that places it, whichever is in use when it is paid.
        let client = inner.client.pinned();
        let answer = client.create_order(&asked).await;
        failpoint!("ordering.call.after");
        let (seen, created, why) = match &answer {
            Ok(created) if created.currency != "EUR" => (
                CreateOutcome::Refused,
                None,
                format!("G2A wants to be paid in {}", created.currency),
            ),
            Ok(created) => match cents_up(created.price) {
                Some(price) if price <= floor => (CreateOutcome::Created, Some((created, price)), String::new()),
                Some(price) => {
                    self.correct_price(unit, created, price).await?;
                    (
                        CreateOutcome::OverMaxCost,
                        None,
                        format!("G2A asks {price} EUR, the shop asked {}", unit.list_price),
                    )
                }
                None => (CreateOutcome::Refused, None, "G2A asks a price that cannot be".into()),
            },
            Err(error) => {
                if let Some(stop) = Stop::of(error) {
                    return self.stopped(unit, stop, error).await;
                }
                let seen = if reading::nothing_done(error) {
                    CreateOutcome::NothingDone
                } else if error.outcome() == lockstep_g2a::Outcome::Refused {
                    self.why_refused(unit, product, floor).await?
                } else {
                    CreateOutcome::Unsure
                };
                (seen, None, error.to_string())
            }
        };
        let is_patient = self.is_patient(unit);
        // An outage is not the product's fault, so its attempts do not count as refusals.
        let (is_refusal, has_tries) = match seen {
            CreateOutcome::OverMaxCost | CreateOutcome::SoldOut | CreateOutcome::Refused => {
                (true, unit.refusals + 1 < inner.settings.refused_tries)
            }
            _ => (false, unit.attempts + 1 < inner.settings.unsure_tries),
        };
        match rules::after_create(seen, has_tries, is_patient) {
            AfterCreate::Record => {
                let Some((created, price)) = created else {
                    return Ok(Next::Yield);
                };
                self.record_order(unit, created, price, client.account()).await
            }
            AfterCreate::AskAgain => {
                let wait = answer.as_ref().err().and_then(reading::asked_to_wait);
                let failed = (seen == CreateOutcome::Unsure).then_some(why.as_str());
                self.rest(unit, wait.unwrap_or_else(|| self.backoff(unit.attempts)), failed)
                    .await?;
                Ok(Next::Yield)
            }
            AfterCreate::Anew => {
                let wait = if is_patient {
                    LOOK_AGAIN
                } else {
                    self.backoff(unit.refusals)
                };
                failpoint!("ordering.anew.before");
                commit!(inner, "fulfil.give_up", [why], |tx, _l| {
                    if is_refusal {
                        records::refused(tx, lease, wait, &why).await
                    } else {
                        records::give_up(tx, lease, wait, &why).await
                    }
                })?;
                failpoint!("ordering.anew.after");
                Ok(Next::Yield)
            }
            AfterCreate::Refund => self.end(unit, rules::refund_reason(seen), &why).await,
        }
    }

    /// Records the order as `ORDERED`, or returns to `NEW` when G2A gave the same id to another order.
    async fn record_order(
        &self,
        unit: &Unit,
        created: &CreatedOrder,
        price: Money,
        account: Option<String>,
    ) -> Result<Next, StoreError> {
        let lease = unit.lease;
        let id = created.order_id.clone();
        failpoint!("ordered.before");
        let recorded = commit!(self.0, "fulfil.ordered", [id, account], |tx, _l| records::ordered(
            tx,
            lease,
            &id,
            price,
            account.as_deref()
        )
        .await);
        failpoint!("ordered.after");
        match recorded {
            Ok(()) => Ok(Next::Continue),
            Err(error)
                if matches!(
                    error.constraint(),
                    Some("g2a_orders_pkey" | "order_units_g2a_order_id_key" | "orders_external_order_id_key")
                ) =>
            {
                let wait = Duration::from_millis(1_500);
                let why = "G2A gave the same id to two orders";
                commit!(self.0, "fulfil.give_up", [why], |tx, _l| records::give_up(
                    tx, lease, wait, &why
                )
                .await)?;
                Ok(Next::Yield)
            }
            Err(error) => Err(error),
        }
    }

    /// `ORDERED`: pays while the reservation lasts.
    async fn pay(&self, unit: &Unit) -> Result<Next, StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        let Some(id) = unit.g2a_order_id.clone() else {
            return Ok(Next::Yield);
        };
        if rules::is_cancelled(unit.cancel_asked, unit.is_replacement) {
            return self.end(unit, RefundReason::Cancelled, "cancelled").await;
        }
        // Not in the last minute of the reservation: the payment could arrive after its end.
        let in_time = inner
            .settings
            .reservation
            .saturating_sub(inner.settings.request_lifetime);
        if unit.ordered_for.is_some_and(|age| age >= in_time) {
            let why = "the reservation at G2A is over";
            failpoint!("ordered.lapse.before");
            commit!(inner, "fulfil.give_up", [why], |tx, _l| records::give_up(
                tx,
                lease,
                Duration::ZERO,
                &why
            )
            .await)?;
            failpoint!("ordered.lapse.after");
            return Ok(Next::Yield);
        }
        if self.is_stopped(unit).await? || self.leaves(unit).await? {
            return Ok(Next::Yield);
        }
        failpoint!("paying.intent.before");
        commit!(inner, "fulfil.begin_paying", [], |tx, _l| records::begin_paying(
            tx, lease
        )
        .await)?;
        failpoint!("paying.intent.after");
        self.send_payment(unit, &id).await
    }

    /// Makes the payment. Its intent is recorded, and no other payment can be in flight.
    async fn send_payment(&self, unit: &Unit, id: &str) -> Result<Next, StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        failpoint!("paying.call.before");
        let answer = inner.client_of(unit).pay(id).await;
        failpoint!("paying.call.after");
        let (seen, transaction) = match &answer {
            Ok(payment) if payment.accepted => (PayOutcome::Accepted, payment.transaction_id.clone()),
            Ok(_) => (PayOutcome::Unsure, None),
            Err(error) => (reading::pay(error), None),
        };
        match rules::after_pay(seen) {
            Paying::Paid => {
                failpoint!("paid.before");
                commit!(inner, "fulfil.paid", [transaction], |tx, _l| records::paid(
                    tx,
                    lease,
                    transaction.as_deref()
                )
                .await)?;
                failpoint!("paid.after");
                metrics::counter!("lockstep_fulfilment_payments_total").increment(1);
                Ok(Next::Continue)
            }
            Paying::NotPaid => {
                let Err(error) = &answer else { return Ok(Next::Yield) };
                let stop = Stop::of(error);
                if self.reports_account(unit, error).await? {
                    let (why, wait) = (error.to_string(), inner.settings.alarm_retry);
                    commit!(inner, "fulfil.not_paid", [why], |tx, _l| records::not_paid(
                        tx, lease, wait, &why
                    )
                    .await)?;
                    return Ok(Next::Yield);
                }
                if let Some(stop) = stop {
                    incidents::raise_alarm(
                        &inner.store,
                        stop.kind(),
                        &error.to_string(),
                        inner.settings.alarm_retry,
                    )
                    .await?;
                }
                let wait = match stop {
                    Some(_) => inner.settings.alarm_retry,
                    None => reading::asked_to_wait(error).unwrap_or_else(|| self.backoff(unit.attempts)),
                };
                let why = error.to_string();
                failpoint!("not_paid.before");
                commit!(inner, "fulfil.not_paid", [why], |tx, _l| records::not_paid(
                    tx, lease, wait, &why
                )
                .await)?;
                failpoint!("not_paid.after");
                Ok(Next::Yield)
            }
            Paying::Look | Paying::PayAgain | Paying::GiveUp => {
                let why = answer
                    .as_ref()
                    .err()
                    .map_or_else(|| "G2A gives no definite answer".to_owned(), Error::to_string);
                if answer.as_ref().err().and_then(Error::code) == Some(&Code::PaymentTooLate) {
                    let wait = inner.settings.request_lifetime;
                    failpoint!("too_late.before");
                    commit!(inner, "fulfil.too_late", [why], |tx, _l| records::too_late(
                        tx, lease, wait, &why
                    )
                    .await)?;
                    failpoint!("too_late.after");
                    return Ok(Next::Yield);
                }
                self.rest(unit, self.backoff(0), Some(&why)).await?;
                Ok(Next::Yield)
            }
        }
    }

    /// `PAYING` with an unknown outcome: reads the order's details before anything else.
    async fn check_payment(&self, unit: &Unit) -> Result<Next, StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        let Some(id) = unit.g2a_order_id.clone() else {
            return Ok(Next::Yield);
        };
        failpoint!("look.call.before");
        let answer = inner.client_of(unit).order_details(&id).await;
        failpoint!("look.call.after");
        if let Err(error) = &answer
            && self.reports_account(unit, error).await?
        {
            let why = error.to_string();
            self.rest(unit, inner.settings.alarm_retry, Some(&why)).await?;
            return Ok(Next::Yield);
        }
        let seen = reading::details(&answer);
        let lifetime = inner.settings.request_lifetime;
        let doubtful = self.ages_are_doubtful().await?;
        let nothing_under_way = doubtful.is_none() && unit.paying_for.is_some_and(|age| age >= lifetime);
        let reservation_over = doubtful.is_none()
            && unit
                .ordered_for
                .is_some_and(|age| age >= inner.settings.reservation.saturating_add(lifetime));
        match rules::after_details(seen, nothing_under_way, reservation_over) {
            Paying::Paid => {
                failpoint!("look.paid.before");
                commit!(inner, "fulfil.paid", [], |tx, _l| records::paid(tx, lease, None).await)?;
                failpoint!("look.paid.after");
                Ok(Next::Continue)
            }
            Paying::PayAgain => {
                if self.leaves(unit).await? {
                    return Ok(Next::Yield);
                }
                failpoint!("paying.again.before");
                commit!(inner, "fulfil.pay_again", [], |tx, _l| records::pay_again(tx, lease)
                    .await)?;
                failpoint!("paying.again.after");
                self.send_payment(unit, &id).await
            }
            Paying::GiveUp => {
                let why = "G2A never took the money and no longer can";
                failpoint!("look.give_up.before");
                commit!(inner, "fulfil.give_up", [why, id], |tx, _l| {
                    if seen == DetailsOutcome::TakenBack {
                        let incident =
                            Incident::new("SUPPLIER_CANCELLED", "G2A cancelled an order while it was being paid");
                        incidents::add(tx, &incident.of(lease.unit).order(&id)).await?;
                    }
                    records::give_up(tx, lease, Duration::ZERO, &why).await
                })?;
                failpoint!("look.give_up.after");
                Ok(Next::Yield)
            }
            Paying::Look | Paying::NotPaid => {
                let why = match &answer {
                    Ok(details) => format!("G2A calls the order {:?} while it is being paid", details.status),
                    Err(error) => error.to_string(),
                };
                // Just after the time when it can be decided, not later.
                let left = unit.paying_for.map_or(lifetime, |age| lifetime.saturating_sub(age));
                let left = left.max(doubtful.unwrap_or_default());
                let mut wait = self.backoff(unit.attempts.min(4));
                if !left.is_zero() {
                    wait = wait.min(left + Duration::from_millis(10));
                }
                self.rest(unit, wait, Some(&why)).await?;
                Ok(Next::Yield)
            }
        }
    }

    /// `LOST`: no worker has turned up with the key, so the unit is compensated.
    async fn compensate(&self, unit: &Unit) -> Result<Next, StoreError> {
        let (inner, lease) = (&self.0, unit.lease);
        if let Some(left) = self.ages_are_doubtful().await? {
            // Unknown whether the grace period for a late key is over.
            self.rest(unit, left.max(inner.settings.lost_grace), None).await?;
            return Ok(Next::Yield);
        }
        let has_budget = unit.replacements < inner.settings.replacements;
        match rules::after_loss(has_budget, unit.cancel_asked, unit.is_replacement) {
            Compensation::Replace => {
                failpoint!("lost.replace.before");
                commit!(inner, "fulfil.bought_again", [], |tx, _l| records::bought_again(
                    tx, lease
                )
                .await)?;
                failpoint!("lost.replace.after");
                Ok(Next::Continue)
            }
            Compensation::Refund => {
                self.end(unit, RefundReason::KeyLost, "its key was lost at the supplier")
                    .await
            }
        }
    }

    /// Whether the unit is a preorder that the shop still waits for. Staff hear at once that a faulty key is not replaced.
    fn is_patient(&self, unit: &Unit) -> bool {
        let patience = self.0.settings.preorder_patience;
        !unit.is_replacement && unit.out_for.is_some_and(|since| since < patience)
    }

    /// Ends a unit for which no key was bought.
    async fn end(&self, unit: &Unit, cause: RefundReason, why: &str) -> Result<Next, StoreError> {
        match rules::without_key(unit.is_replacement) {
            WithoutKey::Refund => self.refund(unit, cause, why).await,
            WithoutKey::KeepFaultyKey => self.keep_faulty_key(unit, why).await,
        }
    }

    /// Gives the unit its faulty key again.
    async fn keep_faulty_key(&self, unit: &Unit, why: &str) -> Result<Next, StoreError> {
        let lease = unit.lease;
        failpoint!("faulty_key.before");
        commit!(self.0, "fulfil.keep_faulty_key", [why], |tx, emails| {
            records::keep_faulty_key(tx, lease, &why, &emails).await
        })?;
        failpoint!("faulty_key.after");
        metrics::counter!("lockstep_fulfilment_units_total", "end" => "not_replaced").increment(1);
        Ok(Next::Yield)
    }

    /// Refunds the unit's exact price.
    async fn refund(&self, unit: &Unit, cause: RefundReason, why: &str) -> Result<Next, StoreError> {
        let lease = unit.lease;
        failpoint!("refund.before");
        commit!(self.0, "fulfil.refund", [why], |tx, emails| records::refund(
            tx, lease, cause, &why, &emails
        )
        .await)?;
        failpoint!("refund.after");
        tracing::info!(unit = %lease.unit, order = %unit.order, "refunded a unit: {why}");
        metrics::counter!("lockstep_fulfilment_units_total", "end" => "refunded").increment(1);
        Ok(Next::Yield)
    }

    /// Postpones the unit by `wait` in its current state.
    pub(crate) async fn rest(&self, unit: &Unit, wait: Duration, failed: Option<&str>) -> Result<(), StoreError> {
        let (lease, failed) = (unit.lease, failed.map(str::to_owned));
        failpoint!("rest.before");
        commit!(self.0, "fulfil.postpone", [failed], |tx, _l| records::postpone(
            tx,
            lease,
            wait,
            failed.as_deref()
        )
        .await)?;
        failpoint!("rest.after");
        Ok(())
    }

    /// Postpones the unit of a buyer who is held. This is no failure, so it does not count as an attempt.
    async fn hold(&self, unit: &Unit) -> Result<(), StoreError> {
        let (lease, wait) = (unit.lease, self.0.settings.alarm_retry);
        let why = "money of the buyer is disputed, owed, or reported as fraud";
        failpoint!("rest.before");
        commit!(self.0, "fulfil.hold", [why], |tx, _l| records::hold(
            tx, lease, wait, &why
        )
        .await)?;
        failpoint!("rest.after");
        Ok(())
    }

    /// Postpones the unit while all purchases, or those of this game, are stopped. Returns whether it did.
    async fn is_stopped(&self, unit: &Unit) -> Result<bool, StoreError> {
        failpoint!("alarm.look");
        let game = unreadable::game_stops_for(&self.0.store, unit.game).await?;
        let all = incidents::buying_stops_for(&self.0.store).await?;
        let Some(wait) = all.max(game.map(|wait| wait.min(LOOK_AGAIN))) else {
            return Ok(false);
        };
        self.rest(unit, wait + Duration::from_millis(10), None).await?;
        Ok(true)
    }

    /// Releases the unit to other workers while this one cannot write keys to disk. Returns whether it did.
    pub(crate) async fn leaves(&self, unit: &Unit) -> Result<bool, StoreError> {
        if self.may_buy(self.0.settings.probe_every).await {
            return Ok(false);
        }
        self.rest(unit, Duration::ZERO, None).await?;
        Ok(true)
    }

    /// Raises the alarm and postpones the unit.
    pub(crate) async fn stopped(&self, unit: &Unit, stop: Stop, error: &Error) -> Result<Next, StoreError> {
        let (inner, retry) = (&self.0, self.0.settings.alarm_retry);
        failpoint!("alarm.raise.before");
        incidents::raise_alarm(&inner.store, stop.kind(), &error.to_string(), retry).await?;
        failpoint!("alarm.raise.after");
        self.rest(unit, retry, None).await?;
        Ok(Next::Yield)
    }

    /// Records an incident when a call failed because of the account that the unit's order belongs to, which is not the one
    /// in use: only its units wait then, and the others are bought. Returns whether it did.
    pub(crate) async fn reports_account(&self, unit: &Unit, error: &Error) -> Result<bool, StoreError> {
        let inner = &self.0;
        let Some(mark) = &unit.g2a_account else {
            return Ok(false);
        };
        let is_unknown = reading::is_unknown_account(error);
        if !is_unknown && (Stop::of(error).is_none() || inner.client.account().as_ref() == Some(mark)) {
            return Ok(false);
        }
        let what = if is_unknown {
            format!("it was ordered with the account {mark} at G2A, whose credentials are not known: enter them again")
        } else {
            format!("it was ordered with the account {mark} at G2A, which is not the active one: {error}")
        };
        let incident = Incident::new("SUPPLIER_ACCOUNT", what).of(unit.lease.unit);
        let incident = match &unit.g2a_order_id {
            Some(id) => incident.order(id),
            None => incident,
        };
        commit!(inner, "fulfil.account", [incident], |tx, _l| incidents::add(
            tx, &incident
        )
        .await)?;
        Ok(true)
    }

    /// Looks up the product to find out why its order was refused: no source lists the error codes.
    async fn why_refused(&self, unit: &Unit, product: &str, floor: Money) -> Result<CreateOutcome, StoreError> {
        let (inner, game) = (&self.0, unit.game);
        failpoint!("refused.look.before");
        let listed = inner.client.product(product).await;
        failpoint!("refused.look.after");
        Ok(match listed {
            Ok(found) if found.as_ref().is_none_or(|found| found.qty == Some(0)) => {
                commit!(inner, "fulfil.sold_out", [], |tx, _l| records::sold_out(tx, game).await)?;
                failpoint!("refused.sold_out");
                CreateOutcome::SoldOut
            }
            Ok(Some(found)) if found.min_price.is_some_and(|price| price > floor.decimal()) => {
                let pricing = inner.settings.pricing;
                if let Some(cost) = pricing.cost(found.min_price, found.retail_min_price) {
                    let of_unit = unit.lease.unit;
                    commit!(inner, "fulfil.asked_price", [], |tx, _l| {
                        if let Some(asked) = records::asked_price(tx, game, cost, &pricing).await?
                            && asked.is_off_sale
                        {
                            let price = asked.price;
                            let detail = format!("G2A asks more than {floor} EUR; {OFF_SALE} {price} EUR");
                            incidents::add(tx, &Incident::new("ABOVE_PRICE", detail).of(of_unit)).await?;
                        }
                        Ok::<_, StoreError>(())
                    })?;
                    failpoint!("refused.dearer");
                }
                CreateOutcome::OverMaxCost
            }
            Ok(_) | Err(_) => CreateOutcome::Refused,
        })
    }

    /// Corrects the game's price to what this order would have needed.
    async fn correct_price(&self, unit: &Unit, created: &CreatedOrder, asked: Money) -> Result<(), StoreError> {
        let (inner, lease, game) = (&self.0, unit.lease, unit.game);
        let pricing = inner.settings.pricing;
        let detail = format!(
            "G2A asked {asked} EUR for what the shop had sold for {}",
            unit.list_price
        );
        let order_id = &created.order_id;
        failpoint!("above.before");
        commit!(inner, "fulfil.above_price", [detail, order_id], |tx, _l| {
            let mut detail = detail;
            if let Some(asked) = records::asked_price(tx, game, asked.decimal(), &pricing).await?
                && asked.is_off_sale
            {
                detail = format!("{detail}; {OFF_SALE} {} EUR", asked.price);
            }
            let incident = Incident::new("ABOVE_PRICE", detail).of(lease.unit).order(&order_id);
            incidents::add(tx, &incident).await
        })?;
        failpoint!("above.after");
        Ok(())
    }
}

/// Rounds an amount up to whole cents, so that no price counts as less than it is.
fn cents_up(price: Decimal) -> Option<Money> {
    Money::new(price.round_dp_with_strategy(2, RoundingStrategy::AwayFromZero))
        .ok()
        .filter(|price| *price >= Money::ZERO)
}

impl Inner {
    /// The client of the account that a unit's order at G2A belongs to.
    pub(crate) fn client_of(&self, unit: &Unit) -> Client {
        self.client.of_account(unit.g2a_account.as_deref())
    }

    /// The hashes by which a key is found.
    pub(crate) fn hashes(&self, key: &str) -> Vec<[u8; 32]> {
        self.keys.hashes(keys::HASH, &[key.as_bytes()]).collect()
    }
}
