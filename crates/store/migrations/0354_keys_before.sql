-- The keys from before 0352_key_counts.sql, while the shop goes on; and the rule of 0350_game_pictures.sql, without a lock that
-- anybody waits for.
select key_counts_again();
alter table games validate constraint games_fields_by_hand_known;
