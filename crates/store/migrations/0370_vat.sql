-- VAT and receipts. Everything is off until the operator states country and status (`tax_settings`).
--
-- What decides about the VAT of an order is frozen with the order (`order_taxes`). When the order completes, its receipt is made
-- from that at commit, and at each refund after that a credit note, so that receipts less credit notes are always what the shop has
-- kept of the order. Numbers have no gaps: they are drawn at commit, from a row that the transaction locks.

-- What these tables refer to among those in use comes in 0371, so that no two of those are locked at once.

-- Each statement of the operator; the newest one holds. Receipts refer to the one with which they were issued.
create table tax_settings (
    version         bigint generated always as identity primary key,
    status          text not null constraint tax_settings_status_known check (status in ('OFF', 'EXEMPT', 'STANDARD')),
    country         text constraint tax_settings_country_when_on check (status = 'OFF' or country ~ '^[A-Z]{2}$'),
    taxed_at        text not null default 'BUYER' constraint tax_settings_taxed_at_known check (taxed_at in ('BUYER', 'SHOP')),
    evidence_pieces smallint not null default 2 constraint tax_settings_evidence_pieces_known check (evidence_pieces in (1, 2)),
    seller_name     text not null default '',
    seller_street   text not null default '',
    seller_postcode text not null default '',
    seller_city     text not null default '',
    vat_id          text,
    tax_number      text,
    is_complete     boolean not null generated always as (
                        country is not null and seller_name <> '' and seller_street <> '' and seller_postcode <> ''
                        and seller_city <> '' and case status when 'STANDARD' then vat_id is not null
                        when 'EXEMPT' then coalesce(vat_id, tax_number) is not null else false end) stored,
    stated_at       timestamptz not null default now(),
    constraint tax_settings_seller_bounded check (
        length(seller_name) <= 200 and length(seller_street) <= 200 and length(seller_postcode) <= 20
        and length(seller_city) <= 200 and length(vat_id) between 4 and 20 and length(tax_number) between 1 and 50)
);

-- Sets of standard rates that were fetched. The one that ships with the program is not here.
create table vat_rate_sets (
    id        bigint generated always as identity primary key,
    source    text not null constraint vat_rate_sets_source_bounded check (length(source) between 1 and 200),
    url       text not null constraint vat_rate_sets_url_bounded check (length(url) between 1 and 2000),
    dated     date not null,
    rates     jsonb not null constraint vat_rate_sets_rates_by_country check (jsonb_typeof(rates) = 'object'),  -- percent, as text
    stored_at timestamptz not null default now()
);

-- What a shopper has entered for receipts. Deleted with the account.
create table billing_profiles (
    user_id       uuid primary key,
    country       text not null constraint billing_profiles_country_code check (country ~ '^[A-Z]{2}$'),
    name          text not null default '',
    street        text not null default '',
    postcode      text not null default '',
    city          text not null default '',
    vat_id        text,
    vat_id_check  text constraint billing_profiles_vat_id_check_known check (vat_id_check in ('VALID', 'INVALID', 'UNAVAILABLE')),
    checked_at    timestamptz,                             -- when VIES was asked about the VAT id
    updated_at    timestamptz not null default now(),
    constraint billing_profiles_checked_once_asked check ((checked_at is null) = (vat_id_check is null) and (vat_id_check is null or vat_id is not null)),
    constraint billing_profiles_bounded check (
        length(name) <= 200 and length(street) <= 200 and length(postcode) <= 20 and length(city) <= 200
        and length(vat_id) between 4 and 20)
);
create trigger a_owner_is_there before insert or update of user_id on billing_profiles
    for each row execute function refuse_deleted_owner('user_id');
create trigger billing_profiles_touch before update on billing_profiles for each row execute function touch_updated_at();

