//! Keys: stored once, for one unit, never taken back.

use crate::world::rules;

rules! {
    a_key_is_stored_once: "game_keys_key_hash_key"
        refuses ["insert into game_keys (game_id, key_ciphertext, key_hash) select game_id, 'x', key_hash from game_keys where id = {key}"]
        allows ["insert into game_keys (game_id, key_ciphertext, key_hash) values ({game}, 'x', sha256('x'))"]
    a_keys_hash_has_32_bytes: "game_keys_key_hash_length"
        refuses ["insert into game_keys (game_id, key_ciphertext, key_hash) values ({game}, 'x', 'short')"]
        allows ["insert into game_keys (game_id, key_ciphertext, key_hash) values ({game}, 'x', sha256('x'))"]
    a_key_is_of_a_game: "game_keys_game_id_fkey"
        refuses ["insert into game_keys (game_id, key_ciphertext, key_hash) values ({new}, 'x', sha256('x'))"]
        allows ["insert into game_keys (game_id, key_ciphertext, key_hash) values ({other_game}, 'x', sha256('x'))"]
    a_unit_gets_one_key: "game_keys_order_unit_id_key"
        refuses ["update game_keys set order_id = {delivered_order}, order_unit_id = {delivered_unit} where id = {key}"]
        allows ["update order_units set state = 'DONE' where id = {unit};
                 update game_keys set order_id = {order}, order_unit_id = {unit} where id = {key}"]
    a_key_names_its_order_and_its_unit: "game_keys_order_and_unit_together"
        refuses ["update game_keys set order_id = {order} where id = {key}", "update game_keys set order_id = null where id = {sold_key}"]
        allows ["update game_keys set order_id = null where id = {key}"]
    a_key_fits_the_game_and_order_of_its_unit: "game_keys_unit_fk"
        refuses [
            "update game_keys set order_id = {delivered_order}, order_unit_id = {unit} where id = {key}",
            "update game_keys set game_id = {other_game} where id = {sold_key}",
            "delete from order_units where id = {delivered_unit}",
        ]
        allows ["update game_keys set game_id = {other_game} where id = {key}"]
    a_key_bought_at_g2a_is_recorded_once: "game_keys_g2a_order_id_key"
        refuses ["update game_keys set g2a_order_id = 'o'"]
        allows ["update game_keys set g2a_order_id = id::text"]
    a_sold_key_never_changes_its_order: "game_keys_sold_once"
        refuses [
            "update game_keys set order_id = {order}, order_unit_id = {unit} where id = {sold_key}",
            "update game_keys set order_id = null, order_unit_id = null where id = {sold_key}",
            // A faulty key stays known as what it was.
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update game_keys set faulty_at = null, faulty_order_id = null, faulty_unit_id = null where id = {sold_key}",
            // It goes back only while its unit names it, and only to that.
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update game_keys set order_id = faulty_order_id, order_unit_id = faulty_unit_id, faulty_at = null, faulty_order_id = null,
                    faulty_unit_id = null, activated = false, activation_date = null where id = {sold_key}",
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit};
             update game_keys set order_id = {order}, order_unit_id = {unit}, faulty_at = null, faulty_order_id = null,
                    faulty_unit_id = null, activated = false, activation_date = null where id = {sold_key}",
        ]
        allows [
            "update game_keys set activated = true, activation_date = now() where id = {sold_key}",
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update order_units set state = 'NEW', faulty_key_id = {sold_key} where id = {delivered_unit};
             update game_keys set order_id = faulty_order_id, order_unit_id = faulty_unit_id, faulty_at = null, faulty_order_id = null,
                    faulty_unit_id = null, activated = false, activation_date = null where id = {sold_key};
             update order_units set state = 'DONE', faulty_key_id = null where id = {delivered_unit}",
        ]
    a_sold_key_is_never_deleted: "game_keys_kept"
        refuses [
            "delete from game_keys where id = {sold_key}",
            "truncate game_keys cascade",
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             delete from game_keys where id = {sold_key}",
        ]
        allows ["delete from game_keys where id = {key}"]
    an_activation_has_a_date: "game_keys_activation_has_a_date"
        refuses ["update game_keys set activated = true", "update game_keys set activation_date = now()"]
        allows ["update game_keys set activated = true, activation_date = now()"]
    a_key_costs_nothing_or_more: "game_keys_cost_not_negative"
        refuses ["update game_keys set cost = -0.01", "update game_keys set cost = 'NaN'"]
        allows ["update game_keys set cost = 0"]
    a_faulty_key_says_when_and_whose_it_was: "game_keys_faulty_whole"
        refuses ["update game_keys set faulty_at = now() where id = {sold_key}"]
        allows ["update game_keys set faulty_at = null where id = {sold_key}"]
    a_faulty_key_is_out_of_stock: "game_keys_faulty_is_out"
        refuses [
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id where id = {sold_key}",
            "update game_keys set faulty_at = now(), faulty_order_id = order_id, faulty_unit_id = order_unit_id,
                    activated = true, activation_date = now() where id = {sold_key}",
        ]
        allows [
            "update game_keys set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
                    faulty_unit_id = order_unit_id, activated = true, activation_date = now() where id = {sold_key};
             update game_keys set order_id = {delivered_order}, order_unit_id = {delivered_unit} where id = {key}",
        ]
    only_a_delivered_key_turns_out_faulty: "game_keys_faulty_was_sold"
        refuses [
            "update game_keys set faulty_at = now(), faulty_order_id = {delivered_order}, faulty_unit_id = {delivered_unit},
                    activated = true, activation_date = now() where id = {key}",
        ]
        allows ["update game_keys set activated = true, activation_date = now() where id = {key}"]
}
