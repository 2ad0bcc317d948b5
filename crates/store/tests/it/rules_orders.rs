//! Orders, their items and their units.

use crate::world::{World, rules};

rules! {
    an_order_belongs_to_a_user: "orders_user_id_fkey"
        refuses ["insert into orders (user_id, subtotal, total) values ({guest}, 0, 0)", "insert into orders (user_id, subtotal, total) values ({new}, 0, 0)"]
        allows ["update orders set payment_method = 'BALANCE'"]
    a_subtotal_is_not_negative: "orders_subtotal_not_negative"
        // A negative subtotal leaves no room for any discount, so the rule for discounts refuses it first.
        refuses ["insert into orders (user_id, subtotal, discount, total) values ({user}, 'NaN', 0, 'NaN')"]
        allows ["update orders set external_order_id = 'x' where id = {order}"]
    /// `docs/data-model.md`, Order: `total = subtotal − discount`.
    a_total_is_the_subtotal_less_the_discount: "orders_total_is_subtotal_less_discount"
        refuses [
            "insert into orders (user_id, subtotal, discount, total) values ({user}, 10, 1, 9.01)",
            "insert into orders (user_id, subtotal, discount, total) values ({user}, 10, 1, 10)",
        ]
        allows [
            // A complete order with a discount: its items, units and transaction.
            "insert into orders (id, user_id, subtotal, discount, total) values ({new_order}, {user}, 10, 1, 9);
             insert into order_items (id, order_id, game_id, price) values ({new_item}, {new_order}, {other_game}, 10);
             insert into order_units (order_id, order_item_id, game_id, position, price_paid) values ({new_order}, {new_item}, {other_game}, 1, 9);
             insert into transactions (user_id, order_id, type, amount, status) values ({user}, {new_order}, 'PURCHASE', -9, 'COMPLETED');
             update users set balance = balance - 9 where id = {user}",
            // An order that a promo code made free.
            "insert into orders (id, user_id, subtotal, discount, total) values ({new_order}, {user}, 10, 10, 0);
             insert into order_items (id, order_id, game_id, price) values ({new_item}, {new_order}, {other_game}, 10);
             insert into order_units (order_id, order_item_id, game_id, position, price_paid) values ({new_order}, {new_item}, {other_game}, 1, 0);
             insert into transactions (user_id, order_id, type, amount, status) values ({user}, {new_order}, 'PURCHASE', 0, 'COMPLETED')",
        ]
    a_discount_is_not_more_than_the_subtotal: "orders_discount_within_subtotal"
        refuses [
            "insert into orders (user_id, subtotal, discount, total) values ({user}, -1, 0, -1)",
            "insert into orders (user_id, subtotal, discount, total) values ({user}, 10, 11, -1)",
            "insert into orders (user_id, subtotal, discount, total) values ({user}, 10, -1, 11)",
        ]
        allows ["update orders set payment_status = 'COMPLETED' where id = {order}"]
    /// `docs/data-model.md`, Order: `external_order_id` is unique.
    an_external_order_id_is_unique: "orders_external_order_id_key"
        refuses ["update orders set external_order_id = 'same'"]
        allows ["update orders set external_order_id = null", "update orders set external_order_id = id::text"]
    a_trace_context_is_one: "trace_parent_form"
        refuses [
            "update orders set traceparent = ''",
            "update orders set traceparent = '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01'",
            "set local lockstep.traceparent = 'x'; insert into orders (user_id, subtotal, total) values ({user}, 0, 0)",
        ]
        allows [
            "update orders set traceparent = null",
            "update mail_outbox set traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'",
        ]
    an_order_number_is_unique: "orders_number_key"
        refuses ["update orders set number = '7ZK3M0Q9XA'"]
        allows ["update orders set number = '7ZK3M0Q9XA' where id = {order}"]
    an_order_number_is_ten_unambiguous_characters: "orders_number_form"
        refuses [
            "update orders set number = '7ZK3M0Q9X' where id = {order}",
            "update orders set number = '7zk3m0q9xa' where id = {order}",
            "update orders set number = '7ZK3M0Q9XO' where id = {order}",
            "update orders set number = '7ZK3M0Q9XI' where id = {order}",
            "update orders set number = '7ZK3M0Q9XU' where id = {order}",
        ]
        allows ["update orders set number = '0123456789' where id = {order}", "update orders set number = new_order_number()"]
    the_refund_reason_of_a_unit_is_known: "order_units_refunded_for_known"
        refuses ["update order_units set state = 'REFUNDED', refunded_for = 'WHIM' where id = {unit}"]
        allows ["update order_units set refunded_for = null"]
    only_a_refunded_unit_has_a_refund_reason: "order_units_refunded_for_a_refund"
        refuses ["update order_units set refunded_for = 'SOLD_OUT' where id = {unit}"]
        allows ["update order_units set refunded_for = null"]
    an_order_begins_as_pending: "orders_begin_pending"
        refuses [
            "insert into orders (user_id, subtotal, total, status) values ({user}, 0, 0, 'PROCESSING')",
            "insert into orders (user_id, subtotal, total, status, completed_at) values ({user}, 0, 0, 'COMPLETED', now())",
            "insert into orders (user_id, subtotal, total, status) values ({user}, 0, 0, 'FAILED')",
        ]
        allows ["update orders set status = 'PROCESSING' where id = {order}"]
    /// `docs/data-model.md`, Order: no other step is possible. `state_machines` compares all pairs.
    an_order_never_goes_back: "orders_status_transition"
        refuses [
            "update orders set status = 'PROCESSING' where id = {order}; update orders set status = 'PENDING' where id = {order}",
            "update orders set status = 'COMPLETED' where id = {order}",
        ]
        allows ["update orders set status = status"]
    what_was_ordered_and_by_whom_does_not_change: "orders_amounts_fixed"
        refuses [
            "update orders set subtotal = 60, total = 60 where id = {order}",
            "update orders set discount = 1, total = 49 where id = {order}",
            "update orders set user_id = {other_user} where id = {order}",
        ]
        allows ["update orders set payment_method = 'BALANCE', external_order_id = 'x' where id = {order}"]
    an_order_is_completed_only_when_nothing_is_in_flight: "orders_completed_is_delivered"
        refuses [
            "update orders set status = 'PROCESSING' where id = {order}; update orders set status = 'COMPLETED' where id = {order}",
            // Fully refunded: `FAILED`.
            "update orders set status = 'PROCESSING' where id = {order};
             update order_units set state = 'REFUNDED' where order_id = {order};
             update orders set status = 'COMPLETED' where id = {order}",
        ]
        allows ["update orders set status = 'PROCESSING' where id = {delivered_order}; update orders set status = 'COMPLETED' where id = {delivered_order}"]
    an_order_fails_only_when_everything_was_refunded: "orders_ended_is_refunded"
        refuses [
            "update orders set status = 'FAILED' where id = {order}",
            "update orders set status = 'CANCELLED' where id = {order}",
            "update order_units set state = 'REFUNDED' where id = {unit}; update orders set status = 'CANCELLED' where id = {order}",
        ]
        allows [
            "update order_units set state = 'REFUNDED' where order_id = {order};
             insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'REFUND', 50, 'COMPLETED');
             update users set balance = balance + 50 where id = {user};
             update orders set status = 'FAILED' where id = {order}",
        ]
    a_payment_is_cancelled_only_when_all_of_it_is_refunded: "orders_payment_status_is_true"
        refuses [
            "update orders set payment_status = 'CANCELLED' where id = {order}",
            "update order_units set state = 'REFUNDED' where id = {unit};
             insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'REFUND', 25, 'COMPLETED');
             update users set balance = balance + 25 where id = {user};
             update orders set payment_status = 'CANCELLED' where id = {order}",
        ]
        allows [
            "update order_units set state = 'REFUNDED' where order_id = {order};
             insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'REFUND', 50, 'COMPLETED');
             update users set balance = balance + 50 where id = {user};
             update orders set payment_status = 'CANCELLED' where id = {order}",
            "update orders set payment_status = null where id = {order}",
        ]
    only_a_completed_order_has_a_completion_date: "orders_completed_at_when_completed"
        refuses ["update orders set completed_at = now() where id = {order}"]
        allows ["update orders set completed_at = null where id = {order}"]
    /// `docs/data-model.md`, Order: placing an order is one transaction that includes its `PURCHASE`.
    an_order_comes_with_its_purchase: "orders_have_a_purchase"
        refuses [
            "insert into orders (id, user_id, subtotal, total) values ({new_order}, {user}, 10, 10);
             insert into order_items (id, order_id, game_id, price) values ({new_item}, {new_order}, {other_game}, 10);
             insert into order_units (order_id, order_item_id, game_id, position, price_paid) values ({new_order}, {new_item}, {other_game}, 1, 10)",
            "insert into orders (user_id, subtotal, total) values ({user}, 0, 0)",
        ]
        allows [
            "insert into orders (id, user_id, subtotal, total) values ({new_order}, {user}, 10, 10);
             insert into order_items (id, order_id, game_id, price) values ({new_item}, {new_order}, {other_game}, 10);
             insert into order_units (order_id, order_item_id, game_id, position, price_paid) values ({new_order}, {new_item}, {other_game}, 1, 10);
             insert into transactions (user_id, order_id, type, amount, status) values ({user}, {new_order}, 'PURCHASE', -10, 'PENDING')",
        ]
    items_add_up_to_the_subtotal: "orders_subtotal_is_sum_of_items"
        refuses [
            "insert into order_items (order_id, game_id, price) values ({order}, {other_game}, 10)",
            "update order_items set price = 26 where id = {item}",
            "update order_items set quantity = 3 where id = {item}",
            "delete from order_items where id = {item}",
        ]
        allows ["update order_items set price = price where id = {item}"]
    every_ordered_copy_has_a_unit: "order_units_one_a_copy"
        refuses [
            "delete from order_units where id = {unit}",
            "insert into order_units (order_id, order_item_id, game_id, position, price_paid) values ({order}, {item}, {game}, 3, 0)",
            "update order_items set quantity = 1, price = 50 where id = {item}",
        ]
        allows ["delete from order_units where id = {unit};
                 insert into order_units (order_id, order_item_id, game_id, position, price_paid) values ({order}, {item}, {game}, 1, 25)"]
    units_add_up_to_the_total: "orders_total_is_sum_of_units"
        refuses ["update order_units set price_paid = 24.99 where id = {unit}"]
        allows ["update order_units set price_paid = 24.99 where id = {unit}; update order_units set price_paid = 25.01 where id = {unit2}"]
    /// `docs/data-model.md`, Transaction: paid = delivered + refunded + under way.
    a_refund_is_the_price_of_the_refunded_units: "orders_refunds_are_of_refunded_units"
        refuses [
            // The unit is refunded without money.
            "update order_units set state = 'REFUNDED' where id = {unit}",
            // The money is refunded while the unit is still in progress.
            "insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'REFUND', 25, 'COMPLETED');
             update users set balance = balance + 25 where id = {user}",
            "update order_units set state = 'REFUNDED' where id = {unit};
             insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'REFUND', 24, 'COMPLETED');
             update users set balance = balance + 24 where id = {user}",
            // Goodwill without money; money with less goodwill.
            "update order_units set goodwill = 5 where id = {delivered_unit}",
            "update order_units set goodwill = 4 where id = {delivered_unit};
             insert into transactions (user_id, order_id, type, amount, status) values ({user}, {delivered_order}, 'REFUND', 5, 'COMPLETED');
             update users set balance = balance + 5 where id = {user}",
        ]
        allows ["update order_units set state = 'REFUNDED' where id = {unit};
                 insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'REFUND', 25, 'COMPLETED');
                 update users set balance = balance + 25 where id = {user}"]

    an_idempotency_key_is_short: "orders_idempotency_key_bounded"
        refuses [
            "update orders set idempotency_key = '', request_hash = sha256('x') where id = {order}",
            "update orders set idempotency_key = repeat('x', 201), request_hash = sha256('x') where id = {order}",
        ]
        allows ["update orders set idempotency_key = repeat('x', 200), request_hash = sha256('x') where id = {order}"]
    an_order_request_is_stored_as_a_hash: "orders_request_hash_length"
        refuses ["update orders set idempotency_key = 'k', request_hash = 'x' where id = {order}"]
        allows ["update orders set idempotency_key = 'k', request_hash = sha256('x') where id = {order}"]
    an_idempotency_key_has_a_request_hash: "orders_idempotency_key_has_its_request"
        refuses ["update orders set idempotency_key = 'k' where id = {order}", "update orders set request_hash = sha256('x') where id = {order}"]
        allows ["update orders set idempotency_key = null, request_hash = null where id = {order}"]
    an_idempotency_key_places_one_order: "orders_user_id_idempotency_key_key"
        refuses ["update orders set idempotency_key = 'k', request_hash = sha256('x')"]
        allows ["update orders set idempotency_key = id::text, request_hash = sha256('x')"]
    goodwill_is_never_above_the_price: "order_units_goodwill_within_price"
        refuses [
            "update order_units set goodwill = 25.01 where id = {delivered_unit}",
            "update order_units set goodwill = -0.01 where id = {delivered_unit}",
        ]
        allows [
            "update order_units set goodwill = 25 where id = {delivered_unit};
             insert into transactions (user_id, order_id, type, amount, status) values ({user}, {delivered_order}, 'REFUND', 25, 'COMPLETED');
             update users set balance = balance + 25 where id = {user}",
        ]
    goodwill_is_for_what_was_delivered: "order_units_goodwill_is_of_delivered"
        refuses ["update order_units set goodwill = 1 where id = {unit}"]
        allows ["update order_units set goodwill = 0 where id = {unit}"]

    an_item_belongs_to_an_order: "order_items_order_id_fkey"
        refuses ["insert into order_items (order_id, game_id, price) values ({new}, {game}, 1)"]
        allows ["update order_items set order_id = order_id"]
    an_item_is_a_game: "order_items_game_id_fkey"
        refuses ["insert into order_items (order_id, game_id, price) values ({order}, {new}, 1)"]
        allows ["update order_items set game_id = game_id"]
    an_items_quantity_is_positive: "order_items_quantity_positive"
        refuses ["update order_items set quantity = 0"]
        allows ["update order_items set quantity = quantity"]
    an_items_price_is_positive: "order_items_price_positive"
        refuses ["update order_items set price = 0", "update order_items set price = 'NaN'"]
        allows ["update order_items set price = price"]
    an_items_discount_is_not_negative: "order_items_discount_not_negative"
        refuses ["update order_items set discount = -1", "update order_items set discount = 'NaN'"]
        allows ["update order_items set discount = 1"]
    a_game_is_one_item_of_an_order: "order_items_order_id_game_id_key"
        refuses ["insert into order_items (order_id, game_id, price) values ({order}, {game}, 1)"]
        allows ["update order_items set discount = 0"]

    a_unit_is_of_its_items_order_and_game: "order_units_item_fk"
        refuses [
            "update order_units set game_id = {other_game} where id = {unit}",
            "update order_units set order_id = {delivered_order} where id = {unit}",
            "update order_units set order_item_id = {delivered_item}, position = 9 where id = {unit}",
            "update order_items set game_id = {other_game} where id = {item}",
        ]
        allows ["update order_units set not_before = now() where id = {unit}"]
    units_are_counted_from_one: "order_units_position_positive"
        refuses ["update order_units set position = 0 where id = {unit}"]
        allows ["update order_units set position = 9 where id = {unit}"]
    a_position_is_taken_once: "order_units_item_position_key"
        refuses ["update order_units set position = 1 where order_id = {order}"]
        allows ["update order_units set position = position + 5 where order_id = {order}"]
    a_units_state_is_known: "order_units_state_known"
        refuses ["alter table order_units disable trigger order_units_guard; update order_units set state = 'GONE' where id = {unit}"]
        allows ["update order_units set state = 'ORDERING' where id = {unit}"]
    a_unit_begins_as_new: "order_units_begin_new"
        refuses ["insert into order_units (order_id, order_item_id, game_id, position, price_paid, state) values ({order}, {item}, {game}, 3, 0, 'DONE')"]
        allows ["update order_units set state = 'ORDERING' where id = {unit}"]
    /// `state_machines` compares all pairs.
    a_unit_changes_state_only_along_the_state_machine: "order_units_state_transition"
        refuses [
            "update order_units set state = 'PAID', g2a_order_id = 'o' where id = {unit}",
            "update order_units set state = 'ORDERING' where id = {delivered_unit}",
            "update order_units set state = 'REFUNDED' where id = {delivered_unit}",
        ]
        allows ["update order_units set state = 'ORDERING' where id = {unit}; update order_units set state = 'NEW' where id = {unit}"]
    /// No order is paid at G2A before its id is recorded.
    a_unit_is_paid_only_with_a_recorded_order: "order_units_paid_is_recorded"
        refuses [
            "update order_units set state = 'ORDERING' where id = {unit}; update order_units set state = 'ORDERED' where id = {unit}",
        ]
        allows [
            "update order_units set state = 'ORDERING' where id = {unit};
             update order_units set state = 'ORDERED', g2a_order_id = 'o' where id = {unit};
             update order_units set state = 'PAYING' where id = {unit}; update order_units set state = 'PAID' where id = {unit}",
        ]
    a_unit_that_may_be_paid_keeps_its_order: "order_units_g2a_order_id_fixed"
        refuses [
            "update order_units set state = 'ORDERING' where id = {unit};
             update order_units set state = 'ORDERED', g2a_order_id = 'o' where id = {unit};
             update order_units set g2a_order_id = 'p' where id = {unit}",
            "update order_units set state = 'ORDERING' where id = {unit};
             update order_units set state = 'ORDERED', g2a_order_id = 'o' where id = {unit};
             update order_units set state = 'PAYING' where id = {unit};
             update order_units set state = 'REFUNDED', g2a_order_id = null where id = {unit}",
        ]
        allows [
            "update order_units set state = 'ORDERING' where id = {unit};
             update order_units set state = 'ORDERED', g2a_order_id = 'o' where id = {unit};
             update order_units set state = 'NEW', g2a_order_id = null where id = {unit};
             update order_units set state = 'ORDERING' where id = {unit};
             update order_units set state = 'ORDERED', g2a_order_id = 'p' where id = {unit}",
        ]
    an_order_at_g2a_is_of_one_unit: "order_units_g2a_order_id_key"
        refuses ["update order_units set state = 'ORDERING' where order_id = {order}; update order_units set g2a_order_id = 'o' where order_id = {order}"]
        allows ["update order_units set state = 'ORDERING' where order_id = {order}; update order_units set g2a_order_id = id::text where order_id = {order}"]
    no_unit_of_an_unpaid_order_is_bought_or_delivered: "order_units_sold_is_paid"
        refuses [
            "insert into orders (id, user_id, subtotal, total) values ({new_order}, {user}, 10, 10);
             insert into order_items (id, order_id, game_id, price) values ({new_item}, {new_order}, {other_game}, 10);
             insert into order_units (order_id, order_item_id, game_id, position, price_paid) values ({new_order}, {new_item}, {other_game}, 1, 10);
             insert into transactions (user_id, order_id, type, amount, status) values ({user}, {new_order}, 'PURCHASE', -10, 'PENDING');
             update order_units set state = 'DONE' where order_id = {new_order}",
            "insert into orders (id, user_id, subtotal, total) values ({new_order}, {user}, 10, 10);
             insert into order_items (id, order_id, game_id, price) values ({new_item}, {new_order}, {other_game}, 10);
             insert into order_units (order_id, order_item_id, game_id, position, price_paid) values ({new_order}, {new_item}, {other_game}, 1, 10);
             update order_units set state = 'ORDERING' where order_id = {new_order};
             update order_units set state = 'ORDERED', g2a_order_id = 'o' where order_id = {new_order};
             update order_units set state = 'PAYING' where order_id = {new_order}",
        ]
        allows [
            "update order_units set state = 'ORDERING' where id = {unit};
             update order_units set state = 'ORDERED', g2a_order_id = 'o' where id = {unit};
             update order_units set state = 'PAYING' where id = {unit}",
        ]
    a_unit_is_done_only_with_its_key: "order_units_done_has_its_key"
        refuses [
            "update order_units set state = 'DONE' where id = {unit}",
            "update game_keys set order_id = {order}, order_unit_id = {unit} where id = {key}",
            // A faulty key goes only when another comes.
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key}",
        ]
        allows ["update order_units set state = 'DONE' where id = {unit};
                 update game_keys set order_id = {order}, order_unit_id = {unit} where id = {key}"]
    only_a_unit_with_a_faulty_key_is_bought_again: "order_units_faulty_key_was_delivered"
        refuses [
            "update order_units set state = 'NEW' where id = {delivered_unit}",
            "update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit}",
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW' where id = {delivered_unit}",
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {key} where id = {delivered_unit}",
            "insert into order_units (order_id, order_item_id, game_id, position, price_paid, faulty_key_id)
             values ({order}, {item}, {game}, 3, 0, {key})",
        ]
        allows [
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit}",
        ]
    a_unit_whose_key_is_replaced_is_neither_refunded_nor_delivered: "order_units_faulty_key_in_flight"
        refuses [
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit};
             update order_units set state = 'REFUNDED' where id = {delivered_unit}",
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit};
             update order_units set state = 'DONE' where id = {delivered_unit}",
        ]
        allows [
            // It gets another key,
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit};
             update order_units set state = 'DONE', faulty_key_id = null where id = {delivered_unit};
             update game_keys set order_id = {delivered_order}, order_unit_id = {delivered_unit} where id = {key}",
            // or the faulty one again.
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit};
             update game_keys set order_id = faulty_order_id, order_unit_id = faulty_unit_id, faulty_at = null, faulty_order_id = null,
                    faulty_unit_id = null, activated = false, activation_date = null where id = {sold_key};
             update order_units set state = 'DONE', faulty_key_id = null where id = {delivered_unit}",
        ]
    a_faulty_key_is_known_until_the_unit_is_delivered: "order_units_faulty_key_fixed"
        refuses [
            "update order_units set faulty_key_id = {key} where id = {unit}",
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit};
             update order_units set faulty_key_id = null where id = {delivered_unit}",
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit};
             update order_units set faulty_key_id = {key} where id = {delivered_unit}",
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit};
             update order_units set state = 'REFUNDED', faulty_key_id = null where id = {delivered_unit}",
        ]
        allows [
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit};
             update order_units set state = 'ORDERING' where id = {delivered_unit}",
        ]
    a_faulty_key_is_a_key: "order_units_faulty_key_fk"
        refuses ["alter table order_units disable trigger order_units_guard; update order_units set faulty_key_id = {new} where id = {unit}"]
        allows ["alter table order_units disable trigger order_units_guard; update order_units set faulty_key_id = {key} where id = {unit}"]
    a_faulty_key_is_of_one_unit: "order_units_faulty_key_id_key"
        refuses ["alter table order_units disable trigger order_units_guard; update order_units set faulty_key_id = {key} where order_id = {order}"]
        allows ["alter table order_units disable trigger order_units_guard; update order_units set faulty_key_id = {key} where id = {unit}"]
    three_replacements_are_bought_for_a_unit: "order_units_replacements_bought"
        refuses [
            "insert into g2a_orders (g2a_order_id, order_unit_id, price, is_replacement, paid_at)
             select n::text, {delivered_unit}, 1, true, now() from generate_series(1, 3) n;
             update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit}",
        ]
        allows [
            "insert into g2a_orders (g2a_order_id, order_unit_id, price, is_replacement, paid_at)
             select n::text, {delivered_unit}, 1, n < 4, case when n < 3 then now() end from generate_series(1, 9) n;
             update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit}",
        ]
    a_units_price_is_not_negative: "order_units_price_paid_not_negative"
        refuses ["update order_units set price_paid = -1 where id = {unit}", "update order_units set price_paid = 'NaN' where id = {unit}"]
        allows ["update order_units set price_paid = 0 where id = {unit}; update order_units set price_paid = 50 where id = {unit2}"]
    a_units_cost_is_not_negative: "order_units_g2a_price_not_negative"
        refuses ["update order_units set g2a_price = -1", "update order_units set g2a_price = 'NaN'"]
        allows ["update order_units set g2a_price = 0", "update order_units set g2a_price = null"]
    attempts_are_bounded: "order_units_attempts_bounded"
        refuses ["update order_units set attempts = -1", "update order_units set attempts = 1001"]
        allows ["update order_units set attempts = 1000"]
}

