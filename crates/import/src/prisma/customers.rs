//! Keys in stock, and customers with their orders, keys, bookings and balances.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use lockstep_domain::account::Email;
use lockstep_domain::key_text::KeyText;
use lockstep_store::imports::{self, Booking, CustomerBatch, Item, Key, Order, StockKey, Unit, User};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::plan::{self, Copy, Known, NotPlanned, Planned, Waits};
use super::rows::{OldAddress, OldBooking, OldItem, OldKey, OldOrder, OldUser};
use super::{Work, line, own, seal};
use crate::{Finding, ImportError};

const USERS: &str = r#"select u.id, u.email, u."passwordHash" as password_hash, u.nickname, u."firstName" as first_name,
        u."lastName" as last_name, u.avatar, {m:u.balance} as balance, u.role = 'ADMIN' as is_admin,
        u."emailVerified" as email_verified, {t:u.createdAt} as created_at
   from users u
  where u.id > $1 and not ({guest})
    and ($2::timestamp is null or u."updatedAt" >= $2::timestamp
         or exists (select from transactions t where t."userId" = u.id and t."createdAt" >= $2::timestamp)
         or exists (select from orders o where o."userId" = u.id
                       and (o."createdAt" >= $2::timestamp or o."completedAt" >= $2::timestamp or o.status in ('PENDING', 'PROCESSING'))))
  order by u.id limit 1000"#;

const ADDRESSES: &str = r"select u.id, u.email, {t:u.createdAt} as created_at from users u
  where u.id > $1 and ($2::timestamp is null or true) and not ({guest}) order by u.id limit 5000";

const ORDERS: &str = r#"select o.id, o."userId" as user_id, o.status::text as status, {m:o.total} as total,
        o."paymentMethod" as payment_method, o."promoCode" as promo_code, {t:o.createdAt} as created_at,
        {t:o.completedAt} as completed_at, {external} as external
   from orders o where o."userId" = any ($1) order by o.id"#;

const ITEMS: &str = r#"select i.id, i."orderId" as order_id, i."gameId" as game_id, i.quantity, {m:i.price} as price
   from order_items i where i."orderId" = any ($1) order by i."orderId", i.id"#;

const KEYS: &str = r#"select k.id, k."gameId" as game_id, k.key, k."orderId" as order_id, k.activated,
        {t:k.activationDate} as activation_date, {t:k.createdAt} as created_at
   from game_keys k where k."orderId" = any ($1) order by k."createdAt", k.id"#;

const STOCK: &str = r#"select k.id, k."gameId" as game_id, k.key, k."orderId" as order_id, k.activated,
        {t:k.activationDate} as activation_date, {t:k.createdAt} as created_at
   from game_keys k where k.id > $1 and k."orderId" is null and ($2::timestamp is null or k."createdAt" >= $2::timestamp)
  order by k.id limit 1000"#;

fn bookings() -> String {
    format!(
        r#"select t.id, t."userId" as user_id, t."orderId" as order_id, t.type::text as kind, {} as signed, t.method,
                t.status::text as status, t.description, t."transactionHash" as hash, {{t:t.createdAt}} as created_at
           from transactions t where t."userId" = any ($1) order by t."createdAt", t.id"#,
        super::findings::SIGNED
    )
}

/// The address of a customer here.
struct Address {
    email: String,
    is_address: bool,
}

/// The normalised form of an address, as log-in looks it up.
fn normalised(text: &str) -> Option<String> {
    Email::of_existing_account(text)
        .ok()
        .map(|email| email.as_str().to_owned())
}

fn fingerprint(text: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(text)
}

fn is_bcrypt(hash: &str) -> bool {
    let is_form = |rest: &str| {
        rest.len() == 56
            && rest.as_bytes().iter().take(2).all(u8::is_ascii_digit)
            && rest.as_bytes().get(2) == Some(&b'$')
            && rest
                .bytes()
                .skip(3)
                .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/')
    };
    ["$2a$", "$2b$", "$2y$"]
        .iter()
        .any(|start| hash.strip_prefix(start).is_some_and(is_form))
}

