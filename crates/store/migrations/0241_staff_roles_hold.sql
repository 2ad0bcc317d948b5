-- The rules of 0240_staff_roles.sql hold for every row: checked while the shop goes on.
alter table users validate constraint users_staff_role_fkey;
alter table users validate constraint users_staff_role_of_a_user;