#[tokio::test]
async fn orders_have_the_documented_defaults() {
    let world = World::new().await;
    let mut tx = world.db.sql.begin().await.unwrap();
    let row: String = sqlx::query_scalar(
        "insert into orders (user_id, subtotal, total) values ($1, 5, 5)
         returning concat_ws('|', status, discount, payment_method is null, payment_status is null, promo_code is null,
                             external_order_id is null, completed_at is null, created_at = now())",
    )
    .bind(world.id("user"))
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    assert_eq!(row, "PENDING|0.00|t|t|t|t|t|t");
}

#[tokio::test]
async fn completed_orders_have_a_completion_date() {
    let world = World::new().await;
    let order = world.id("delivered_order");
    for status in ["PROCESSING", "COMPLETED"] {
        sqlx::query("update orders set status = $2::order_status where id = $1")
            .bind(order)
            .bind(status)
            .execute(&world.db.sql)
            .await
            .unwrap();
    }
    let dated: bool = sqlx::query_scalar("select completed_at is not null from orders where id = $1")
        .bind(order)
        .fetch_one(&world.db.sql)
        .await
        .unwrap();
    assert!(dated);
}

/// `docs/data-model.md`, Transaction: paid = delivered + refunded + under way, for an order with both outcomes.
#[tokio::test]
async fn partly_delivered_orders_complete_with_their_refund() {
    let world = World::new().await;
    world.db.deliver(world.id("unit")).await;
    world.db.refund(world.id("unit2")).await;
    world
        .attempt("update orders set status = 'PROCESSING' where id = {order}; update orders set status = 'COMPLETED' where id = {order}")
        .await
        .unwrap();
}
