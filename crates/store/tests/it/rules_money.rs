//! Transactions and balances.

use crate::world::{World, rules};

rules! {
    a_transaction_belongs_to_a_user: "transactions_user_id_fkey"
        refuses ["insert into transactions (user_id, type, amount, status) values ({guest}, 'TOP_UP', 1, 'PENDING')"]
        allows ["insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 1, 'PENDING')"]
    /// `docs/data-model.md`, Transaction: the sign of the amount follows from the type.
    an_amount_has_the_sign_of_its_type: "transactions_amount_sign"
        refuses [
            "insert into transactions (user_id, type, amount, status) values ({user}, 'PURCHASE', 1, 'PENDING')",
            "insert into transactions (user_id, type, amount, status) values ({user}, 'PURCHASE', 0, 'PENDING')",
            "insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', -1, 'PENDING')",
            "insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 0, 'PENDING')",
            "insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 'NaN', 'PENDING')",
            "insert into transactions (user_id, type, amount, status) values ({user}, 'REFUND', -1, 'PENDING')",
            "insert into transactions (user_id, type, amount, status) values ({user}, 'REFUND', 'NaN', 'PENDING')",
        ]
        allows [
            "insert into transactions (user_id, type, amount, status) values ({user}, 'PURCHASE', -1, 'PENDING')",
            "insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 0.01, 'PENDING')",
            "insert into transactions (user_id, type, amount, status) values ({user}, 'REFUND', 0.01, 'PENDING')",
        ]
    money_is_in_euro: "transactions_currency_is_eur"
        refuses ["insert into transactions (user_id, type, amount, status, currency) values ({user}, 'TOP_UP', 1, 'PENDING', 'USD')"]
        allows ["insert into transactions (user_id, type, amount, status, currency) values ({user}, 'TOP_UP', 1, 'PENDING', 'EUR')"]
    the_description_of_a_booking_is_one_line: "transactions_subject_bounded"
        refuses [
            "update transactions set subject = ''",
            "update transactions set subject = repeat('x', 301)",
        ]
        allows ["update transactions set subject = repeat('ü', 300)"]
    the_reason_of_a_refund_is_known: "transactions_reason_known"
        refuses ["insert into transactions (user_id, type, amount, status, reason) values ({user}, 'REFUND', 1, 'PENDING', 'WHIM')"]
        allows ["insert into transactions (user_id, type, amount, status, reason) values ({user}, 'REFUND', 1, 'PENDING', 'SOLD_OUT')"]
    only_a_refund_has_a_refund_reason: "transactions_reason_of_a_refund"
        refuses ["insert into transactions (user_id, type, amount, status, reason) values ({user}, 'TOP_UP', 1, 'PENDING', 'SOLD_OUT')"]
        allows ["insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 1, 'PENDING')"]
    /// `docs/data-model.md`, Transaction: `transaction_hash` is unique when set.
    a_transaction_hash_is_unique: "transactions_transaction_hash_key"
        refuses ["update transactions set transaction_hash = 'same'"]
        allows ["update transactions set transaction_hash = id::text", "update transactions set transaction_hash = null"]
    /// `docs/data-model.md`, Transaction: one `PURCHASE` per order; its refunds refer to the order too.
    an_order_is_paid_for_once: "transactions_purchase_order_id_key"
        refuses ["insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'PURCHASE', -50, 'PENDING')"]
        allows ["insert into transactions (user_id, order_id, type, amount, status) values
                 ({user}, {order}, 'REFUND', 20, 'PENDING'), ({user}, {order}, 'REFUND', 30, 'PENDING')"]
    a_purchase_takes_what_the_order_costs: "transactions_purchase_is_order_total"
        refuses ["insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'PURCHASE', -49.99, 'PENDING')"]
        allows ["insert into transactions (user_id, type, amount, status) values ({user}, 'PURCHASE', -49.99, 'PENDING')"]
    an_order_and_its_money_belong_to_one_person: "transactions_order_fk"
        refuses ["insert into transactions (user_id, order_id, type, amount, status) values ({other_user}, {order}, 'REFUND', 1, 'PENDING')"]
        allows ["insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'REFUND', 1, 'PENDING')"]
    a_top_up_is_of_no_order: "transactions_top_up_has_no_order"
        refuses ["insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'TOP_UP', 1, 'PENDING')"]
        allows ["insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 1, 'PENDING')"]
    refunds_never_exceed_what_was_paid: "transactions_refund_within_payment"
        refuses [
            "insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'REFUND', 50.01, 'PENDING')",
            "insert into transactions (user_id, order_id, type, amount, status) values
             ({user}, {order}, 'REFUND', 30, 'PENDING'), ({user}, {order}, 'REFUND', 20.01, 'PROCESSING')",
        ]
        allows [
            "insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'REFUND', 50, 'PENDING')",
            "insert into transactions (user_id, order_id, type, amount, status) values
             ({user}, {order}, 'REFUND', 50, 'FAILED'), ({user}, {order}, 'REFUND', 50, 'PENDING')",
        ]
    a_transaction_does_not_change: "transactions_facts_fixed"
        refuses [
            "update transactions set amount = amount * 2 where type = 'TOP_UP'",
            "update transactions set user_id = {other_user} where type = 'TOP_UP'",
            "update transactions set type = 'REFUND' where type = 'TOP_UP'",
            "update transactions set order_id = null where type = 'PURCHASE'",
        ]
        allows ["update transactions set description = 'd', method = 'CARD', gateway_response = '{}'"]
    a_transaction_that_ended_stays_so: "transactions_status_final"
        refuses [
            "update transactions set status = 'PENDING' where type = 'TOP_UP'",
            "update transactions set status = 'FAILED' where type = 'PURCHASE'",
            "insert into transactions (id, user_id, type, amount, status) values ({new}, {user}, 'TOP_UP', 1, 'FAILED');
             update transactions set status = 'COMPLETED' where id = {new}",
        ]
        allows [
            "insert into transactions (id, user_id, type, amount, status) values ({new}, {user}, 'TOP_UP', 1, 'PENDING');
             update transactions set status = 'PROCESSING' where id = {new};
             update transactions set status = 'FAILED' where id = {new}",
        ]
    a_booking_is_never_deleted: "transactions_kept"
        refuses [
            "delete from transactions where type = 'TOP_UP'",
            "delete from transactions where type = 'PURCHASE'",
            "truncate transactions cascade",
        ]
        allows [
            "insert into transactions (id, user_id, type, amount, status) values ({new}, {user}, 'TOP_UP', 1, 'PENDING');
             delete from transactions where id = {new}",
        ]
    /// `docs/data-model.md`, User: the balance is the sum of the user's completed transactions, at every commit.
    a_balance_is_the_sum_of_its_bookings: "users_balance_is_sum_of_transactions"
        refuses [
            "update users set balance = balance + 1 where id = {user}",
            "insert into users (email, password_hash, balance) select 'rich@example.org', max(password_hash), 1 from users",
            "insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 1, 'COMPLETED')",
            "insert into transactions (id, user_id, type, amount, status) values ({new}, {user}, 'TOP_UP', 1, 'PENDING');
             update transactions set status = 'COMPLETED' where id = {new}",
            "insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 1, 'PENDING');
             update users set balance = balance + 1 where id = {user}",
        ]
        allows [
            "insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 1, 'COMPLETED');
             update users set balance = balance + 1 where id = {user}",
            "insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 1, 'PENDING')",
            "update users set balance = balance + 1 where id = {user}; update users set balance = balance - 1 where id = {user}",
        ]
}

#[tokio::test]
async fn transactions_default_to_euro() {
    let world = World::new().await;
    let row: String = sqlx::query_scalar(
        "insert into transactions (user_id, type, amount, status) values ($1, 'TOP_UP', 1, 'PENDING')
         returning concat_ws('|', currency, order_id is null, method is null, description is null,
                             transaction_hash is null, gateway_response is null, created_at = now())",
    )
    .bind(world.id("user"))
    .fetch_one(&world.db.sql)
    .await
    .unwrap();
    assert_eq!(row, "EUR|t|t|t|t|t|t");
}
