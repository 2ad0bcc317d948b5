//! Checkouts whose payment is on its way: one intent covers the top-up of what is missing and the order.
//!
//! The row is written with its top-up, before the payment provider is asked. Whatever credits or ends the top-up makes the row due
//! (a trigger), and [`settle`] acts on it: it places the order as if it were ordered then, for at most the total that was shown, or
//! records why not and writes an e-mail. Whatever dies meanwhile, the row is still due, or settled.
//!
//! Everything here locks the shopper's row first, as orders do, then the user's, then that of the checkout.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::cart::Principal;
use lockstep_domain::checkout::{Checkout, OrderLimits};
use lockstep_domain::consent::{AgreedWording, Consent, Wording};
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::{GameId, OrderId, TopUpId, UserId};
use lockstep_domain::pending_checkout::{CheckoutReason, CheckoutState, CheckoutView};
use lockstep_domain::purchase::PaymentStatus;
use lockstep_domain::tax::Country;
use lockstep_failpoint::failpoint;
use uuid::Uuid;

use crate::idempotency::Idempotency;
use crate::orders::{self, PlaceError, Placed};
use crate::row::{checkout_reason_of, checkout_state_of, how_many_of, money_of, nickname_of, payment_status_of};
use crate::top_ups::{self, CardOrigin, NewTopUp, TopUp};
use crate::{AsStoreError, Result, Store, StoreError, Subject, Tx, guests, mail};

/// How long the e-mail about an order that was not placed is worth sending.
const NOTICE: Duration = Duration::from_hours(72);

/// A checkout that is to be paid.
#[derive(Debug, Clone)]
pub struct NewCheckout {
    /// The shopper.
    pub user: UserId,
    /// What they order.
    pub checkout: Checkout,
    /// The highest payment that they have agreed to, EUR; `None`: whatever is missing.
    pub agreed: Option<Money>,
    /// The paid checkout that they were asked about, and which this one settles.
    pub after: Option<TopUpId>,
    /// The payment method that they chose.
    pub method: String,
    /// The payment provider; `None`: only the balance can pay.
    pub provider: Option<&'static str>,
    /// The caller's idempotency key.
    pub key: Option<Idempotency>,
    /// Of a payment by card, to which the rules against fraud apply.
    pub card: Option<CardOrigin>,
    /// Lowest and highest payment, EUR.
    pub limits: (Money, Money),
}

/// The result of [`begin`].
#[derive(Debug)]
pub enum Begun {
    /// The balance suffices: the order is placed.
    Placed(Placed),
    /// This has to be paid first.
    Pay(Box<top_ups::Begun>),
}

/// Why a checkout was not begun; then nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The order is not possible.
    #[error(transparent)]
    Place(PlaceError),
    /// The payment is not possible.
    #[error(transparent)]
    TopUp(top_ups::BeginError),
    /// No payment provider is configured.
    #[error("Top-ups are not available: this shop has no payment provider")]
    NoProvider,
    /// What is missing cannot be paid at once.
    #[error("The amount must be from {least} to {most} EUR")]
    Amount {
        /// Lowest amount, EUR.
        least: Money,
        /// Highest amount, EUR.
        most: Money,
    },
}

impl AsStoreError for BeginError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Place(error) => error.as_store_error(),
            Self::TopUp(error) => error.as_store_error(),
            Self::NoProvider | Self::Amount { .. } => None,
        }
    }
}

impl From<StoreError> for BeginError {
    fn from(error: StoreError) -> Self {
        Self::Place(error.into())
    }
}

impl From<sqlx::Error> for BeginError {
    fn from(error: sqlx::Error) -> Self {
        Self::Place(error.into())
    }
}

impl From<PlaceError> for BeginError {
    fn from(error: PlaceError) -> Self {
        Self::Place(error)
    }
}

impl From<top_ups::BeginError> for BeginError {
    fn from(error: top_ups::BeginError) -> Self {
        Self::TopUp(error)
    }
}

