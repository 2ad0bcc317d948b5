-- What staff may do. A role is a set of permissions, and an account has at most one. An owner (`users.role` is ADMIN) may do
-- everything and is no row here: nothing that happens to these tables locks the owner out.
create table staff_roles (
    name       text primary key
               constraint staff_roles_name_is_upper_case check (name ~ '^[A-Z][A-Z0-9_]{1,39}$')
               constraint staff_roles_name_is_free check (name not in ('USER', 'ADMIN', 'OWNER')),
    created_at timestamptz not null default now()
);

create table staff_role_permissions (
    role       text not null references staff_roles (name) on update cascade on delete cascade,
    -- The same names as `lockstep_domain::staff`; a test compares them.
    permission text not null constraint staff_role_permissions_known check (permission in (
        'audit.read', 'balance.adjust', 'carts.read', 'carts.write', 'catalogue.read', 'catalogue.write', 'content.read',
        'content.write', 'dashboard.read', 'email.read', 'email.write', 'keys.read', 'keys.write', 'orders.read',
        'orders.refund', 'orders.write', 'payments.read', 'promotions.read', 'promotions.write', 'staff.write',
        'supplier.read', 'supplier.write', 'system.read', 'system.write', 'users.delete', 'users.read', 'users.write')),
    primary key (role, permission)
);

insert into staff_roles (name) values ('MANAGER'), ('SUPPORT'), ('CONTENT'), ('ANALYST');
insert into staff_role_permissions (role, permission)
select role, unnest(permissions) from (values
    ('MANAGER', array['carts.read', 'carts.write', 'catalogue.read', 'catalogue.write', 'content.read', 'content.write',
                      'dashboard.read', 'email.read', 'keys.read', 'keys.write', 'orders.read', 'orders.refund',
                      'orders.write', 'payments.read', 'promotions.read', 'promotions.write', 'supplier.read',
                      'supplier.write', 'system.read', 'users.read']),
    ('SUPPORT', array['carts.read', 'carts.write', 'catalogue.read', 'dashboard.read', 'keys.read', 'orders.read',
                      'orders.write', 'payments.read', 'promotions.read', 'users.read', 'users.write']),
    ('CONTENT', array['catalogue.read', 'content.read', 'content.write', 'email.read', 'email.write']),
    -- Nothing that lists people.
    ('ANALYST', array['catalogue.read', 'content.read', 'dashboard.read', 'promotions.read', 'supplier.read', 'system.read'])
) as roles (role, permissions);

-- Null: no member of staff, or an owner. The rules are validated in the next file, without a lock that stops the shop.
alter table users add column staff_role text;
alter table users
    add constraint users_staff_role_fkey foreign key (staff_role) references staff_roles (name) on update cascade on delete restrict not valid,
    -- An owner needs no role, and a deleted account has none.
    add constraint users_staff_role_of_a_user check (staff_role is null or (role = 'USER' and deleted_at is null)) not valid;

-- How long a session lasts depends on whether its user is staff, so a remembered one becomes untrue with the role (in place of
-- the function of 0090_session_tags.sql).
create or replace function cache_users_update() returns trigger language plpgsql set search_path from current as $body$
declare
    made_untrue text[];
begin
    if (select count(*) from (select from new_rows limit 257) few) > 256 then
        made_untrue := '{user:*}';
    else
        select array_agg(distinct t) into made_untrue
          from (select 'user:' || r.id || ':profile' from (select * from old_rows union all select * from new_rows) r
                union all
                select 'user:' || r.id || ':session:all'
                  from ((select id, email, role, staff_role, email_verified, deleted_at from old_rows
                         except select id, email, role, staff_role, email_verified, deleted_at from new_rows)
                        union all
                        (select id, email, role, staff_role, email_verified, deleted_at from new_rows
                         except select id, email, role, staff_role, email_verified, deleted_at from old_rows)) r) tags (t);
    end if;
    if made_untrue is not null then
        insert into cache_inval (tags) values (made_untrue);
    end if;
    return null;
end $body$;
