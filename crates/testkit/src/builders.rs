//! Fixtures for tests, written in plain SQL and valid under every rule of the schema.
//!
//! A user's balance is booked as a top-up; an order comes with its items, units and purchase. Prices are text
//! (`"19.99"`), so that no amount passes through a float.

use uuid::Uuid;

use crate::TestDb;

/// A well-formed bcrypt hash of no known password.
pub const PASSWORD_HASH: &str = "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

/// An order as [`TestDb::order`] writes it: one item, paid from the balance, `PENDING`, every unit `NEW`.
#[derive(Debug, Clone)]
pub struct OrderRow {
    /// `orders.id`.
    pub id: Uuid,
    /// `order_items.id` of its only item.
    pub item: Uuid,
    /// `order_units.id`, one per unit.
    pub units: Vec<Uuid>,
}

impl TestDb {
    /// A game of the shop's own stock (not G2A's), in stock, with this `title`, `slug` and price, such as `"19.99"`.
    pub async fn game(&self, title: &str, slug: &str, price: &str) -> Uuid {
        self.id(
            "insert into games (title, slug, description, price, image, release_date)
             values ($1, $2, 'About ' || $1, $3::numeric, 'https://img.example/a.jpg', '2020-05-17Z') returning id",
            &[title, slug, price],
        )
        .await
    }

    /// A user with `email`, whose `balance` (`"0"`, `"100.00"`) is booked as one completed top-up.
    pub async fn user(&self, email: &str, balance: &str) -> Uuid {
        self.id(
            "with person as (
                 insert into users (email, password_hash, balance) values ($1, $2, $3::numeric) returning id),
             booked as (
                 insert into transactions (user_id, type, amount, status)
                 select id, 'TOP_UP', $3::numeric, 'COMPLETED' from person where $3::numeric > 0)
             select id from person",
            &[email, PASSWORD_HASH, balance],
        )
        .await
    }

    /// A guest session.
    pub async fn guest(&self) -> Uuid {
        self.id("insert into guest_sessions default values returning id", &[])
            .await
    }

    /// An order of `copies` units of `game` at its price, paid from the balance of `user`, which must suffice.
    pub async fn order(&self, user: Uuid, game: Uuid, copies: u32) -> OrderRow {
        self.order_with_id(Uuid::new_v4(), user, game, copies).await
    }

    /// Like [`order`](Self::order) with a given id, for tests that refer to the order before it exists.
    pub async fn order_with_id(&self, id: Uuid, user: Uuid, game: Uuid, copies: u32) -> OrderRow {
        let item = Uuid::new_v4();
        let mut tx = self.sql.begin().await.expect("begin");
        sqlx::query(
            "with bought as (select $3::uuid as user_id, id as game_id, price, price * $5 as total from games where id = $4),
             placed as (
                 insert into orders (id, user_id, subtotal, total, payment_method, payment_status)
                 select $1, user_id, total, total, 'BALANCE', 'COMPLETED' from bought),
             taken as (update users set balance = balance - total from bought where users.id = bought.user_id)
             insert into order_items (id, order_id, game_id, quantity, price) select $2, $1, game_id, $5, price from bought",
        )
        .bind(id)
        .bind(item)
        .bind(user)
        .bind(game)
        .bind(i32::try_from(copies).expect("a few copies"))
        .execute(&mut *tx)
        .await
        .expect("order");
        let units = sqlx::query_scalar(
            "insert into order_units (order_id, order_item_id, game_id, position, price_paid)
             select order_id, id, game_id, n, price from order_items, generate_series(1, quantity) n where id = $1
             returning id",
        )
        .bind(item)
        .fetch_all(&mut *tx)
        .await
        .expect("units");
        sqlx::query(
            "insert into transactions (user_id, order_id, type, amount, status)
             select user_id, id, 'PURCHASE', -total, 'COMPLETED' from orders where id = $1",
        )
        .bind(id)
        .execute(&mut *tx)
        .await
        .expect("purchase");
        tx.commit().await.expect("order adds up");
        OrderRow { id, item, units }
    }

    /// Makes `game` a G2A game, in stock there as `product`.
    pub async fn at_g2a(&self, game: Uuid, product: &str) {
        self.id(
            "update games set g2a_product_id = $2, in_stock = true, g2a_stock = true where id = $1::uuid returning id",
            &[&game.to_string(), product],
        )
        .await;
    }

    /// A promo code with `percent` discount that may be used `max_uses` times.
    pub async fn promo_code(&self, code: &str, percent: u32, max_uses: Option<u32>) {
        self.execute(&format!(
            "insert into promo_codes (code, discount, max_uses) values ('{code}', {percent}, {})",
            max_uses.map_or("null".to_owned(), |most| most.to_string())
        ))
        .await;
    }

    /// An unsold key of the shop's own stock for `game`.
    pub async fn key(&self, game: Uuid) -> Uuid {
        let key = Uuid::new_v4();
        self.id(
            "insert into game_keys (id, game_id, key_ciphertext, key_hash)
             values ($1::uuid, $2::uuid, 'sealed', sha256($1::bytea)) returning id",
            &[&key.to_string(), &game.to_string()],
        )
        .await
    }

    /// Delivers `unit` (still `NEW`) with a new key of the shop's own stock; returns the key.
    pub async fn deliver(&self, unit: Uuid) -> Uuid {
        let key = Uuid::new_v4();
        self.id(
            "with done as (
                 update order_units set state = 'DONE' where id = $1::uuid returning id, order_id, game_id)
             insert into game_keys (id, game_id, order_id, order_unit_id, key_ciphertext, key_hash)
             select $2::uuid, game_id, order_id, id, 'sealed', sha256($2::bytea) from done returning id",
            &[&unit.to_string(), &key.to_string()],
        )
        .await
    }

    /// Refunds `unit` to the balance; returns the refund's transaction.
    pub async fn refund(&self, unit: Uuid) -> Uuid {
        self.id(
            "with given_up as (
                 update order_units set state = 'REFUNDED' where id = $1::uuid returning order_id, price_paid),
             owed as (select o.user_id, o.id as order_id, price_paid from given_up join orders o on o.id = order_id),
             returned as (update users set balance = balance + price_paid from owed where users.id = user_id)
             insert into transactions (user_id, order_id, type, amount, status)
             select user_id, order_id, 'REFUND', price_paid, 'COMPLETED' from owed returning id",
            &[&unit.to_string()],
        )
        .await
    }

    async fn id(&self, statement: &'static str, values: &[&str]) -> Uuid {
        let mut query = sqlx::query_scalar(statement);
        for value in values {
            query = query.bind((*value).to_owned());
        }
        query
            .fetch_one(&self.sql)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"))
    }
}
