-- In which language a user reads pages, and so gets e-mails; null: not known yet.
alter table users add column language text constraint users_language_known check (language in ('en', 'de'));
