-- Checks the rules of 0360 while the shop goes on.
alter table users validate constraint users_language_known;
alter table pages validate constraint pages_language_known;
alter table banners validate constraint banners_language_known;
