-- What every table leans on: trigram search, the enums of the seed, and the guard of `updated_at`.
--
-- Two habits of all files here. A numeric column may hold 'NaN', which PostgreSQL counts as greater than every number, so
-- `price > 0` alone would let it pass: money is checked from both sides. And a function that names a table brings its own
-- search path, so that a rule does not depend on how the program that changes a row was set up.

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
