-- What a session says of its user (address, role, whether the address is proved, whether the account is there) changes
-- rarely, and what else stands in the user's row with every order. So a remembered session hangs on a tag of its own, and
-- is not read again because its holder has bought something. In place of the functions for `users` of 0005_cache.sql.
do $do$
declare
    event record;
begin
    for event in select * from (values
        ('insert', 'new_rows', 'select * from new_rows', 'select id from new_rows'),
        ('update', 'new_rows', 'select * from old_rows union all select * from new_rows',
         $$(select id, email, role, email_verified, deleted_at from old_rows
            except select id, email, role, email_verified, deleted_at from new_rows)
           union all
           (select id, email, role, email_verified, deleted_at from new_rows
            except select id, email, role, email_verified, deleted_at from old_rows)$$),
        ('delete', 'old_rows', 'select * from old_rows', 'select id from old_rows')
    ) as map (name, counted, changed, other_person) loop
        execute format($sql$
            create or replace function cache_users_%1$s() returns trigger language plpgsql set search_path from current as $body$
            declare
                made_untrue text[];
            begin
                if (select count(*) from (select from %2$s limit 257) few) > 256 then
                    made_untrue := '{user:*}';
                else
                    select array_agg(distinct t) into made_untrue
                      from (select 'user:' || r.id || ':profile' from (%3$s) r
                            union all
                            select 'user:' || r.id || ':session:all' from (%4$s) r) tags (t);
                end if;
                if made_untrue is not null then
                    insert into cache_inval (tags) values (made_untrue);
                end if;
                return null;
            end $body$;
        $sql$, event.name, event.counted, event.changed, event.other_person);
    end loop;
end $do$;
