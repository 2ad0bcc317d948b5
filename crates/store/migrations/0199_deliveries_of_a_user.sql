-- A delivery that names a top-up holds what a payment service knows of its payer: it belongs to that person's data export, and
-- forgets its bytes when the account is deleted. Those that were kept before are forgotten by their age alone.
alter table unused_deliveries add column user_id uuid references users (id) on delete cascade;

-- The data export, in its order, and the deletion of an account.
create index unused_deliveries_user_id_idx on unused_deliveries (user_id, received_at, id) where user_id is not null;

create trigger a_owner_is_there before insert or update of user_id on unused_deliveries
    for each row execute function refuse_deleted_owner('user_id');