impl Work<'_> {
    /// Keys without an order: stock.
    pub(super) async fn put_stock(&mut self) -> Result<(), ImportError> {
        let (since, mut after) = (self.options.since, String::new());
        let mut done = 0;
        loop {
            let rows: Vec<OldKey> = self.source.page(STOCK, &[after], since).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id.clone();
            done += rows.len();
            self.put_stock_rows(rows, false).await?;
            self.progress("game_keys", done);
        }
    }

    /// Stores keys as stock; those that a customer has seen count as used and are never sold.
    async fn put_stock_rows(&mut self, rows: Vec<OldKey>, are_used: bool) -> Result<(), ImportError> {
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            if self.double_keys.contains(&row.id) {
                self.table("game_keys").duplicates += 1;
                continue;
            }
            let Some(game) = self.games.get(&row.game_id).copied() else {
                self.skip("game_keys", "its game was not brought", 1);
                continue;
            };
            if row.key.trim().is_empty() || (!are_used && KeyText::new(&row.key).is_err()) {
                let why = KeyText::new(&row.key)
                    .err()
                    .map_or_else(String::new, |fault| fault.reason().to_owned());
                let proposal = "It is not brought. Enter it in the console when you have its whole text.";
                self.findings
                    .push(Finding::new("key_unreadable", row.id, why, proposal));
                self.skip("game_keys", "it is no key (key_unreadable)", 1);
                continue;
            }
            let activated = row.activated || are_used;
            let id = own("key", &row.id);
            let sealed = self.target().map(|(_, secrets, _)| seal(secrets, id, &row.key));
            keys.push(StockKey {
                foreign_id: row.id,
                id,
                game_id: game,
                sealed: sealed.as_ref().map(|sealed| sealed.sealed.clone()).unwrap_or_default(),
                hashes: sealed.map(|sealed| sealed.hashes).unwrap_or_default(),
                activated,
                activation_date: row.activation_date.filter(|_| activated),
                created_at: row.created_at,
            });
        }
        let many = u64::try_from(keys.len()).unwrap_or_default();
        let taken = match self.target() {
            Some((store, _, run)) => {
                u64::try_from(imports::put_keys(store, run, &keys).await?.len()).unwrap_or_default()
            }
            None => many,
        };
        let table = self.table("game_keys");
        table.taken += taken;
        table.duplicates += many - taken;
        Ok(())
    }

    /// The users whose address another one had first, with that user's id. Two passes, so that the addresses of all need not
    /// be held.
    async fn collisions(&mut self) -> Result<HashMap<String, String>, ImportError> {
        let mut prints: Vec<u64> = Vec::new();
        let mut after = String::new();
        loop {
            let rows: Vec<OldAddress> = self.source.page(ADDRESSES, &[std::mem::take(&mut after)], None).await?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.id);
            prints.extend(
                rows.iter()
                    .filter_map(|row| normalised(&row.email))
                    .map(|email| fingerprint(&email)),
            );
        }
        prints.sort_unstable();
        let doubles: HashSet<u64> = prints
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] if a == b => Some(*a),
                _ => None,
            })
            .collect();
        drop(prints);
        let mut groups: BTreeMap<String, Vec<_>> = BTreeMap::new();
        let mut after = String::new();
        while !doubles.is_empty() {
            let rows: Vec<OldAddress> = self.source.page(ADDRESSES, &[std::mem::take(&mut after)], None).await?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.id);
            for row in rows {
                if let Some(email) = normalised(&row.email).filter(|email| doubles.contains(&fingerprint(email))) {
                    groups.entry(email).or_default().push((row.created_at, row.id));
                }
            }
        }
        let mut later = HashMap::new();
        for (email, mut users) in groups {
            users.sort();
            let mut users = users.into_iter();
            let Some((_, first)) = users.next() else { continue };
            for (_, user) in users {
                let evidence = format!("User {first} has the same address, {email}, which keeps it.");
                let proposal = "This account is brought without an address that logs in. Move its balance and orders in the console.";
                self.findings
                    .push(Finding::new("email_collision", &user, evidence, proposal));
                later.insert(user, first.clone());
            }
        }
        Ok(later)
    }

    pub(super) async fn put_customers(&mut self) -> Result<(), ImportError> {
        let later = self.collisions().await?;
        let (since, mut after, mut done) = (self.options.since, String::new(), 0);
        let bookings = bookings();
        loop {
            let users: Vec<OldUser> = self.source.page(USERS, &[after], since).await?;
            let Some(last) = users.last() else { break };
            after = last.id.clone();
            done += users.len();
            self.put_batch(users, &later, &bookings).await?;
            self.progress("users", done);
        }
        if since.is_some() {
            self.notes
                .push("With --since, rows of customers without a change since are counted as refused.".into());
        }
        Ok(())
    }

    async fn put_batch(
        &mut self,
        users: Vec<OldUser>,
        later: &HashMap<String, String>,
        bookings: &str,
    ) -> Result<(), ImportError> {
        let foreign: Vec<String> = users.iter().map(|user| user.id.clone()).collect();
        let mut owners = self.owners(&users, &foreign, later).await?;
        let many_users = u64::try_from(users.len()).unwrap_or_default();
        let gone = owners.gone.len();
        let mut batch = CustomerBatch::default();
        for user in users {
            if let Some(id) = owners.ids.get(&user.id).copied() {
                let address = owners.addresses.remove(&user.id);
                batch.users.push(self.user(user, id, address));
            }
        }
        let orders: Vec<OldOrder> = self.source.rows(ORDERS, &[&foreign]).await?;
        let order_ids: Vec<String> = orders.iter().map(|order| order.id.clone()).collect();
        let items: Vec<OldItem> = self.source.rows(ITEMS, &[&order_ids]).await?;
        let keys: Vec<OldKey> = self.source.rows(KEYS, &[&order_ids]).await?;
        let old: Vec<OldBooking> = self.source.rows(bookings, &[&foreign]).await?;
        let mut items = grouped(items, |item| item.order_id.clone());
        let mut keys = grouped(keys, |key| key.order_id.clone().unwrap_or_default());
        let refunds = refunds_by_order(&old, &orders);
        let purchases: HashMap<&str, &OldBooking> = (old.iter())
            .filter(|booking| booking.kind == "PURCHASE")
            .filter_map(|booking| Some((booking.order_id.as_deref()?, booking)))
            .collect();
        let (mut left_over, mut many_items, mut many_keys) = (Vec::new(), 0_u64, 0_u64);
        // What the refunds that name an order are booked to, by the refund's id: the order and how much of it.
        let mut linked: HashMap<String, Vec<(Uuid, Decimal)>> = HashMap::new();
        let mut purchased: HashMap<String, (Uuid, Decimal)> = HashMap::new();
        let mut planned_orders = 0_u64;
        for order in &orders {
            let Some(user) = owners.ids.get(&order.user_id).copied() else {
                continue;
            };
            let items = items.remove(&order.id).unwrap_or_default();
            let keys = keys.remove(&order.id).unwrap_or_default();
            let is_double: Vec<bool> = keys.iter().map(|key| self.double_keys.contains(&key.id)).collect();
            self.table("game_keys").duplicates +=
                u64::try_from(is_double.iter().filter(|is| **is).count()).unwrap_or_default();
            let named = refunds.get(order.id.as_str()).map_or(&[][..], Vec::as_slice);
            let went_back: Decimal = named.iter().map(|refund| refund.signed).sum();
            let known = Known {
                order,
                items: &items,
                keys: &keys,
                is_double: &is_double,
                purchase: purchases.get(order.id.as_str()).copied(),
                refunds: went_back,
                games: &self.games,
                now: self.source.at,
            };
            let plan = match plan::plan(&known) {
                Ok(plan) => plan,
                Err(NotPlanned::Open) => {
                    self.skip("orders", "it is open and not paid yet; run the import again", 1);
                    self.skip(
                        "order_items",
                        "its order was not brought",
                        u64::try_from(items.len()).unwrap_or_default(),
                    );
                    continue;
                }
                Err(NotPlanned::Unpaid) => {
                    let evidence = format!("It is {} and nobody paid for it.", order.status);
                    let finding = Finding::new(
                        "order_unpaid",
                        &order.id,
                        evidence,
                        "None is needed: it is not brought.",
                    );
                    self.findings.push(finding.about(order.total));
                    self.skip("orders", "nobody paid for it (order_unpaid)", 1);
                    self.skip(
                        "order_items",
                        "its order was not brought",
                        u64::try_from(items.len()).unwrap_or_default(),
                    );
                    continue;
                }
                Err(NotPlanned::Impossible(why)) => {
                    let proposal =
                        "The order is not brought; its bookings are. Look at it in the other shop before you leave it.";
                    let evidence = format!("{} order: {why}.", order.status);
                    self.findings
                        .push(Finding::new("order_impossible", &order.id, evidence, proposal).about(order.total));
                    self.skip("orders", "it breaks a rule of the books (order_impossible)", 1);
                    self.skip(
                        "order_items",
                        "its order was not brought",
                        u64::try_from(items.len()).unwrap_or_default(),
                    );
                    left_over.extend(keys);
                    continue;
                }
            };
            planned_orders += 1;
            many_items += plan.items.len() as u64;
            self.table("order_items").duplicates += plan.merged;
            self.remarks(order, &plan, went_back);
            let id = own("order", &order.id);
            let mut rest = plan.refunded;
            for refund in named {
                let part = rest.min(refund.signed);
                if part > Decimal::ZERO {
                    linked.entry(refund.id.clone()).or_default().push((id, part));
                    rest -= part;
                }
            }
            purchased.insert(order.id.clone(), (id, order.total));
            many_keys += self.put_plan(&mut batch, order, (id, user), &plan, &keys);
            left_over.extend(plan.left_over.iter().filter_map(|place| keys.get(*place).cloned()));
        }
        let mut rows = 0_u64;
        for booking in &old {
            if let Some(user) = owners.ids.get(&booking.user_id).copied() {
                rows += u64::from(self.book(&mut batch, booking, user, &mut purchased, &linked));
            }
        }
        // Orders whose purchase is no row of the other shop.
        let lacking: HashSet<Uuid> = batch
            .bookings
            .iter()
            .filter(|b| b.kind == "PURCHASE")
            .filter_map(|b| b.order_id)
            .collect();
        let mut made = Vec::new();
        for order in &batch.orders {
            if !lacking.contains(&order.id) {
                made.push(Booking {
                    id: Uuid::new_v5(&order.id, b"purchase"),
                    user_id: order.user_id,
                    order_id: Some(order.id),
                    kind: "PURCHASE",
                    amount: -order.total,
                    method: Some("BALANCE".into()),
                    status: "COMPLETED",
                    description: None,
                    transaction_hash: None,
                    created_at: order.created_at,
                });
            }
        }
        let many_made = made.len() as u64;
        let many_bookings = (batch.bookings.len() + batch.refunds.len()) as u64;
        batch.bookings.extend(made);
        let wrote = match self.target() {
            Some((store, _, run)) => {
                let wrote = imports::put_customers(store, run, batch).await?;
                imports::Wrote {
                    bookings: wrote.bookings.min(many_bookings + many_made),
                    ..wrote
                }
            }
            None => imports::Wrote {
                users: many_users,
                orders: planned_orders,
                items: many_items,
                bookings: many_bookings + many_made,
                keys: many_keys,
            },
        };
        let gone = u64::try_from(gone).unwrap_or_default();
        let brought = many_users - gone;
        self.skip("users", "the account was brought before and is deleted here", gone);
        let table = self.table("users");
        table.taken += wrote.users;
        table.duplicates += brought - wrote.users.min(brought);
        let table = self.table("orders");
        table.taken += wrote.orders;
        table.duplicates += planned_orders - wrote.orders;
        let table = self.table("order_items");
        table.taken += wrote.items;
        table.duplicates += many_items - wrote.items;
        // A refund that is booked in two parts, and a purchase that was made up, are no rows of the other shop.
        let table = self.table("transactions");
        let all_new = wrote.bookings >= many_bookings + many_made;
        let new = if all_new { rows } else { wrote.bookings.min(rows) };
        table.taken += new;
        table.duplicates += rows - new;
        let table = self.table("game_keys");
        table.taken += wrote.keys;
        table.duplicates += many_keys - wrote.keys.min(many_keys);
        for key in &left_over {
            if !self.double_keys.contains(&key.id) {
                let order = key.order_id.clone().unwrap_or_default();
                let evidence = format!("Order {order} has no copy for it. It is stored as used, and never sold.");
                self.findings.push(Finding::new(
                    "key_unplaced",
                    &key.id,
                    evidence,
                    "Look whether the customer has it.",
                ));
            }
        }
        left_over.retain(|key| !self.double_keys.contains(&key.id));
        self.put_stock_rows(left_over, true).await
    }

    /// The ids and addresses here of a batch of users.
    async fn owners(
        &mut self,
        users: &[OldUser],
        foreign: &[String],
        later: &HashMap<String, String>,
    ) -> Result<Owners, ImportError> {
        let mut owners = Owners::default();
        let known = match self.target() {
            Some((store, _, run)) => imports::known(store, run.source, "user", foreign).await?,
            None => HashMap::new(),
        };
        let mut addresses = HashMap::new();
        for user in users.iter().filter(|user| !known.contains_key(&user.id)) {
            let id = own("user", &user.id);
            let email = normalised(&user.email).filter(|email| email.len() <= 254 && !later.contains_key(&user.id));
            let is_address = email.is_some();
            let email = email.unwrap_or_else(|| format!("moved-{id}@import.invalid"));
            if !is_address && !later.contains_key(&user.id) {
                let proposal = "The account is brought without an address that logs in. Set one in the console.";
                self.findings.push(Finding::new(
                    "address_invalid",
                    &user.id,
                    "Its text is no e-mail address.",
                    proposal,
                ));
            }
            if !is_bcrypt(&user.password_hash) {
                let proposal = "Its owner sets a password with \"Forgot password\".";
                self.findings.push(Finding::new(
                    "no_password",
                    &user.id,
                    "It has no bcrypt hash.",
                    proposal,
                ));
            }
            addresses.insert(user.id.clone(), Address { email, is_address });
            owners.ids.insert(user.id.clone(), id);
        }
        let (mut gone, mut here) = (HashSet::new(), HashMap::new());
        if let Some((store, ..)) = self.target() {
            let ids: Vec<Uuid> = known.values().copied().collect();
            gone = imports::gone(store, &ids).await?;
            let texts: Vec<String> = addresses.values().map(|address| address.email.clone()).collect();
            here = imports::of_addresses(store, &texts).await?;
        }
        for (user, id) in known {
            if gone.contains(&id) {
                owners.gone.insert(user);
            } else {
                owners.ids.insert(user, id);
            }
        }
        // An account of this shop with the address stands for the customer.
        for (user, address) in &addresses {
            if let (Some(id), true) = (here.get(&address.email), address.is_address) {
                owners.ids.insert(user.clone(), *id);
            }
        }
        owners.addresses = addresses;
        Ok(owners)
    }

    fn user(&self, user: OldUser, id: Uuid, address: Option<Address>) -> User {
        let picture = line(user.avatar).filter(|url| url.starts_with("https://") || url.starts_with("http://"));
        User {
            foreign_id: user.id,
            id,
            // A user who is here already is not stored again, and needs no address.
            email: address.map_or_else(|| format!("moved-{id}@import.invalid"), |address| address.email),
            password_hash: Some(user.password_hash).filter(|hash| is_bcrypt(hash)),
            nickname: line(user.nickname),
            first_name: line(user.first_name),
            last_name: line(user.last_name),
            avatar: picture,
            is_admin: user.is_admin,
            email_verified: user.email_verified,
            created_at: user.created_at.unwrap_or(self.source.at),
            balance: user.balance.max(Decimal::ZERO),
        }
    }

    /// What did not go as it should have, beside what the statements find.
    fn remarks(&mut self, order: &OldOrder, plan: &Planned, refunds: Decimal) {
        if plan.lacks_purchase {
            let evidence = "It was delivered, and no completed purchase names it.";
            let proposal = "A purchase is booked with the order, and the opening of the balance makes up for it.";
            self.findings
                .push(Finding::new("purchase_missing", &order.id, evidence, proposal).about(order.total));
        }
        let waits = |why: Waits| {
            plan.items
                .iter()
                .flat_map(|item| &item.copies)
                .any(|(copy, _)| *copy == Copy::Waiting(why))
        };
        if waits(Waits::RefundPart) {
            let evidence = format!("{} EUR of {} EUR went back.", refunds, order.total);
            let proposal = "Refund the rest in the console.";
            self.findings
                .push(Finding::new("refund_partial", &order.id, evidence, proposal).about(order.total - refunds));
        }
    }

    /// Adds a planned order to the batch. Returns how many keys it has.
    fn put_plan(
        &self,
        batch: &mut CustomerBatch,
        order: &OldOrder,
        (id, user): (Uuid, Uuid),
        plan: &Planned,
        keys: &[OldKey],
    ) -> u64 {
        let created_at = order.created_at.unwrap_or(self.source.at);
        let code = order.promo_code.as_ref().map(|code| code.trim().to_uppercase());
        let first = |ids: &str| {
            ids.split(',')
                .map(str::trim)
                .find(|id| !id.is_empty())
                .map(str::to_owned)
        };
        batch.orders.push(Order {
            foreign_id: order.id.clone(),
            id,
            user_id: user,
            status: plan.status,
            subtotal: plan.subtotal,
            discount: plan.discount,
            total: order.total,
            payment_method: line(order.payment_method.clone()),
            promo_code: code.filter(|code| self.promo_codes.contains(code)),
            external_order_id: order.external.as_deref().and_then(first),
            created_at,
            completed_at: order.completed_at,
        });
        let mut many = 0;
        for item in &plan.items {
            let item_id = own("order_item", &item.foreign);
            batch.items.push(Item {
                id: item_id,
                order_id: id,
                game_id: item.game,
                quantity: i32::try_from(item.copies.len()).unwrap_or(i32::MAX),
                price: item.price,
            });
            for (position, (copy, price)) in (1..).zip(&item.copies) {
                let unit = Uuid::new_v5(&item_id, format!("copy/{position}").as_bytes());
                let (state, why) = match copy {
                    // Where its key turns out to be here already, it waits as one whose key was shown twice.
                    Copy::Delivered(_) => ("DONE", Waits::KeyTwice.words()),
                    Copy::Refunded => ("REFUNDED", ""),
                    Copy::Waiting(why) => ("NEW", why.words()),
                };
                batch.units.push(Unit {
                    id: unit,
                    order_id: id,
                    order_item_id: item_id,
                    game_id: item.game,
                    position,
                    price_paid: *price,
                    state,
                    why: Some(why).filter(|why| !why.is_empty()),
                    created_at,
                });
                let Copy::Delivered(places) = copy else { continue };
                for (round, key) in places.iter().filter_map(|place| keys.get(*place)).enumerate() {
                    if batch.keys.len() <= round {
                        batch.keys.push(Vec::new());
                    }
                    many += 1;
                    let Some((_, secrets, _)) = self.target() else { continue };
                    let key_id = own("key", &key.id);
                    let sealed = seal(secrets, key_id, &key.key);
                    let at = key.created_at.unwrap_or(created_at);
                    if let Some(list) = batch.keys.get_mut(round) {
                        list.push(Key {
                            foreign_id: key.id.clone(),
                            id: key_id,
                            game_id: item.game,
                            order_id: id,
                            order_unit_id: unit,
                            sealed: sealed.sealed,
                            hash: sealed.hashes.into_iter().next().unwrap_or_default(),
                            activated: key.activated,
                            activation_date: key.activated.then(|| key.activation_date.unwrap_or(at)),
                            created_at: at,
                        });
                    }
                }
            }
        }
        many
    }

    /// Adds a booking to the batch. Returns whether there is something to book.
    fn book(
        &mut self,
        batch: &mut CustomerBatch,
        booking: &OldBooking,
        user: Uuid,
        purchased: &mut HashMap<String, (Uuid, Decimal)>,
        linked: &HashMap<String, Vec<(Uuid, Decimal)>>,
    ) -> bool {
        let id = own("transaction", &booking.id);
        let created_at = booking.created_at.unwrap_or(self.source.at);
        let row =
            |id: Uuid, order_id: Option<Uuid>, kind: &'static str, amount: Decimal, status: &'static str| Booking {
                id,
                user_id: user,
                order_id,
                kind,
                amount,
                method: line(booking.method.clone()),
                status,
                description: line(booking.description.clone()),
                transaction_hash: booking.hash.clone().filter(|hash| !hash.trim().is_empty()),
                created_at,
            };
        let status = match booking.status.as_str() {
            "COMPLETED" => "COMPLETED",
            "FAILED" => "FAILED",
            // Nothing here would end it.
            _ => "CANCELLED",
        };
        if booking.kind == "PURCHASE"
            && let Some((order, total)) = booking.order_id.as_ref().and_then(|order| purchased.remove(order))
        {
            batch
                .bookings
                .push(row(id, Some(order), "PURCHASE", -total, "COMPLETED"));
            return true;
        }
        let mut rest = booking.signed;
        if let Some(parts) = linked.get(&booking.id).filter(|_| status == "COMPLETED") {
            for (number, (order, part)) in parts.iter().enumerate() {
                let own = if number == 0 {
                    id
                } else {
                    Uuid::new_v5(&id, format!("part/{number}").as_bytes())
                };
                let mut refund = row(own, Some(*order), "REFUND", *part, status);
                refund.transaction_hash = refund.transaction_hash.filter(|_| number == 0);
                batch.refunds.push(refund);
                rest -= *part;
            }
            if rest > Decimal::ZERO {
                let mut more = row(Uuid::new_v5(&id, b"rest"), None, "REFUND", rest, status);
                more.transaction_hash = None;
                batch.refunds.push(more);
            }
            return true;
        }
        if rest == Decimal::ZERO {
            self.skip("transactions", "it moves nothing and has no order here", 1);
            return false;
        }
        let kind = match booking.kind.as_str() {
            _ if rest < Decimal::ZERO => "PURCHASE",
            "REFUND" => "REFUND",
            _ => "TOP_UP",
        };
        batch.bookings.push(row(id, None, kind, rest, status));
        true
    }
}

