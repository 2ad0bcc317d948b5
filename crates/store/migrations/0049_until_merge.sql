-- Stands in for 0040 until that is here.
create table if not exists key_reveals (
    id          uuid primary key default gen_random_uuid(),
    game_key_id uuid not null references game_keys (id) on delete restrict,
    user_id     uuid not null references users (id) on delete restrict,
    how         text not null constraint key_reveals_how_known check (how in ('API', 'PAGE', 'FILE', 'MAIL', 'CONSOLE')),
    at          timestamptz not null default now()
);
alter table mail_outbox drop constraint mail_outbox_kind_known;
alter table mail_outbox add constraint mail_outbox_kind_known check (kind in (
    'welcome', 'verification', 'reset', 'password-changed', 'new-device', 'order-received', 'keys-ready', 'refund', 'top-up'));
