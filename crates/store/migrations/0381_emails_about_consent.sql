-- E-mails that confirm a consent, and those about withdrawals.
alter table mail_outbox drop constraint mail_outbox_kind_known;
alter table mail_outbox add constraint mail_outbox_kind_known check (kind in (
    'welcome', 'verification', 'reset', 'password-changed', 'new-device', 'order-received', 'keys-ready', 'refund', 'top-up',
    'back-in-stock', 'second-factor-added', 'second-factor-removed', 'second-factor-reset', 'account-deleted',
    'announcement', 'consent-confirmed', 'withdrawal-received', 'withdrawal-decided')) not valid;