-- What was known about the buyer's country when an order was placed, and how it is taxed.
create table order_taxes (
    order_id        uuid primary key,
    settings        bigint not null references tax_settings (version) on delete restrict,
    treatment       text not null constraint order_taxes_treatment_known check (treatment in ('STANDARD', 'EXEMPT', 'REVERSE_CHARGE', 'OUTSIDE')),
    country         text not null constraint order_taxes_country_code check (country ~ '^[A-Z]{2}$'),
    rate            numeric(5,2) not null,                 -- percent
    rates_source    text not null constraint order_taxes_rates_source_bounded check (length(rates_source) between 1 and 200),
    rates_date      date not null,
    proof           text not null constraint order_taxes_proof_known check (proof in ('VAT_ID', 'AGREED', 'ONE', 'INSUFFICIENT', 'CONTRADICTED', 'MISSING')),
    billing_country text,                                  -- as stated by the buyer
    ip_country      text,                                  -- as reported by a trusted proxy
    card_country    text,                                  -- of the newest top-up by card before the order
    buyer_name      text,
    buyer_street    text,
    buyer_postcode  text,
    buyer_city      text,
    buyer_vat_id    text,
    vat_id_check    text,                                  -- what VIES said; null: not asked
    frozen_at       timestamptz not null default now(),
    constraint order_taxes_rate_of_treatment check ((treatment = 'STANDARD') = (rate > 0) and rate >= 0 and rate < 100),
    constraint order_taxes_reverse_charge_has_vat_id check (treatment <> 'REVERSE_CHARGE' or proof = 'VAT_ID'),
    constraint order_taxes_pieces_are_codes check (
        billing_country ~ '^[A-Z]{2}$' and ip_country ~ '^[A-Z]{2}$' and card_country ~ '^[A-Z]{2}$')
);
-- Those that staff should look at.
create index order_taxes_review_idx on order_taxes (frozen_at) where proof in ('INSUFFICIENT', 'CONTRADICTED', 'MISSING');
create index order_taxes_settings_idx on order_taxes (settings);
-- Those whose buyer is forgotten after ten years.
create index order_taxes_buyer_idx on order_taxes (frozen_at) where buyer_name is not null;

-- The last number of each series.
create table receipt_series (
    kind text not null,
    year smallint not null,
    last integer not null constraint receipt_series_last_positive check (last > 0),
    primary key (kind, year)
);

create table receipts (
    id             uuid primary key default gen_random_uuid(),
    kind           text not null constraint receipts_kind_known check (kind in ('RECEIPT', 'CREDIT_NOTE')),
    year           smallint not null default 0,            -- of the issue, UTC
    position       integer not null default 0,             -- within the year's series, from 1
    number         text not null default '' constraint receipts_number_key unique,
    order_id       uuid not null,
    corrects       uuid references receipts (id) on delete restrict,
    transaction_id uuid constraint receipts_transaction_id_key unique,  -- the refund of a credit note
    settings       bigint not null references tax_settings (version) on delete restrict,
    language       text not null constraint receipts_language_code check (language ~ '^[a-z]{2}$'),
    net            numeric(12,2) not null,                 -- EUR
    vat            numeric(12,2) not null,
    gross          numeric(12,2) not null,
    issued_at      timestamptz not null default now(),
    constraint receipts_add_up check (gross = net + vat and net >= 0 and vat >= 0 and gross > 0 and gross < 'NaN'),
    constraint receipts_corrects_a_receipt check ((kind = 'CREDIT_NOTE') = (corrects is not null)),
    constraint receipts_numbered_once unique (kind, year, position)
);
create unique index receipts_one_an_order on receipts (order_id) where kind = 'RECEIPT';
create index receipts_order_id_idx on receipts (order_id);
create index receipts_corrects_idx on receipts (corrects) where corrects is not null;
create index receipts_settings_idx on receipts (settings);
create index receipts_issued_at_idx on receipts (issued_at, id);

create table receipt_lines (
    receipt_id uuid not null references receipts (id) on delete restrict,
    position   integer not null,
    title      text not null,                              -- empty on a credit note
    quantity   integer not null constraint receipt_lines_quantity_positive check (quantity > 0),
    net        numeric(12,2) not null,                     -- EUR
    vat        numeric(12,2) not null,
    gross      numeric(12,2) not null constraint receipt_lines_add_up check (gross = net + vat and net >= 0 and vat >= 0),
    primary key (receipt_id, position)
);

-- The VAT in an amount that includes it, rounded half up.
create function vat_of(gross numeric, rate numeric) returns numeric language sql immutable as $$
    select round(gross * rate / (100 + rate), 2)
$$;

-- A number is the next of its series and year. The row of the series is locked until commit, and goes back with the transaction.
create function receipts_number() returns trigger language plpgsql set search_path from current as $$
begin
    new.year := extract(year from now() at time zone 'UTC');
    insert into receipt_series (kind, year, last) values (new.kind, new.year, 1)
        on conflict (kind, year) do update set last = receipt_series.last + 1 returning last into new.position;
    new.number := case new.kind when 'RECEIPT' then 'R' else 'C' end || '-' || new.year || '-' || lpad(new.position::text, 6, '0');
    new.issued_at := now();
    return new;
