-- Who a session belongs to is asked with every request of somebody signed in, so each process remembers the answer. It
-- becomes untrue with a change of the session here, or of its user by the trigger of 0005_cache.sql.
do $do$
declare
    event record;
begin
    for event in select * from (values
        ('insert', 'referencing new table as new_rows', 'select * from new_rows'),
        ('update', 'referencing old table as old_rows new table as new_rows', 'select * from old_rows union all select * from new_rows'),
        ('delete', 'referencing old table as old_rows', 'select * from old_rows')
    ) as map (name, transition, changed) loop
        execute format($sql$
            create function cache_user_sessions_%1$s() returns trigger language plpgsql set search_path from current as $body$
            declare
                made_untrue text[];
            begin
                select array_agg(distinct 'user:' || r.user_id || ':session:' || r.id) into made_untrue from (%3$s) r;
                if made_untrue is not null then
                    insert into cache_inval (tags)
                    values (case when cardinality(made_untrue) > 256 then '{user:*}' else made_untrue end);
                end if;
                return null;
            end $body$;
            create trigger cache_%1$s after %1$s on user_sessions %2$s
                for each statement execute function cache_user_sessions_%1$s();
        $sql$, event.name, event.transition, event.changed);
    end loop;
end $do$;
create trigger cache_truncate after truncate on user_sessions for each statement execute function cache_everything();
