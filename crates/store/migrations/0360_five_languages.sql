-- The shop's pages and e-mails are in French, Spanish and Polish too. Rows that hold to the rule so far hold to the new one.
alter table users drop constraint users_language_known;
alter table users add constraint users_language_known check (language in ('en', 'de', 'fr', 'es', 'pl')) not valid;
alter table pages drop constraint pages_language_known;
alter table pages add constraint pages_language_known check (language in ('en', 'de', 'fr', 'es', 'pl')) not valid;
alter table banners drop constraint banners_language_known;
alter table banners add constraint banners_language_known check (language in ('en', 'de', 'fr', 'es', 'pl')) not valid;