/// Places the order if the balance suffices. Otherwise writes the intent with the top-up of what is missing, or finds the one
/// written under the same idempotency key; of all callers with one key, one gets the lease to call the provider
/// ([`top_ups::begin`]). Those of the shopper that wait for a payment are not waited for any more, and
/// their payment pages are closed.
///
/// # Errors
/// [`BeginError`]; then nothing has changed.
pub async fn begin(store: &Store, new: NewCheckout, lease: Duration) -> Result<Begun, BeginError> {
    let new = std::sync::Arc::new(new);
    let asked = std::sync::Arc::clone(&new);
    let begun = store
        .tx_about(
            "pending_checkouts.begin",
            &subjects(new.user, &new.checkout),
            move |tx| {
                let asked = std::sync::Arc::clone(&asked);
                Box::pin(async move { begin_once(tx, &asked, lease).await })
            },
        )
        .await;
    begun.map_err(|error| match error {
        BeginError::Place(error) => BeginError::Place(error.named()),
        error => error,
    })
}

fn subjects(user: UserId, checkout: &Checkout) -> Vec<Subject<'_>> {
    [user.into()]
        .into_iter()
        .chain(checkout.items().iter().map(|item| item.game.into()))
        .chain(checkout.promo_code().map(Subject::Named))
        .collect()
}

async fn begin_once(tx: &mut Tx, new: &NewCheckout, lease: Duration) -> Result<Begun, BeginError> {
    let (user, checkout) = (new.user, &new.checkout);
    guests::lock(tx, Principal::User(user))
        .await?
        .ok_or(PlaceError::NoSuchUser)?;
    if let Some(key) = &new.key {
        if let Some(order) = orders::placed_before(tx, user, key, checkout).await? {
            return Ok(Begun::Placed(Placed::Before(order)));
        }
        if let Some(top_up) = begun_before(tx, new, key).await? {
            let provider = new.provider.ok_or(BeginError::NoProvider)?;
            let begun = top_ups::again(tx, top_up, provider, lease).await?;
            return Ok(Begun::Pay(Box::new(begun)));
        }
    }
    let total = orders::price(tx, user, checkout).await?.total;
    if let Some(expected) = checkout.expected_total().filter(|expected| total > *expected) {
        return Err(PlaceError::PriceRisen { expected, total }.into());
    }
    let missing = missing(tx, user, total).await?;
    // What costs nothing waits for no payment, whatever is owed.
    if !missing.is_positive() || !total.is_positive() {
        let placed = orders::place_once(tx, user, checkout, new.key.as_ref()).await?;
        if let Placed::Now(order) = &placed {
            answer(tx, new, Some(order.id)).await?;
        }
        return Ok(Begun::Placed(placed));
    }
    let provider = new.provider.ok_or(BeginError::NoProvider)?;
    let (least, most) = new.limits;
    let amount = missing.max(least);
    if amount > most {
        return Err(BeginError::Amount { least, most });
    }
    if new.agreed.is_some_and(|agreed| amount > agreed) {
        return Err(PlaceError::InsufficientBalance { total }.into());
    }
    let top_up = NewTopUp {
        user,
        amount,
        method: new.method.clone(),
        provider,
        key: new.key.as_ref().map(|key| key.as_str().to_owned()),
        card: new.card.clone(),
    };
    let begun = top_ups::begin_once(tx, &top_up, lease).await?;
    let top_ups::Begun::Ask { top_up, is_first: true } = &begun else {
        // The key is that of a top-up without an order.
        return Err(top_ups::BeginError::KeyReused.into());
    };
    write(tx, top_up.id, new, total).await?;
    // Their pages are closed next, so that nothing is paid twice. First the top-ups, as their credit does.
    sqlx::query!(
        "-- store.pending_checkouts.close
        update top_ups set redirect_url = null, closing_since = now(), not_before = now()
         where user_id = $1 and id <> $2 and status = 'PENDING' and closing_since is null
           and exists (select from pending_checkouts c where c.top_up_id = top_ups.id and c.state = 'WAITING')",
        user.0,
        top_up.id.0
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.pending_checkouts.replace
        update pending_checkouts set state = 'EXPIRED', reason = 'REPLACED', changed_at = now(), consent_source = null,
               consent_wording = null, consent_language = null, consent_address = null, consent_user_agent = null
         where user_id = $1 and state = 'WAITING' and top_up_id <> $2",
        user.0,
        top_up.id.0
    )
    .execute(tx.conn())
    .await?;
    answer(tx, new, None).await?;
    failpoint!("pay_directly.intent.written");
    Ok(Begun::Pay(Box::new(begun)))
}

