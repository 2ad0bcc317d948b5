-- A number by which people name an order: ten characters of an alphabet in which none is taken for another (Crockford's),
-- fifty random bits. It tells nothing of how many orders there are.

create function new_order_number() returns text language sql volatile set search_path from current as $$
    select string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + (get_byte(bytes, n) & 31), 1), '' order by n)
      from (select uuid_send(gen_random_uuid()) as bytes) random,
           unnest(array[0, 1, 2, 3, 4, 5, 10, 11, 12, 13]) n
$$;

alter table orders add column number text not null default new_order_number()
    constraint orders_number_form check (number ~ '^[0-9A-HJKMNP-TV-Z]{10}$');
alter table orders add constraint orders_number_key unique (number);
