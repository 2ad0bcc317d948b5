-- no-transaction
-- Who has a role: it is not deleted while somebody has it.
create index concurrently users_staff_role_idx on users (staff_role) where staff_role is not null;