end $$;
create trigger receipts_number before insert on receipts for each row execute function receipts_number();

create function receipt_series_step() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'DELETE' or (tg_op = 'INSERT' and new.last <> 1)
       or (tg_op = 'UPDATE' and (new.last <> old.last + 1 or new.kind <> old.kind or new.year <> old.year)) then
        raise exception 'numbers of receipts are drawn one after the other'
            using errcode = 'check_violation', constraint = 'receipt_series_step', table = 'receipt_series';
    end if;
    return new;
end $$;
create trigger receipt_series_step before insert or update or delete on receipt_series
    for each row execute function receipt_series_step();

-- At commit, each number that was drawn has its receipt.
create function receipt_series_used() returns trigger language plpgsql set search_path from current as $$
begin
    if not exists (select from receipts where kind = new.kind and year = new.year and position = new.last) then
        raise exception 'number % of % % has no receipt', new.last, new.kind, new.year
            using errcode = 'check_violation', constraint = 'receipt_series_used', table = 'receipt_series';
    end if;
    return null;
end $$;
create constraint trigger receipt_series_used after insert or update on receipt_series
    deferrable initially deferred for each row execute function receipt_series_used();

-- At commit, the lines of a receipt are its sums.
create function receipt_has_its_lines() returns trigger language plpgsql set search_path from current as $$
declare
    subject uuid;
begin
    if tg_table_name = 'receipts' then
        subject := new.id;
    else
        subject := new.receipt_id;
    end if;
    if exists (select from receipts r,
                      lateral (select coalesce(sum(net), 0) as net, coalesce(sum(vat), 0) as vat, coalesce(sum(gross), 0) as gross
                                 from receipt_lines where receipt_id = r.id) l
                where r.id = subject and (r.net, r.vat, r.gross) is distinct from (l.net, l.vat, l.gross)) then
        raise exception 'the lines of receipt % are not its sums', subject
            using errcode = 'check_violation', constraint = 'receipts_lines_are_its_sums', table = 'receipts';
    end if;
    return null;
end $$;
create constraint trigger receipts_lines_are_its_sums after insert on receipts
    deferrable initially deferred for each row execute function receipt_has_its_lines();
create constraint trigger receipt_lines_are_its_sums after insert on receipt_lines
    deferrable initially deferred for each row execute function receipt_has_its_lines();

-- Nothing of it is changed or forgotten.
create function vat_rows_stay() returns trigger language plpgsql set search_path from current as $$
begin
    raise exception 'a row of % is never changed or deleted', tg_table_name
        using errcode = 'check_violation', constraint = 'vat_rows_kept', table = tg_table_name;
end $$;
create trigger tax_settings_kept before update or delete on tax_settings for each row execute function vat_rows_stay();
create trigger vat_rate_sets_kept before update or delete on vat_rate_sets for each row execute function vat_rows_stay();
create trigger receipts_kept before update or delete on receipts for each row execute function vat_rows_stay();
create trigger receipt_lines_kept before update or delete on receipt_lines for each row execute function vat_rows_stay();

-- Frozen in the transaction of the order. Only who the buyer was is forgotten, once the law asks for it no longer: ten years after the
-- end of the year.
create function order_taxes_frozen() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'INSERT' then
        if exists (select from orders where id = new.order_id and created_at = now()) then
            return new;
        end if;
    elsif tg_op = 'UPDATE' then
        if old.frozen_at < date_trunc('year', now() - interval '10 years')
           and num_nonnulls(new.buyer_name, new.buyer_street, new.buyer_postcode, new.buyer_city, new.buyer_vat_id) = 0
           and to_jsonb(new) - array['buyer_name', 'buyer_street', 'buyer_postcode', 'buyer_city', 'buyer_vat_id']
             = to_jsonb(old) - array['buyer_name', 'buyer_street', 'buyer_postcode', 'buyer_city', 'buyer_vat_id'] then
            return new;
        end if;
    end if;
    raise exception 'how order % is taxed is frozen when it is placed', coalesce(new.order_id, old.order_id)
        using errcode = 'check_violation', constraint = 'order_taxes_frozen', table = 'order_taxes';
end $$;
create trigger order_taxes_frozen before insert or update or delete on order_taxes
    for each row execute function order_taxes_frozen();

