-- Accounts that come from another shop may have a quoted local part, with spaces and @ inside (`"ada lovelace"@example.com`).
-- Registering stays stricter (crates/domain/src/account/email.rs).
alter table users drop constraint users_email_is_an_address;
alter table users add constraint users_email_is_an_address
    check (email ~ '^("[^"[:cntrl:]]+"|[^@[:space:]]+)@[^@[:space:]]+$' and length(email) <= 254) not valid;
alter table users validate constraint users_email_is_an_address;
