//! Price rules, scheduled changes, and promo codes beyond percentages.

use crate::world::rules;

rules! {
    a_suppliers_price_is_positive: "games_supplier_price_positive"
        refuses ["update games set supplier_price = 0", "update games set supplier_price = 'NaN'"]
        allows ["update games set supplier_price = 0.0001", "update games set supplier_price = null"]
    a_suppliers_retail_price_is_positive: "games_supplier_retail_price_positive"
        refuses ["update games set supplier_retail_price = 0", "update games set supplier_retail_price = 'NaN'"]
        allows ["update games set supplier_retail_price = 1"]
    an_asked_cost_is_positive: "games_g2a_asked_cost_positive"
        refuses ["update games set g2a_asked_cost = 0", "update games set g2a_asked_cost = 'NaN'"]
        allows ["update games set g2a_asked_cost = 1"]
    a_change_of_a_price_has_a_known_reason: "price_changes_reason_known"
        refuses ["insert into price_changes (game_id, previous_price, price, reason) values ({game}, 1, 2, 'MOOD')"]
        allows ["insert into price_changes (game_id, previous_price, price, reason) values ({game}, 1, 2, 'RULES'), ({game}, 1, 2, null)"]
    there_is_one_set_of_price_rules: "price_policy_is_one"
        refuses ["insert into price_policy (only_one) values (false)"]
        allows ["update price_policy set version = 1"]
    numbers_of_a_set_are_bounded: "price_policy_numbers_bounded"
        refuses [
            "update price_policy set min_margin = -0.01",
            "update price_policy set min_margin = 'NaN'",
            "update price_policy set min_margin_percent = 1000.01",
            "update price_policy set min_margin_percent = 'NaN'",
            "update price_policy set ending = 100, rounding = 'UP'",
        ]
        allows ["update price_policy set min_margin = 1000000, min_margin_percent = 1000, ending = 0, rounding = 'NEAREST'"]
    an_ending_of_a_set_has_a_direction: "price_policy_ending_has_a_direction"
        refuses [
            "update price_policy set ending = 99",
            "update price_policy set rounding = 'UP'",
            "update price_policy set ending = 99, rounding = 'NONE'",
        ]
        allows ["update price_policy set ending = 99, rounding = 'DOWN'"]
    a_price_rule_has_a_name: "price_rules_name_bounded"
        refuses ["insert into price_rules (position, name) values (1, '')", "insert into price_rules (position, name) values (1, repeat('x', 101))"]
        allows ["insert into price_rules (position, name) values (1, 'All')"]
    a_price_rules_service_is_named: "price_rules_service_bounded"
        refuses ["insert into price_rules (position, name, activation_service) values (1, 'A', '')"]
        allows ["insert into price_rules (position, name, activation_service) values (1, 'A', 'Steam')"]
    numbers_of_a_price_rule_are_bounded: "price_rules_numbers_bounded"
        refuses [
            "insert into price_rules (position, name) values (0, 'A')",
            "insert into price_rules (position, name) values (201, 'A')",
            "insert into price_rules (position, name, priority) values (1, 'A', 1001)",
            "insert into price_rules (position, name, markup_percent) values (1, 'A', -0.01)",
            "insert into price_rules (position, name, markup_percent) values (1, 'A', 'NaN')",
            "insert into price_rules (position, name, min_margin) values (1, 'A', 'NaN')",
            "insert into price_rules (position, name, min_margin_percent) values (1, 'A', 1001)",
            "insert into price_rules (position, name, ending, rounding) values (1, 'A', -1, 'UP')",
        ]
        allows ["insert into price_rules (position, name, priority, markup_percent, min_margin, min_margin_percent, ending, rounding)
                 values (200, 'A', -1000, 0, 0, 1000, 99, 'UP')"]
    a_price_band_begins_before_it_ends: "price_rules_band"
        refuses [
            "insert into price_rules (position, name, cost_from, cost_to) values (1, 'A', 5, 5)",
            "insert into price_rules (position, name, cost_from) values (1, 'A', -1)",
            "insert into price_rules (position, name, cost_from) values (1, 'A', 'NaN')",
            "insert into price_rules (position, name, cost_to) values (1, 'A', 0)",
            "insert into price_rules (position, name, cost_to) values (1, 'A', 'NaN')",
        ]
        allows [
            "insert into price_rules (position, name, cost_from, cost_to) values (1, 'A', 5, 5.01)",
            "insert into price_rules (position, name, cost_to) values (1, 'A', 0.01)",
        ]
    an_ending_of_a_rule_has_a_direction: "price_rules_ending_has_a_direction"
        refuses [
            "insert into price_rules (position, name, ending) values (1, 'A', 99)",
            "insert into price_rules (position, name, rounding) values (1, 'A', 'UP')",
            "insert into price_rules (position, name, ending, rounding) values (1, 'A', 99, 'NONE')",
            "insert into price_rules (position, name, rounding) values (1, 'A', 'AWAY')",
        ]
        allows ["insert into price_rules (position, name, rounding) values (1, 'A', 'NONE')"]
    a_price_job_has_a_known_state: "price_jobs_state_known"
        refuses ["insert into price_jobs (id, version, state, finished_at) values ({new}, 1, 'LOST', now())"]
        allows ["insert into price_jobs (id, version) values ({new}, 1)"]
    a_price_job_ends_at_a_time: "price_jobs_finished_when_ended"
        refuses [
            "insert into price_jobs (id, version, state) values ({new}, 1, 'COMPLETED')",
            "insert into price_jobs (id, version, finished_at) values ({new}, 1, now())",
        ]
        allows ["insert into price_jobs (id, version, state, finished_at) values ({new}, 1, 'SUPERSEDED', now())"]
    a_price_job_counts_what_it_has_done: "price_jobs_counts"
        refuses ["insert into price_jobs (id, version, done, raised) values ({new}, 1, 1, 2)"]
        allows ["insert into price_jobs (id, version, done, raised, lowered) values ({new}, 1, 2, 1, 1)"]
    edits_are_of_known_fields: "game_edits_field_known"
        refuses ["insert into game_edits (game_id, field) values ({game}, 'TITLE')"]
        allows ["insert into game_edits (game_id, field) values ({other_game}, 'VISIBLE')"]
    edits_are_counted_from_one: "game_edits_revision_positive"
        refuses ["insert into game_edits (game_id, field, revision) values ({other_game}, 'VISIBLE', 0)"]
        allows ["insert into game_edits (game_id, field, revision) values ({other_game}, 'VISIBLE', 1)"]
    a_merged_entry_is_of_a_known_taxonomy: "merged_terms_taxonomy_known"
        refuses ["insert into merged_terms (taxonomy, slug, name, into_id) values ('colours', 'red', 'Red', {new})"]
        allows ["insert into merged_terms (taxonomy, slug, name, into_id) values ('genres', 'rpg', 'RPG', {new})"]
    what_the_supplier_says_has_names: "supplier_values_are_an_object"
        refuses ["insert into supplier_values (game_id, said) values ({game}, '[]')"]
        allows ["insert into supplier_values (game_id, said) values ({game}, '{}')"]
    a_bulk_change_is_of_a_known_kind: "bulk_changes_kind_known"
        refuses ["insert into bulk_changes (id, kind, as_of) values ({new}, 'DELETE', now())"]
        allows ["insert into bulk_changes (id, kind, as_of) values ({new}, 'HIDE', now())"]
    a_bulk_change_has_a_known_state: "bulk_changes_state_known"
        refuses ["insert into bulk_changes (id, kind, as_of, state, confirmed_at, finished_at) values ({new}, 'HIDE', now(), 'LOST', now(), now())"]
        allows ["insert into bulk_changes (id, kind, as_of, state, confirmed_at) values ({new}, 'HIDE', now(), 'OPEN', now())"]
    a_bulk_change_of_prices_has_an_amount: "bulk_changes_amount_of_prices"
        refuses [
            "insert into bulk_changes (id, kind, as_of) values ({new}, 'PRICE_SET', now())",
            "insert into bulk_changes (id, kind, as_of, amount) values ({new}, 'HIDE', now(), 1)",
            "insert into bulk_changes (id, kind, as_of, amount) values ({new}, 'PRICE_DROP', now(), 1)",
            "insert into bulk_changes (id, kind, as_of, amount) values ({new}, 'PRICE_PERCENT', now(), -100)",
            "insert into bulk_changes (id, kind, as_of, amount) values ({new}, 'PRICE_PERCENT', now(), 0)",
            "insert into bulk_changes (id, kind, as_of, amount) values ({new}, 'PRICE_SET', now(), -1)",
            "insert into bulk_changes (id, kind, as_of, amount) values ({new}, 'PRICE_SET', now(), 'NaN')",
            "insert into bulk_changes (id, kind, as_of, amount) values ({new}, 'PRICE_AMOUNT', now(), 1000000.01)",
        ]
        allows [
            "insert into bulk_changes (id, kind, as_of, amount) values ({new}, 'PRICE_PERCENT', now(), -99.99)",
            "insert into bulk_changes (id, kind, as_of, amount) values ({new}, 'PRICE_AMOUNT', now(), -0.01)",
        ]
    a_bulk_change_has_the_times_of_its_state: "bulk_changes_times_of_states"
        refuses [
            "insert into bulk_changes (id, kind, as_of, state) values ({new}, 'HIDE', now(), 'OPEN')",
            "insert into bulk_changes (id, kind, as_of, state, confirmed_at) values ({new}, 'HIDE', now(), 'COMPLETED', now())",
            "insert into bulk_changes (id, kind, as_of, state, confirmed_at, finished_at) values ({new}, 'HIDE', now(), 'UNDOING', now(), now())",
        ]
        allows ["insert into bulk_changes (id, kind, as_of, state, confirmed_at, finished_at, undo_at, undone_at)
                 values ({new}, 'HIDE', now(), 'UNDONE', now(), now(), now(), now())"]
    a_game_of_a_bulk_change_has_a_known_state: "bulk_change_games_state_known"
        refuses ["with b as (insert into bulk_changes (id, kind, as_of) values ({new}, 'HIDE', now()) returning id)
                  insert into bulk_change_games (bulk_id, game_id, price_before, state) select id, {game}, 1, 'LOST' from b"]
        allows ["with b as (insert into bulk_changes (id, kind, as_of) values ({new}, 'HIDE', now()) returning id)
                 insert into bulk_change_games (bulk_id, game_id, price_before) select id, {game}, 1 from b"]
    a_game_is_left_out_for_a_known_reason: "bulk_change_games_reason_known"
        refuses ["with b as (insert into bulk_changes (id, kind, as_of) values ({new}, 'HIDE', now()) returning id)
                  insert into bulk_change_games (bulk_id, game_id, price_before, state, reason) select id, {game}, 1, 'SKIPPED', 'MOOD' from b"]
        allows ["with b as (insert into bulk_changes (id, kind, as_of) values ({new}, 'HIDE', now()) returning id)
                 insert into bulk_change_games (bulk_id, game_id, price_before, state, reason) select id, {game}, 1, 'SKIPPED', 'CHANGED' from b"]
    only_a_game_that_is_left_out_has_a_reason: "bulk_change_games_reason_of_skipped"
        refuses [
            "with b as (insert into bulk_changes (id, kind, as_of) values ({new}, 'HIDE', now()) returning id)
             insert into bulk_change_games (bulk_id, game_id, price_before, state) select id, {game}, 1, 'SKIPPED' from b",
            "with b as (insert into bulk_changes (id, kind, as_of) values ({new}, 'HIDE', now()) returning id)
             insert into bulk_change_games (bulk_id, game_id, price_before, reason) select id, {game}, 1, 'CHANGED' from b",
        ]
        allows ["with b as (insert into bulk_changes (id, kind, as_of) values ({new}, 'HIDE', now()) returning id)
                 insert into bulk_change_games (bulk_id, game_id, price_before, state, reason) select id, {game}, 1, 'KEPT', 'SOLD' from b"]
    prices_of_a_bulk_change_are_positive: "bulk_change_games_prices_positive"
        refuses [
            "with b as (insert into bulk_changes (id, kind, as_of) values ({new}, 'HIDE', now()) returning id)
             insert into bulk_change_games (bulk_id, game_id, price_before) select id, {game}, 0 from b",
            "with b as (insert into bulk_changes (id, kind, as_of) values ({new}, 'HIDE', now()) returning id)
             insert into bulk_change_games (bulk_id, game_id, price_before, price_after) select id, {game}, 1, 'NaN' from b",
        ]
        allows ["with b as (insert into bulk_changes (id, kind, as_of) values ({new}, 'HIDE', now()) returning id)
                 insert into bulk_change_games (bulk_id, game_id, price_before, price_after, cost) select id, {game}, 1, 2, 0.5 from b"]
    a_scheduled_change_is_of_a_known_field: "scheduled_changes_field_known"
        refuses ["insert into scheduled_changes (id, game_id, field, value, starts_at) values ({new}, {game}, 'TITLE', true, now())"]
        allows ["insert into scheduled_changes (id, game_id, field, value, starts_at) values ({new}, {game}, 'FEATURED', true, now())"]
    a_scheduled_change_has_a_known_state: "scheduled_changes_state_known"
        refuses ["insert into scheduled_changes (id, game_id, field, value, starts_at, state) values ({new}, {game}, 'VISIBLE', true, now(), 'LOST')"]
        allows ["insert into scheduled_changes (id, game_id, field, value, starts_at, state) values ({new}, {game}, 'VISIBLE', true, now(), 'WAITING')"]
    a_scheduled_change_says_what_it_sets: "scheduled_changes_says_what"
        refuses [
            "insert into scheduled_changes (id, game_id, field, starts_at) values ({new}, {game}, 'PRICE', now())",
            "insert into scheduled_changes (id, game_id, field, price, starts_at) values ({new}, {game}, 'PRICE', 0, now())",
            "insert into scheduled_changes (id, game_id, field, price, value, starts_at) values ({new}, {game}, 'PRICE', 1, true, now())",
            "insert into scheduled_changes (id, game_id, field, value, is_sale, starts_at) values ({new}, {game}, 'VISIBLE', true, true, now())",
        ]
        allows ["insert into scheduled_changes (id, game_id, field, price, is_sale, starts_at) values ({new}, {game}, 'PRICE', 1, true, now())"]
    a_scheduled_change_ends_after_it_begins: "scheduled_changes_ends_later"
        refuses [
            "insert into scheduled_changes (id, game_id, field, value, starts_at, ends_at) values ({new}, {game}, 'VISIBLE', true, now(), now())",
            "insert into scheduled_changes (id, game_id, field, value, starts_at, ends_at) values ({new}, {game}, 'VISIBLE', true, now(), 'infinity')",
        ]
        allows ["insert into scheduled_changes (id, game_id, field, value, starts_at, ends_at) values ({new}, {game}, 'VISIBLE', true, now(), now() + interval '1 s')"]
    a_scheduled_change_is_over_at_a_time: "scheduled_changes_finished_when_over"
        refuses [
            "insert into scheduled_changes (id, game_id, field, value, starts_at, state) values ({new}, {game}, 'VISIBLE', true, now(), 'DONE')",
            "insert into scheduled_changes (id, game_id, field, value, starts_at, finished_at) values ({new}, {game}, 'VISIBLE', true, now(), now())",
        ]
        allows ["insert into scheduled_changes (id, game_id, field, value, starts_at, state, finished_at) values ({new}, {game}, 'VISIBLE', true, now(), 'SKIPPED', now())"]
    an_active_change_knows_what_it_goes_back_to: "scheduled_changes_active_until_its_end"
        refuses [
            "insert into scheduled_changes (id, game_id, field, value, starts_at, state, before) values ({new}, {game}, 'VISIBLE', true, now(), 'ACTIVE', '{}')",
            "insert into scheduled_changes (id, game_id, field, value, starts_at, ends_at, state) values ({new}, {game}, 'VISIBLE', true, now(), now() + interval '1 h', 'ACTIVE')",
        ]
        allows ["insert into scheduled_changes (id, game_id, field, value, starts_at, ends_at, state, before)
                 values ({new}, {game}, 'VISIBLE', true, now(), now() + interval '1 h', 'ACTIVE', '{}')"]
    scheduled_changes_of_one_field_do_not_overlap: "scheduled_changes_do_not_overlap"
        refuses [
            "insert into scheduled_changes (id, game_id, field, value, starts_at, ends_at) values
                ({new}, {game}, 'VISIBLE', false, '2030-01-01Z', '2030-01-03Z'), ({new_order}, {game}, 'VISIBLE', true, '2030-01-02Z', '2030-01-04Z')",
            "insert into scheduled_changes (id, game_id, field, value, starts_at, ends_at) values
                ({new}, {game}, 'VISIBLE', false, '2030-01-01Z', '2030-01-03Z'), ({new_order}, {game}, 'VISIBLE', true, '2030-01-01Z', null)",
            "insert into scheduled_changes (id, game_id, field, value, starts_at, ends_at) values
                ({new}, {game}, 'VISIBLE', false, '2030-01-01Z', null), ({new_order}, {game}, 'VISIBLE', true, '2030-01-01Z', null)",
        ]
        allows [
            "insert into scheduled_changes (id, game_id, field, value, starts_at, ends_at) values
                ({new}, {game}, 'VISIBLE', false, '2030-01-01Z', '2030-01-03Z'), ({new_order}, {game}, 'VISIBLE', true, '2030-01-03Z', null)",
            "insert into scheduled_changes (id, game_id, field, value, starts_at, ends_at) values
                ({new}, {game}, 'VISIBLE', false, '2030-01-01Z', '2030-01-03Z'), ({new_order}, {game}, 'FEATURED', true, '2030-01-02Z', null),
                ({new_item}, {other_game}, 'VISIBLE', true, '2030-01-02Z', null)",
        ]
    a_batch_has_a_name: "promo_batches_name_bounded"
        refuses ["insert into promo_batches (id, name) values ({new}, '')"]
        allows ["insert into promo_batches (id, name) values ({new}, 'Spring')"]
    a_fixed_amount_is_positive: "promo_codes_amount_positive"
        refuses ["update promo_codes set discount = 0, amount = 0", "update promo_codes set discount = 0, amount = 'NaN'"]
        allows ["update promo_codes set discount = 0, amount = 0.01"]
    a_least_order_is_positive: "promo_codes_min_order_positive"
        refuses ["update promo_codes set min_order = 0", "update promo_codes set min_order = 'NaN'"]
        allows ["update promo_codes set min_order = 0.01"]
    a_limit_of_uses_of_a_customer_is_positive: "promo_codes_max_per_customer_positive"
        refuses ["update promo_codes set max_per_customer = 0"]
        allows ["update promo_codes set max_per_customer = 1"]
    uses_of_a_customer_are_counted_from_zero: "promo_code_customers_uses_not_negative"
        refuses ["insert into promo_code_customers (promo_code_id, user_id, uses) select id, {user}, -1 from promo_codes"]
        allows ["insert into promo_code_customers (promo_code_id, user_id, uses) select id, {user}, 0 from promo_codes"]
    a_customer_uses_a_code_no_more_often_than_they_may: "promo_codes_uses_per_customer"
        refuses [
            "update promo_codes set max_uses = null, max_per_customer = 1;
             insert into orders (user_id, subtotal, total, promo_code) values ({user}, 25, 25, 'ONCE'), ({user}, 25, 25, 'ONCE')",
        ]
        allows [
            "update promo_codes set max_uses = null, max_per_customer = 1;
             insert into orders (id, user_id, subtotal, total, promo_code) values ({new_order}, {user}, 25, 25, 'ONCE'), ({new}, {other_user}, 25, 25, 'ONCE');
             delete from orders where id in ({new_order}, {new})",
        ]
    a_code_for_a_first_order_is_used_for_that: "promo_codes_first_order"
        refuses [
            "update promo_codes set first_order_only = true;
             insert into orders (user_id, subtotal, total, promo_code) values ({user}, 25, 25, 'ONCE')",
        ]
        allows [
            "update promo_codes set first_order_only = true;
             insert into orders (id, user_id, subtotal, total, promo_code) values ({new_order}, {other_user}, 25, 25, 'ONCE');
             delete from orders where id = {new_order}",
        ]
}
