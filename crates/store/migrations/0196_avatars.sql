-- The picture that a user has uploaded, as it is served: made small from what was sent. Its address in `users.avatar` holds
-- the id; when that says another address, or none, the picture goes.
create table avatars (
    user_id    uuid primary key references users (id) on delete cascade,
    id         uuid not null constraint avatars_id_key unique,     -- new with every picture, so that no cache is wrong
    image      bytea not null constraint avatars_image_is_a_small_webp check (
                   octet_length(image) between 12 and 131072
                   and substring(image from 1 for 4) = 'RIFF' and substring(image from 9 for 4) = 'WEBP'),
    created_at timestamptz not null default now()
);

create trigger a_owner_is_there before insert or update of user_id on avatars
    for each row execute function refuse_deleted_owner('user_id');

create function avatars_forget() returns trigger language plpgsql set search_path from current as $$
begin
    delete from avatars where user_id = new.id and strpos(coalesce(new.avatar, ''), id::text) = 0;
    return null;
end $$;

create trigger avatars_forget after update of avatar on users for each row
    when (old.avatar is distinct from new.avatar) execute function avatars_forget();
