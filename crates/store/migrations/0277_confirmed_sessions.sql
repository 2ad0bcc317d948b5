-- What is dangerous asks staff for their password again (crates/store/src/accounts/staff.rs): a session is confirmed for
-- five minutes, counted from its log-in or from here.
alter table user_sessions add column confirmed_at timestamptz;
comment on column user_sessions.confirmed_at is 'when the password was last given after the log-in';

-- The most that a role refunds at once without giving the password again.
alter table staff_roles add column refund_limit numeric(12,2)
    constraint staff_roles_refund_limit_positive check (refund_limit > 0 and refund_limit < 'NaN');
comment on column staff_roles.refund_limit is 'EUR; null for no limit';
update staff_roles set refund_limit = 200 where name = 'MANAGER';
update staff_roles set refund_limit = 20 where name = 'SUPPORT';
-- Support refunds as well, unless the operator has made the role another one.
insert into staff_role_permissions
select 'SUPPORT', 'orders.refund' from staff_role_permissions where role = 'SUPPORT'
having array_agg(permission order by permission) = array['carts.read', 'carts.write', 'catalogue.read', 'dashboard.read', 'keys.read',
    'orders.read', 'orders.write', 'payments.read', 'promotions.read', 'users.read', 'users.write'];
