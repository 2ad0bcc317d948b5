-- Saved views: names that staff give to the address of a list, with its filters, order and columns. One that is shared is seen
-- by everybody who may open the list.
create table saved_views (
    id         uuid primary key,
    user_id    uuid not null references users (id) on delete cascade,
    list       text not null constraint saved_views_list_is_a_path                       -- below /admin/
               check (list ~ '^[a-z0-9-]+(/[a-z0-9-]+)*$' and length(list) <= 100),
    name       text not null constraint saved_views_name_is_a_line
               check (btrim(name) = name and length(name) between 1 and 60 and name !~ '[[:cntrl:]]'),
    query      text not null constraint saved_views_query_bounded                        -- as in an address
               check (octet_length(query) <= 2000 and query ~ '^[!-~]*$'),
    shared     boolean not null default false,
    created_at timestamptz not null default now(),
    constraint saved_views_name_once unique (user_id, list, name)
);
create trigger a_owner_is_there before insert or update of user_id on saved_views
    for each row execute function refuse_deleted_owner('user_id');
