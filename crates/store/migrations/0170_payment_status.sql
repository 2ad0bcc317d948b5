-- An order's payment status follows its money: CANCELLED when all of it is back with the shopper, and only then. While part
-- of it went back it stays COMPLETED; how much went back is the sum of the order's refunds.

create function orders_payment_status() returns trigger language plpgsql set search_path from current as $$
begin
    if new.status in ('FAILED', 'CANCELLED')
       or (new.total > 0 and new.total = (select coalesce(sum(amount), 0) from transactions
                                           where order_id = new.id and type = 'REFUND' and status = 'COMPLETED')) then
        new.payment_status := 'CANCELLED';
    elsif new.payment_status = 'CANCELLED' and exists (
        select 1 from transactions where order_id = new.id and type = 'PURCHASE' and status = 'COMPLETED') then
        raise exception 'the money of order % is not back', new.id
            using errcode = 'check_violation', constraint = 'orders_payment_status_is_true', table = 'orders';
    end if;
    return new;
end $$;
create trigger orders_payment_status before update of status, payment_status on orders for each row
    when (new.payment_status is not null) execute function orders_payment_status();

create function transactions_cancel_payment() returns trigger language plpgsql set search_path from current as $$
begin
    update orders o set payment_status = 'CANCELLED'
     where o.id = new.order_id and o.payment_status <> 'CANCELLED'
       and o.total = (select sum(amount) from transactions
                       where order_id = o.id and type = 'REFUND' and status = 'COMPLETED');
    return null;
end $$;
create trigger transactions_cancel_payment after insert or update of status on transactions for each row
    when (new.type = 'REFUND' and new.status = 'COMPLETED' and new.order_id is not null)
    execute function transactions_cancel_payment();

-- Orders from before.
update orders o set payment_status = 'CANCELLED'
 where o.payment_status <> 'CANCELLED'
   and (o.status in ('FAILED', 'CANCELLED')
        or o.id in (select t.order_id from transactions t
                     where t.type = 'REFUND' and t.status = 'COMPLETED' and t.order_id is not null
                     group by t.order_id having sum(t.amount) = (select total from orders where id = t.order_id)));
