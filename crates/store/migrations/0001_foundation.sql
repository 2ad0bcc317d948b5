-- What every table leans on: trigram search, the enums of the seed, and the guard of `updated_at`.

create extension if not exists pg_trgm;

create type role as enum ('USER', 'ADMIN');
create type order_status as enum ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED');
create type payment_status as enum ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED');
create type transaction_type as enum ('TOP_UP', 'PURCHASE', 'REFUND');

-- `updated_at` tells when a row last changed, whoever changed it; it cannot be set back by hand.
create function touch_updated_at() returns trigger language plpgsql as $$
begin
    new.updated_at := greatest(now(), old.updated_at);
    return new;
end $$;
