-- Which pages of orders, customers, games, promo codes and keys a member of staff has opened last. Names are not kept: they
-- are read when they are shown.
create table recent_things (
    user_id  uuid not null references users (id) on delete cascade,
    kind     text not null constraint recent_things_kind_known check (kind in ('order', 'user', 'game', 'promo', 'key')),
    thing_id uuid not null,
    seen_at  timestamptz not null default clock_timestamp(),
    primary key (user_id, kind, thing_id)
);
create trigger a_owner_is_there before insert or update of user_id on recent_things
    for each row execute function refuse_deleted_owner('user_id');
