-- The rules of 0260_keys_by_staff.sql hold for every row: checked while the shop goes on.
alter table game_keys validate constraint game_keys_cost_not_negative;
alter table game_keys validate constraint game_keys_faulty_whole;
alter table game_keys validate constraint game_keys_faulty_is_out;
alter table game_keys validate constraint game_keys_faulty_unit_fk;