/// What the balance lacks for `total`: what the user owes is settled first. Zero or less if it suffices.
async fn missing(tx: &mut Tx, user: UserId, total: Money) -> Result<Money, BeginError> {
    let missing = sqlx::query_scalar!(
        r#"-- store.pending_checkouts.missing
        select $2::numeric - balance
               + (select coalesce(sum(debt), 0) from disputes where user_id = $1)
               + (select coalesce(sum(debt), 0) from card_refunds where user_id = $1) as "missing!" from users where id = $1"#,
        user.0,
        total.decimal()
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(money_of(missing)?)
}

/// The intent that the user wrote with this key.
async fn begun_before(tx: &mut Tx, new: &NewCheckout, key: &Idempotency) -> Result<Option<TopUp>, BeginError> {
    let found = sqlx::query!(
        r#"-- store.pending_checkouts.begun_before
        select c.top_up_id, c.request_hash = $3 as "same!"
          from top_ups p join pending_checkouts c on c.top_up_id = p.id where p.user_id = $1 and p.idempotency_key = $2"#,
        new.user.0,
        key.as_str(),
        &new.checkout.digest()[..]
    )
    .fetch_optional(tx.conn())
    .await?;
    match found {
        None => Ok(None),
        Some(row) if row.same => Ok(top_ups::read(tx, TopUpId(row.top_up_id)).await?),
        Some(_) => Err(PlaceError::KeyReused.into()),
    }
}

/// Writes the intent of a top-up that this transaction has written.
async fn write(tx: &mut Tx, top_up: TopUpId, new: &NewCheckout, total: Money) -> Result<()> {
    let checkout = &new.checkout;
    let games: Vec<Uuid> = checkout.items().iter().map(|item| item.game.0).collect();
    let quantities: Vec<i32> = (checkout.items().iter())
        .map(|item| i32::try_from(item.quantity).unwrap_or(i32::MAX))
        .collect();
    let (country, consent) = (checkout.ip_country(), checkout.consent());
    let wording = consent.and_then(Consent::wording);
    sqlx::query!(
        "-- store.pending_checkouts.write
        insert into pending_checkouts (top_up_id, user_id, games, quantities, promo_code, total, markup, ip_country, request_hash,
                                       consent_source, consent_wording, consent_language, consent_address, consent_user_agent)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, left($14, 500))",
        top_up.0,
        new.user.0,
        &games,
        &quantities,
        checkout.promo_code(),
        total.decimal(),
        checkout.protected_markup(),
        country.as_ref().map(Country::as_str),
        &checkout.digest()[..],
        consent.map(Consent::source),
        wording.map(|wording| wording.version),
        wording.map(|wording| wording.language),
        wording.and_then(|wording| wording.address.as_deref()),
        wording.and_then(|wording| wording.user_agent.as_deref())
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Settles the checkout that the shopper was asked about: with this order, or by beginning another one.
async fn answer(tx: &mut Tx, new: &NewCheckout, order: Option<OrderId>) -> Result<()> {
    let Some(after) = new.after else { return Ok(()) };
    sqlx::query!(
        "-- store.pending_checkouts.answer
        update pending_checkouts set state = case when $3::uuid is null then 'ABANDONED' else 'PLACED' end, order_id = $3,
               reason = null, changed_at = now()
         where top_up_id = $1 and user_id = $2 and state = 'ASK'",
        after.0,
        new.user.0,
        order.map(|order| order.0)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A checkout whose payment is on its way, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCheckout {
    /// Its top-up.
    pub top_up: TopUp,
    /// Its state.
    pub state: CheckoutState,
    /// Why it ended without an order.
    pub reason: Option<CheckoutReason>,
    /// The order, once it is placed.
    pub order: Option<OrderId>,
    /// The total that was shown, EUR.
    pub total: Money,
    /// The promo code.
    pub promo_code: Option<String>,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
}

impl PendingCheckout {
    /// The view of its owner.
    pub fn view(&self) -> CheckoutView {
        let is_waiting = self.state == CheckoutState::Waiting;
        CheckoutView {
            id: Some(self.top_up.id),
            status: self.state,
            reason: self.reason,
            order_id: self.order,
            total: self.total,
            amount: self.top_up.amount,
            redirect_url: self.top_up.view().redirect_url.filter(|_| is_waiting),
            promo_code: self.promo_code.clone(),
            created_at: self.created_at,
        }
    }
}

/// The checkout of the top-up `id` of `user`; `None` if it has none, or is another user's.
///
/// # Errors
/// [`StoreError`].
pub async fn by_id(store: &Store, user: UserId, id: TopUpId) -> Result<Option<PendingCheckout>> {
    let row = sqlx::query!(
        "-- store.pending_checkouts.by_id
        select state, reason, order_id, total, promo_code, created_at from pending_checkouts where top_up_id = $1 and user_id = $2",
        id.0,
        user.0
    )
    .fetch_optional(store.alone())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let Some(top_up) = top_ups::by_id(store, user, id).await? else {
        return Ok(None);
    };
    Ok(Some(PendingCheckout {
        top_up,
        state: checkout_state_of(&row.state)?,
        reason: row.reason.as_deref().map(checkout_reason_of).transpose()?,
        order: row.order_id.map(OrderId),
        total: money_of(row.total)?,
        promo_code: row.promo_code,
        created_at: row.created_at,
    }))
}

/// Claims up to `most` due checkouts, the longest due first. Each is due again after a wait that doubles from ten seconds to an
/// hour, until it is settled.
///
/// # Errors
/// [`StoreError`].
pub async fn due(store: &Store, most: u32) -> Result<Vec<TopUpId>> {
    let ids = sqlx::query_scalar!(
        "-- store.pending_checkouts.due
        update pending_checkouts set attempts = attempts + 1,
               due_at = now() + make_interval(secs => least(3600, 10 * power(2, least(attempts, 9))))
         where top_up_id in (select top_up_id from pending_checkouts where due_at <= now()
                              order by due_at limit $1 for update skip locked)
        returning top_up_id",
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    Ok(ids.into_iter().map(TopUpId).collect())
}

/// The result of [`settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The order is placed.
    Placed(OrderId),
    /// It is paid and not placed: the shopper is asked.
    Ask(CheckoutReason),
    /// It was not paid.
    Expired,
    /// Nothing has happened that concerns it, or it was settled before.
    Nothing,
}

impl Settled {
    /// A stable name, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Placed(_) => "placed",
            Self::Ask(_) => "ask",
            Self::Expired => "expired",
            Self::Nothing => "nothing",
        }
    }
}

/// Acts on what has become of the payment of a checkout: places its order, asks the shopper, or records that it was not paid. Any
/// number of callers may do so at once.
///
/// # Errors
/// [`StoreError`]; then nothing has changed, and it is still due.
pub async fn settle(store: &Store, id: TopUpId) -> Result<Settled> {
    let Some(sent) = sent(store, id).await? else {
        return Ok(Settled::Nothing);
    };
    failpoint!("pay_directly.settle.before");
    let sent = std::sync::Arc::new(sent);
    let (user, given) = (sent.user, std::sync::Arc::clone(&sent));
    let done = store
        .tx_about("pending_checkouts.settle", &subjects(user, &sent.checkout), move |tx| {
            let given = std::sync::Arc::clone(&given);
            Box::pin(async move { settle_once(tx, id, &given).await })
        })
        .await
        .map_err(PlaceError::named);
    let reason = match done {
        Ok(settled) => return Ok(settled),
        Err(PlaceError::Store(error)) => return Err(error),
        Err(PlaceError::PriceRisen { .. }) => CheckoutReason::PriceRisen,
        Err(PlaceError::OutOfStock { .. }) => CheckoutReason::SoldOut,
        Err(PlaceError::NoSuchGame(_)) => CheckoutReason::Gone,
        Err(
            PlaceError::PromoCode(_)
            | PlaceError::PromoBelowCost { .. }
            | PlaceError::PromoNotHere
            | PlaceError::PromoMinimum { .. }
            | PlaceError::PromoFirstOrder,
        ) => CheckoutReason::PromoCode,
        Err(PlaceError::InsufficientBalance { .. }) => CheckoutReason::Balance,
        Err(PlaceError::TooMuch) => CheckoutReason::TooMuch,
        // The account was deleted meanwhile, which has ended it.
        Err(PlaceError::NoSuchUser | PlaceError::KeyReused) => return Ok(Settled::Nothing),
    };
    failpoint!("pay_directly.ask.before");
    let asked = store
        .tx_about("pending_checkouts.ask", &[user.into()], move |tx| {
            Box::pin(async move {
                if guests::lock(tx, Principal::User(user)).await?.is_none() {
                    return Ok::<_, StoreError>(Settled::Nothing);
                }
                ask(tx, id, CheckoutState::Waiting, reason).await
            })
        })
        .await?;
    failpoint!("pay_directly.ask.after");
    Ok(asked)
}

/// A checkout as it was sent.
struct Sent {
    user: UserId,
    checkout: Checkout,
}

async fn sent(store: &Store, id: TopUpId) -> Result<Option<Sent>> {
    let row = sqlx::query!(
        "-- store.pending_checkouts.sent
        select user_id, games, quantities, promo_code, total, markup, ip_country, consent_source, consent_wording, consent_language,
               consent_address, consent_user_agent
          from pending_checkouts where top_up_id = $1 and state in ('WAITING', 'EXPIRED')",
        id.0
    )
    .fetch_optional(store.alone())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let wanted = row
        .games
        .into_iter()
        .map(GameId)
        .zip(row.quantities.into_iter().map(i64::from));
    let mut checkout = Checkout::new(
        wanted,
        row.promo_code.as_deref(),
        Some(money_of(row.total)?),
        OrderLimits::CHECKED,
    )
    .map_err(|fault| StoreError::Schema(format!("an unexpected checkout: {fault}")))?
    .ordered_from(row.ip_country.as_deref().and_then(Country::new));
    if let Some(markup) = row.markup {
        checkout = checkout.not_below_cost(markup);
    }
    let consent = match row.consent_source.as_deref() {
        None => None,
        Some("front") => Some(Consent::Front),
        Some("development") => Some(Consent::Development),
        Some(_) => {
            let (version, code) = (row.consent_wording.as_deref(), row.consent_language.as_deref());
            // A newer version of the shop may have shown a newer wording; its worker places the order.
            let wording = version.and_then(Wording::of_version);
            let agreed = wording.and_then(|wording| Some((wording.version, wording.text(code?)?)));
            let (version, (language, text)) =
                agreed.ok_or_else(|| StoreError::Schema("a wording that this version does not know".into()))?;
            Some(Consent::Shopper(AgreedWording {
                version,
                language,
                text,
                address: row.consent_address,
                user_agent: row.consent_user_agent,
            }))
        }
    };
    Ok(Some(Sent {
        user: UserId(row.user_id),
        checkout: checkout.with_consent(consent),
    }))
}

async fn settle_once(tx: &mut Tx, id: TopUpId, sent: &Sent) -> Result<Settled, PlaceError> {
    guests::lock(tx, Principal::User(sent.user))
        .await?
        .ok_or(PlaceError::NoSuchUser)?;
    let row = sqlx::query!(
        r#"-- store.pending_checkouts.look
        select c.state, p.status::text as "status!" from pending_checkouts c join top_ups p on p.id = c.top_up_id
         where c.top_up_id = $1"#,
        id.0
    )
    .fetch_one(tx.conn())
    .await?;
    let settled = match (checkout_state_of(&row.state)?, payment_status_of(&row.status)?) {
        (CheckoutState::Waiting, PaymentStatus::Completed) => {
            let Placed::Now(order) = orders::place_once(tx, sent.user, &sent.checkout, None).await? else {
                return Err(StoreError::Schema("an order without a key was placed before".into()).into());
            };
            sqlx::query!(
                "-- store.pending_checkouts.placed
                update pending_checkouts set state = 'PLACED', order_id = $2, due_at = null, changed_at = now(),
                       consent_source = null, consent_wording = null, consent_language = null, consent_address = null,
                       consent_user_agent = null
                 where top_up_id = $1",
                id.0,
                order.id.0
            )
            .execute(tx.conn())
            .await?;
            failpoint!("pay_directly.placed");
            return Ok(Settled::Placed(order.id));
        }
        (CheckoutState::Waiting, PaymentStatus::Failed | PaymentStatus::Cancelled) => {
            sqlx::query!(
                "-- store.pending_checkouts.not_paid
                update pending_checkouts set state = 'EXPIRED', reason = 'NOT_PAID', due_at = null, changed_at = now(),
                       consent_source = null, consent_wording = null, consent_language = null, consent_address = null,
                       consent_user_agent = null
                 where top_up_id = $1",
                id.0
            )
            .execute(tx.conn())
            .await?;
            Settled::Expired
        }
        (CheckoutState::Expired, PaymentStatus::Completed) => {
            ask(tx, id, CheckoutState::Expired, CheckoutReason::Late).await?
        }
        (CheckoutState::Waiting | CheckoutState::Expired, _) => {
            sqlx::query!(
                "-- store.pending_checkouts.rest
                update pending_checkouts set due_at = null where top_up_id = $1",
                id.0
            )
            .execute(tx.conn())
            .await?;
            Settled::Nothing
        }
        (CheckoutState::Ask | CheckoutState::Placed | CheckoutState::Abandoned, _) => Settled::Nothing,
    };
    Ok(settled)
}

/// Records that the shopper has to be asked, and writes an e-mail about it; nothing if it is in another state than `from` by now.
/// The shopper's row is locked.
async fn ask(tx: &mut Tx, id: TopUpId, from: CheckoutState, reason: CheckoutReason) -> Result<Settled> {
    let row = sqlx::query!(
        "-- store.pending_checkouts.ask
        update pending_checkouts c set state = 'ASK', reason = $3, due_at = null, changed_at = now(), consent_source = null,
               consent_wording = null, consent_language = null, consent_address = null, consent_user_agent = null
          from users u
         where c.top_up_id = $1 and c.state = $2 and u.id = c.user_id
        returning c.user_id, c.total, u.email, u.nickname, u.balance",
        id.0,
        from.as_str(),
        reason.as_str()
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(Settled::Nothing) };
    let template = EmailTemplate::OrderNotPlaced {
        nickname: nickname_of(row.nickname),
        checkout: id.to_string(),
        reason,
        total: money_of(row.total)?,
        balance: money_of(row.balance)?,
    };
    mail::enqueue(tx, UserId(row.user_id), &row.email, &template, NOTICE).await?;
    failpoint!("pay_directly.asked");
    Ok(Settled::Ask(reason))
}

/// What `user` owes for disputes and refunds, EUR: the next payment settles it first.
///
/// # Errors
/// [`StoreError`].
pub async fn owed(store: &Store, user: UserId) -> Result<Money> {
    let owed = sqlx::query_scalar!(
        r#"-- store.pending_checkouts.owed
        select (select coalesce(sum(debt), 0) from disputes where user_id = $1)
               + (select coalesce(sum(debt), 0) from card_refunds where user_id = $1) as "owed!""#,
        user.0
    )
    .fetch_one(store.alone())
    .await?;
    money_of(owed)
}

/// How many checkouts were paid ten minutes ago or earlier and are not settled, and since when the oldest is.
///
/// # Errors
/// [`StoreError`].
pub async fn overdue(store: &Store) -> Result<(u64, Option<DateTime<Utc>>)> {
    let row = sqlx::query!(
        r#"-- store.pending_checkouts.overdue
        select count(*) as "count!", min(t.created_at) as since
          from pending_checkouts c join top_ups p on p.id = c.top_up_id join transactions t on t.id = p.transaction_id
         where c.due_at is not null and t.created_at < now() - interval '10 minutes'"#
    )
    .fetch_one(store.alone())
    .await?;
    Ok((how_many_of(row.count), row.since))
}