/// The customers of a batch.
#[derive(Default)]
struct Owners {
    /// The id here, of those that are brought.
    ids: HashMap<String, Uuid>,
    addresses: HashMap<String, Address>,
    /// Brought before, and deleted since.
    gone: HashSet<String>,
}

fn grouped<T>(rows: Vec<T>, key: impl Fn(&T) -> String) -> HashMap<String, Vec<T>> {
    let mut groups: HashMap<String, Vec<T>> = HashMap::new();
    for row in rows {
        groups.entry(key(&row)).or_default().push(row);
    }
    groups
}

/// The completed refunds that name an order of the same customer, in the column or in their description.
fn refunds_by_order<'a>(bookings: &'a [OldBooking], orders: &'a [OldOrder]) -> HashMap<&'a str, Vec<&'a OldBooking>> {
    let mut of_user: HashMap<&str, Vec<&str>> = HashMap::new();
    for order in orders {
        of_user.entry(&order.user_id).or_default().push(&order.id);
    }
    let mut named: HashMap<&str, Vec<&OldBooking>> = HashMap::new();
    for booking in bookings {
        if booking.kind != "REFUND" || booking.status != "COMPLETED" || booking.signed <= Decimal::ZERO {
            continue;
        }
        let orders = of_user.get(booking.user_id.as_str()).map_or(&[][..], Vec::as_slice);
        let text = booking.description.as_deref().unwrap_or_default();
        let order = match &booking.order_id {
            Some(id) => orders.iter().find(|order| *order == id),
            None => orders
                .iter()
                .filter(|order| text.contains(**order))
                .max_by_key(|order| order.len()),
        };
        if let Some(order) = order {
            named.entry(order).or_default().push(booking);
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::super::key_text;
    use super::*;

    #[test]
    fn addresses_have_the_form_that_log_in_looks_up() {
        for (text, form) in [
            (" ELIF.7@Example.com ", Some("elif.7@example.com")),
            ("no.such.person+Shop@GoogleMail.com", Some("nosuchperson@gmail.com")),
            ("\"odd one\"@example.com", Some("\"odd one\"@example.com")),
            ("nobody", None),
        ] {
            assert_eq!(normalised(text).as_deref(), form, "{text}");
        }
    }

    #[test]
    fn only_hashes_that_can_match_a_password_are_brought() {
        let hash = "$2b$04$VSkeWAYQW.zU1e/hj3rYUeZiy6vqRV.uysya1FixsLroqAcJKTdpK";
        assert!(is_bcrypt(hash) && is_bcrypt(&hash.replace("$2b", "$2y")) && is_bcrypt(&hash.replace("$2b", "$2a")));
        for wrong in [
            "",
            "x",
            &hash[..59],
            &hash.replace("$2b", "$2x"),
            &hash.replace("$04", "$4x"),
            "$argon2id$v=19$m=1",
        ] {
            assert!(!is_bcrypt(wrong), "{wrong}");
        }
    }

    #[test]
    fn keys_are_stored_in_the_form_of_those_that_staff_enter() {
        assert_eq!(key_text(" ABCD-EFGH \r\n"), "ABCD-EFGH");
        assert_eq!(key_text("ab"), "ab");
    }
}
