-- The rules of 0312_bought_replacements.sql hold for every row: checked while the shop goes on.
alter table order_units validate constraint order_units_faulty_key_fk;
alter table order_units validate constraint order_units_faulty_key_in_flight;
alter table order_units validate constraint order_units_told_of_its_end;
alter table order_units validate constraint order_units_goodwill_is_of_delivered;
alter table incidents validate constraint incidents_kind_known;
