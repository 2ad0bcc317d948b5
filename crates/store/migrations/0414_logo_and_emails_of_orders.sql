-- The shop's logo: one picture, encoded anew from what staff upload, at an address that no other picture ever has. Every page shows
-- it, so a change invalidates the answers of the home page's family.
create table branding_logo (
    only_row    boolean primary key default true constraint branding_logo_is_one_row check (only_row),
    id          uuid not null,                            -- in its address, new with every picture, so that no cache is wrong
    width       integer not null,                         -- pixels
    height      integer not null,
    plate_light boolean not null,                         -- in the light theme it stands on a dark plate, or could hardly be seen
    plate_dark  boolean not null,                         -- the same in the dark theme, on a light one
    image       bytea not null constraint branding_logo_is_a_small_png check (
                    octet_length(image) between 60 and 393216 and substring(image from 1 for 8) = '\x89504e470d0a1a0a'),
    created_at  timestamptz not null default now(),
    constraint branding_logo_fits_the_header check (width between 24 and 480 and height between 24 and 160)
);
create trigger cache_insert after insert on branding_logo referencing new table as changed_rows for each statement execute function cache_site();
create trigger cache_update after update on branding_logo referencing new table as changed_rows for each statement execute function cache_site();
create trigger cache_delete after delete on branding_logo referencing old table as changed_rows for each statement execute function cache_site();
create trigger cache_truncate after truncate on branding_logo for each statement execute function cache_everything();

-- Which order an e-mail is about, for the order's timeline, also when its content is erased. No reference: nobody deletes orders, and
-- e-mails are deleted long before. It is looked for among the e-mails of the order's customer.
alter table mail_outbox add column order_id uuid;
comment on column mail_outbox.order_id is 'the order that it is about (orders.id); null for other e-mails, and for those of before';
