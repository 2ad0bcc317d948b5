-- A delivery may name its payer by e-mail address only. Its addresses are stored beside it, normalised like those of accounts:
-- whoever has proved one of them finds the delivery in their data export, and the deletion of their account erases its bytes.
-- Deliveries from before this migration are forgotten by their age alone.
alter table unused_deliveries add column payers text[] not null default '{}'
    constraint unused_deliveries_payers_bounded check (cardinality(payers) <= 32);

-- The data export and the deletion of an account.
create index unused_deliveries_payers_idx on unused_deliveries using gin (payers);

-- The digest outlives erased bytes: the same delivery is then counted, and not stored again.
alter table unused_deliveries alter column digest drop expression;
alter table unused_deliveries add constraint unused_deliveries_digest_of_the_body
    check (body = '' or digest = sha256(body));

create function unused_deliveries_digest() returns trigger language plpgsql set search_path from current as $$
begin
    new.digest := sha256(new.body);
    return new;
end $$;
create trigger unused_deliveries_digest before insert on unused_deliveries
    for each row when (new.digest is null) execute function unused_deliveries_digest();
