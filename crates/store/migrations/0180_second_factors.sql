-- Second factors outlive LOCKSTEP_KEY_SECRET: the secret that an authenticator shares is stored sealed, and `lockstep keys
-- rotate` seals it with the newest secret. Recovery codes replace an authenticator that was lost.

alter table user_totp
    -- 20 bytes, sealed for `user_totp.sealed/{user_id}`; several candidates where the key that an older version derived it
    -- with is not known. Null: made by an older version, which derives it from the nonce.
    add column sealed bytea constraint user_totp_sealed_bounded check (octet_length(sealed) between 1 and 1000),
    -- SHA-256 of each code that was not used yet. The codes have 80 random bits, so the hash needs no key and survives the
    -- loss of LOCKSTEP_KEY_SECRET.
    add column recovery_codes bytea[] not null default '{}'
        constraint user_totp_recovery_codes_bounded check (cardinality(recovery_codes) <= 10);

-- A rotation walks over all rows by their primary key; it needs no index of its own.

-- Null: the operator, at the command line.
alter table audit_log alter column admin_id drop not null;

alter table mail_outbox drop constraint mail_outbox_kind_known;
alter table mail_outbox add constraint mail_outbox_kind_known check (kind in (
    'welcome', 'verification', 'reset', 'password-changed', 'new-device', 'order-received', 'keys-ready', 'refund', 'top-up',
    'back-in-stock', 'second-factor-added', 'second-factor-removed', 'second-factor-reset', 'account-deleted'));
