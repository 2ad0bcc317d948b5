-- A form that was refused because its balance was not the newest one stays refused, whatever its session is shown later.
alter table seen_balances add column refused boolean not null default false;