-- Makes the receipt that a completed order lacks, and a credit note for what was refunded and is on none. Without complete details of
-- the seller nothing is numbered; `document_orders` does it later.
create function document_order(sale_id uuid, refund uuid) returns void language plpgsql set search_path from current as $$
declare
    sale record;
    seller bigint;
    first record;
    made uuid;
    kept numeric;
    shown numeric;
    shown_vat numeric;
begin
    select o.status, o.user_id, o.total, t.rate into sale
      from orders o join order_taxes t on t.order_id = o.id where o.id = sale_id;
    if not found or sale.status <> 'COMPLETED' then
        return;
    end if;
    select version into seller from tax_settings s
     where s.is_complete and s.version = (select max(version) from tax_settings);
    if not found then
        return;
    end if;
    -- Receipts of one order one after the other.
    perform from orders where id = sale_id for no key update;
    select sale.total - coalesce(sum(amount), 0) into kept from transactions
     where order_id = sale_id and type = 'REFUND' and status = 'COMPLETED';
    select id, language into first from receipts where order_id = sale_id and kind = 'RECEIPT';
    if not found then
        select coalesce(sum(price_paid), 0) into shown from order_units where order_id = sale_id and state <> 'REFUNDED';
        if shown <= 0 then
            return;                                        -- it was free
        end if;
        insert into receipts (kind, order_id, settings, language, net, vat, gross)
        select 'RECEIPT', sale_id, seller, coalesce((select u.language from users u where u.id = sale.user_id), 'en'),
               shown - vat_of(shown, sale.rate), vat_of(shown, sale.rate), shown
        returning id, language into first;
        -- The VAT of a line is what the sum of all up to it has more than the sum before: so the lines add up.
        insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross)
        select first.id, n, title, copies, part - (vat_of(upto, sale.rate) - vat_of(upto - part, sale.rate)),
               vat_of(upto, sale.rate) - vat_of(upto - part, sale.rate), part
          from (select *, sum(part) over (order by n) as upto
                  from (select g.title, count(*)::integer as copies, sum(u.price_paid) as part,
                               row_number() over (order by u.order_item_id, u.price_paid desc) as n
                          from order_units u join games g on g.id = u.game_id
                         where u.order_id = sale_id and u.state <> 'REFUNDED'
                         group by u.order_item_id, u.price_paid, g.title) lines) summed;
    end if;
    select sum(case kind when 'RECEIPT' then gross else -gross end), sum(case kind when 'RECEIPT' then vat else -vat end)
      into shown, shown_vat from receipts where order_id = sale_id;
    if shown > kept then
        -- What is left has the VAT of its amount, so that a full refund takes back all of it.
        insert into receipts (kind, order_id, corrects, transaction_id, settings, language, net, vat, gross)
        select 'CREDIT_NOTE', sale_id, first.id, refund, seller, first.language,
               (shown - kept) - (shown_vat - vat_of(kept, sale.rate)), shown_vat - vat_of(kept, sale.rate), shown - kept
        returning id into made;
        insert into receipt_lines (receipt_id, position, title, quantity, net, vat, gross)
        select id, 1, '', 1, net, vat, gross from receipts where id = made;
    end if;
end $$;

-- Makes what is missing of at most `most` orders, oldest first; the number of orders. For when the seller's details come later.
create function document_orders(most integer) returns integer language plpgsql set search_path from current as $$
declare
    sale_id uuid;
    done integer := 0;
begin
    for sale_id in
        select o.id from order_taxes t join orders o on o.id = t.order_id
         where o.status = 'COMPLETED' and o.total > 0 and not exists (select from receipts r where r.order_id = o.id)
         order by o.completed_at limit most
    loop
        perform document_order(sale_id, null);
        done := done + 1;
    end loop;
    return done;
end $$;

create function orders_are_documented() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_table_name = 'orders' then
        perform document_order(new.id, null);
    else
        perform document_order(new.order_id, new.id);
    end if;
    return null;
end $$;

-- Every page says whether prices include VAT.
create trigger cache_insert after insert on tax_settings referencing new table as changed_rows for each statement execute function cache_site();
create trigger cache_update after update on tax_settings referencing new table as changed_rows for each statement execute function cache_site();
create trigger cache_delete after delete on tax_settings referencing old table as changed_rows for each statement execute function cache_site();
create trigger cache_truncate after truncate on tax_settings for each statement execute function cache_everything();
