-- A top-up that was paid with another amount or currency than intended: what was paid, and what staff credited for it.

alter table top_ups
    add column paid_amount     numeric(20,2),              -- in units of paid_currency; null: as intended, or not paid
    add column paid_currency   text constraint top_ups_paid_currency_bounded check (length(paid_currency) between 1 and 10),
    add column credited_amount numeric(12,2),              -- EUR; null: the amount, once it is credited
    add constraint top_ups_paid_amount_has_its_currency check ((paid_amount is null) = (paid_currency is null)),
    add constraint top_ups_credited_amount_of_a_credit check (credited_amount is null or transaction_id is not null);

-- As in 0052, but staff may have credited another amount.
create or replace function top_ups_guard() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'UPDATE' then
        if (old.user_id, old.amount, old.provider, old.idempotency_key)
           is distinct from (new.user_id, new.amount, new.provider, new.idempotency_key)
           or (old.reference is not null and new.reference is distinct from old.reference) then
            raise exception 'who pays what through whom does not change'
                using errcode = 'check_violation', constraint = 'top_ups_facts_fixed', table = 'top_ups';
        end if;
        -- Money may still arrive for one that was given up; none is taken back.
        if old.status = 'COMPLETED' and (new.status <> 'COMPLETED' or new.transaction_id <> old.transaction_id) then
            raise exception 'top-up % is credited', old.id
                using errcode = 'check_violation', constraint = 'top_ups_credited_once', table = 'top_ups';
        end if;
    end if;
    if new.transaction_id is not null and not exists (
        select 1 from transactions t where t.id = new.transaction_id and t.type = 'TOP_UP' and t.status = 'COMPLETED'
           and t.user_id = new.user_id and t.amount = coalesce(new.credited_amount, new.amount)) then
        raise exception 'what is credited for a top-up is its amount, or what staff credited, to its owner'
            using errcode = 'check_violation', constraint = 'top_ups_credit_is_the_amount', table = 'top_ups';
    end if;
    return new;
end $$;

-- Those from before: the amount stands in a sentence only, in one form.
update top_ups set paid_amount = said[1]::numeric, paid_currency = said[2]
  from (select id as found, regexp_match(problem, '^paid were (\d{1,12}\.\d\d) ([A-Z]{3}) instead of') as said
          from top_ups where review = 'OTHER_AMOUNT') sentences
 where id = found and said is not null;
