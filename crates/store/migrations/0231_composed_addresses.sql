-- Addresses are stored in composed form (NFC). One from before, with a letter and its accent as two characters, is composed
-- here, so that it is found by what the owner types and by what a payment service reports. Where that would make two accounts
-- equal, both stay as they are.
update users u set email = normalize(u.email)
 where u.email is not normalized
   and not exists (select from users o where o.id <> u.id and normalize(o.email) = normalize(u.email));
