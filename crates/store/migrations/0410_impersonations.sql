-- Impersonation: a member of staff opens the shop as a customer, in a session of that customer that is marked (0411), short, and
-- over with the session of the member of staff. Such a session looks; it buys nothing, reveals nothing and changes nobody (0413).
-- Each of its requests is recorded before it is answered.
create table impersonations (
    id         uuid primary key,                          -- also of its session in user_sessions, while it lasts
    staff_id   uuid not null references users (id) on delete cascade,
    user_id    uuid not null references users (id) on delete cascade,
    reason     text not null constraint impersonations_reason_bounded check (length(reason) between 1 and 500),
    began_at   timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at   timestamptz,                               -- null while it lasts
    -- How many requests are recorded; with the last one it is over.
    requests   integer not null default 0 constraint impersonations_requests_bounded check (requests between 0 and 2000),
    constraint impersonations_of_somebody_else check (staff_id <> user_id),
    constraint impersonations_short check (expires_at > began_at and expires_at <= began_at + interval '30 minutes'),
    constraint impersonations_end_later check (ended_at >= began_at)
);
-- Those of a customer, of a member of staff, and the oldest.
create index impersonations_user_id_idx on impersonations (user_id, began_at);
create index impersonations_staff_id_idx on impersonations (staff_id);
create index impersonations_began_at_idx on impersonations (began_at);

create table impersonation_requests (
    impersonation_id uuid not null references impersonations (id) on delete cascade,
    number           integer not null,                    -- from 1
    at               timestamptz not null default now(),
    method           text not null constraint impersonation_requests_method_known
                     check (method in ('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'OTHER')),
    path             text not null constraint impersonation_requests_path_without_query
                     check (length(path) between 1 and 300 and path !~ '[?#[:cntrl:]]'),
    refused          boolean not null,                    -- it asked for what such a session may not do
    primary key (impersonation_id, number)
);

-- The permission for it: of those who look after customers, unless the operator has taken customers from their role.
alter table staff_role_permissions drop constraint staff_role_permissions_known;
alter table staff_role_permissions add constraint staff_role_permissions_known check (permission in (
    'audit.read', 'balance.adjust', 'carts.read', 'carts.write', 'catalogue.read', 'catalogue.write', 'content.read',
    'content.write', 'dashboard.read', 'email.read', 'email.write', 'keys.read', 'keys.write', 'orders.read',
    'orders.refund', 'orders.write', 'payments.read', 'prices.read', 'prices.write', 'promotions.read', 'promotions.write',
    'staff.write', 'supplier.read', 'supplier.write', 'system.read', 'system.write', 'users.delete', 'users.impersonate',
    'users.read', 'users.write', 'webhooks.read', 'webhooks.write'));
insert into staff_role_permissions (role, permission)
select role, 'users.impersonate' from staff_role_permissions where role in ('MANAGER', 'SUPPORT') and permission = 'users.read';
