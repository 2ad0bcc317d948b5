-- A shop with one or two rows of each damage. Ids are hand-made texts, except where the shop itself would have made them.
-- The password of every account with a hash is: Correct-Horse-7
insert into users (id, email, "passwordHash", balance, "createdAt", nickname, "emailVerified", role) values
    ('00000000-0000-4000-8000-000000000001', 'anna@shop.example', '$2b$04$RKkymwJhnop37.XN9plhl.e4zSeTcu31ElogBfDBz1QhxdjHUoqIK', 12.50, '2026-01-01', 'Anna', true, 'USER'),
    ('u-collides', 'ANNA@Shop.example', '', 3.00, '2026-01-02', 'Newbie Guy', false, 'USER'),
    ('u-odd', '"odd one"@shop.example', '$2y$04$RKkymwJhnop37.XN9plhl.e4zSeTcu31ElogBfDBz1QhxdjHUoqIK', 0, '2026-01-03', null, false, 'USER'),
    ('u-no-address', 'not an address', '$2a$04$RKkymwJhnop37.XN9plhl.e4zSeTcu31ElogBfDBz1QhxdjHUoqIK', 0, '2026-01-03', null, false, 'USER'),
    ('u-again', 'again@shop.example', '', 30.00, '2026-01-04', null, false, 'USER'),
    ('u-unbooked', 'unbooked@shop.example', '', 17.00, '2026-01-04', null, false, 'USER'),
    ('u-less', 'less@shop.example', '', 4.00, '2026-01-04', null, false, 'USER'),
    ('u-negative', 'negative@shop.example', '', -5.00, '2026-01-04', null, false, 'USER'),
    ('u-hash', 'hash@shop.example', '', 20.00, '2026-01-04', null, false, 'USER'),
    ('u-adjusted', 'adjusted@shop.example', '', 7.34, '2026-01-04', null, false, 'USER'),
    ('u-boss', 'boss@shop.example', '$2b$04$RKkymwJhnop37.XN9plhl.e4zSeTcu31ElogBfDBz1QhxdjHUoqIK', 0, '2026-01-04', 'Boss', true, 'ADMIN'),
    ('00000000-0000-4000-8000-0000000000aa', 'guest-00000000-0000-4000-8000-0000000000aa@temp.local', 'x', 0, now() at time zone 'UTC', 'Guest', false, 'USER'),
    ('00000000-0000-4000-8000-0000000000bb', 'guest-00000000-0000-4000-8000-0000000000bb@temp.local', 'x', 0, '2026-01-04', 'Guest', false, 'USER');
insert into sessions (id, "sessionId", "expiresAt") values
    ('s1', '00000000-0000-4000-8000-0000000000aa', now() at time zone 'UTC' + interval '20 hours'),
    ('s2', '00000000-0000-4000-8000-0000000000bb', '2026-01-05'),
    ('s3', 'nobody', '2026-01-05');
insert into games (id, title, slug, description, price, "originalPrice", discount, "g2aProductId", "g2aStock", languages, images, "createdAt") values
    ('00000000-0000-4000-8000-000000000011', 'Harbour Lights', 'harbour-lights', '<p>Ships.</p><script>x</script>', 10.00, 20.00, 50, '7001', true, '{English,DE,null}', '{a.png,null}', '2026-01-01'),
    ('g-later', 'Harbour Lights GOTY', 'Harbour Lights!', 'Ships.', 12.00, null, 5, '7001', true, null, null, '2026-01-02'),
    ('g-own', 'Own Stock', 'own-stock', 'Own.', 5.00, null, 0, '', false, null, null, '2026-01-02'),
    ('g-free', 'Priced At Nothing', 'priced-at-nothing', 'Free.', 0, null, 0, null, false, null, null, '2026-01-02');
insert into categories values ('c1', 'Key', 'key');
insert into genres values ('x1', 'Adventure', 'adventure');
insert into platforms values ('x1', 'Steam', 'steam');
insert into tags values ('t1', 'Sea', 'sea');
insert into game_categories values ('g-own', 'c1');
insert into game_genres values ('00000000-0000-4000-8000-000000000011', 'x1');
insert into game_platforms values ('g-own', 'x1');
insert into game_tags values ('g-own', 't1');
insert into promo_codes (id, code, discount, "maxUses", "usedCount", "createdAt") values
    ('p-counter', 'COUNTER', 10, 1, 3, '2026-01-01'), ('p-orders', 'orders-10', 10, 1, 1, '2026-01-01'), ('p-fine', 'FINE', 5, 100, 1, '2026-01-01');
insert into orders (id, "userId", status, subtotal, discount, total, "promoCode", "createdAt", "completedAt", "externalOrderId") values
    ('o-done', '00000000-0000-4000-8000-000000000001', 'COMPLETED', 20.00, 2.00, 18.00, 'ORDERS-10', '2026-02-01', '2026-02-01 00:05', '801,802'),
    ('o-second', '00000000-0000-4000-8000-000000000001', 'COMPLETED', 10.00, 1.00, 9.00, 'Orders-10', '2026-02-02', '2026-02-02', '803'),
    ('o-missing', '00000000-0000-4000-8000-000000000001', 'COMPLETED', 20.00, 0, 20.00, 'GONE', '2026-02-03', '2026-02-03', '804, 805'),
    ('o-lost', '00000000-0000-4000-8000-000000000001', 'FAILED', 10.00, 0, 10.00, null, '2026-02-04', null, null),
    ('o-cancelled', '00000000-0000-4000-8000-000000000001', 'CANCELLED', 10.00, 0, 10.00, null, '2026-02-05', null, null),
    ('o-refunded', '00000000-0000-4000-8000-000000000001', 'FAILED', 10.00, 0, 10.00, null, '2026-02-06', null, null),
    ('o-unpaid', '00000000-0000-4000-8000-000000000001', 'FAILED', 10.00, 0, 10.00, null, '2026-02-07', null, null),
    ('o-stuck', '00000000-0000-4000-8000-000000000001', 'PROCESSING', 10.00, 0, 10.00, null, '2026-02-08', null, null),
    ('o-young', '00000000-0000-4000-8000-000000000001', 'PENDING', 10.00, 0, 10.00, null, now() at time zone 'UTC' - interval '5 minutes', null, null),
    ('o-twice', '00000000-0000-4000-8000-000000000001', 'COMPLETED', 10.00, 0, 10.00, null, '2026-02-09', '2026-02-09', null),
    ('o-replaced', '00000000-0000-4000-8000-000000000001', 'COMPLETED', 5.00, 0, 5.00, null, '2026-02-10', '2026-02-10', null),
    ('o-nothing', '00000000-0000-4000-8000-000000000001', 'COMPLETED', 10.00, 0, 10.00, null, '2026-02-11', '2026-02-11', null),
    ('o-fake', '00000000-0000-4000-8000-000000000001', 'COMPLETED', 5.00, 0, 5.00, null, '2026-02-12', '2026-02-12', null);
insert into order_items (id, "orderId", "gameId", quantity, price) values
    ('i1', 'o-done', '00000000-0000-4000-8000-000000000011', 2, 10.00), ('i2', 'o-second', '00000000-0000-4000-8000-000000000011', 1, 10.00),
    ('i3', 'o-missing', '00000000-0000-4000-8000-000000000011', 2, 10.00), ('i4', 'o-lost', '00000000-0000-4000-8000-000000000011', 1, 10.00),
    ('i5', 'o-cancelled', '00000000-0000-4000-8000-000000000011', 1, 10.00), ('i6', 'o-refunded', '00000000-0000-4000-8000-000000000011', 1, 10.00),
    ('i7', 'o-unpaid', '00000000-0000-4000-8000-000000000011', 1, 10.00), ('i8', 'o-stuck', '00000000-0000-4000-8000-000000000011', 1, 10.00),
    ('i9', 'o-young', '00000000-0000-4000-8000-000000000011', 1, 10.00), ('i10', 'o-twice', '00000000-0000-4000-8000-000000000011', 1, 10.00),
    ('i11', 'o-replaced', 'g-own', 1, 5.00), ('i12', 'o-nothing', '00000000-0000-4000-8000-000000000011', 0, 10.00), ('i13', 'o-fake', 'g-own', 1, 5.00);
insert into game_keys (id, "gameId", key, "orderId", activated, "createdAt") values
    ('k1', '00000000-0000-4000-8000-000000000011', 'AAAA-BBBB-0001', 'o-done', true, '2026-02-01'),
    ('k2', '00000000-0000-4000-8000-000000000011', 'AAAA-BBBB-0002', 'o-done', false, '2026-02-01'),
    ('k3', '00000000-0000-4000-8000-000000000011', 'AAAA-BBBB-0003', 'o-second', false, '2026-02-02'),
    ('k4', '00000000-0000-4000-8000-000000000011', 'AAAA-BBBB-0004', 'o-missing', false, '2026-02-03'),
    ('k5', '00000000-0000-4000-8000-000000000011', E' aaaa-bbbb-0001\r\n', 'o-twice', false, '2026-02-09'),
    ('k6', 'g-own', 'OWN0-0001', 'o-replaced', false, '2026-02-10'),
    ('k7', 'g-own', 'OWN0-0002', 'o-replaced', false, '2026-02-11'),
    ('k8', 'g-own', 'OWN0-0003', null, false, '2026-02-11'),
    ('k9', 'g-own', 'own0-0002 ', null, false, '2026-02-12'),
    ('k10', 'g-own', 'FAKE-0000-0001', 'o-fake', false, '2026-02-12'),
    ('k11', 'g-own', '1.23E+15', null, false, '2026-02-12');
insert into transactions (id, "userId", "orderId", type, amount, currency, status, description, "transactionHash", "createdAt") values
    ('t-start', '00000000-0000-4000-8000-000000000001', null, 'TOP_UP', 129.50, 'EUR', 'COMPLETED', null, 'h-start', '2026-01-05'),
    ('t-done', '00000000-0000-4000-8000-000000000001', 'o-done', 'PURCHASE', -18.00, 'EUR', 'COMPLETED', null, null, '2026-02-01'),
    ('t-second', '00000000-0000-4000-8000-000000000001', 'o-second', 'PURCHASE', -9.00, 'EUR', 'COMPLETED', null, null, '2026-02-02'),
    ('t-missing', '00000000-0000-4000-8000-000000000001', 'o-missing', 'PURCHASE', -20.00, 'EUR', 'COMPLETED', null, null, '2026-02-03'),
    ('t-lost', '00000000-0000-4000-8000-000000000001', 'o-lost', 'PURCHASE', -10.00, 'EUR', 'COMPLETED', null, null, '2026-02-04'),
    ('t-cancelled', '00000000-0000-4000-8000-000000000001', 'o-cancelled', 'PURCHASE', -10.00, 'EUR', 'COMPLETED', null, null, '2026-02-05'),
    ('t-refunded', '00000000-0000-4000-8000-000000000001', 'o-refunded', 'PURCHASE', -10.00, 'EUR', 'COMPLETED', null, null, '2026-02-06'),
    ('t-refund', '00000000-0000-4000-8000-000000000001', null, 'REFUND', 10.00, 'EUR', 'COMPLETED', 'Refund for failed order o-refunded', null, '2026-02-06'),
    ('t-stuck', '00000000-0000-4000-8000-000000000001', 'o-stuck', 'PURCHASE', -10.00, 'EUR', 'COMPLETED', null, null, '2026-02-08'),
    ('t-young', '00000000-0000-4000-8000-000000000001', 'o-young', 'PURCHASE', -10.00, 'EUR', 'COMPLETED', null, null, now() at time zone 'UTC'),
    ('t-twice', '00000000-0000-4000-8000-000000000001', 'o-twice', 'PURCHASE', -10.00, 'EUR', 'COMPLETED', null, null, '2026-02-09'),
    ('t-replaced', '00000000-0000-4000-8000-000000000001', 'o-replaced', 'PURCHASE', -5.00, 'EUR', 'COMPLETED', null, null, '2026-02-10'),
    ('t-nothing', '00000000-0000-4000-8000-000000000001', 'o-nothing', 'PURCHASE', -10.00, 'EUR', 'COMPLETED', null, null, '2026-02-11'),
    ('t-fake', '00000000-0000-4000-8000-000000000001', 'o-fake', 'PURCHASE', -5.00, 'EUR', 'COMPLETED', 'Fake purchase order o-fake', null, '2026-02-12'),
    ('t-collides', 'u-collides', null, 'TOP_UP', 3.00, 'EUR', 'COMPLETED', null, 'h-collides', '2026-01-05'),
    ('t-again', 'u-again', null, 'TOP_UP', 10.00, 'EUR', 'COMPLETED', null, 'h-again', '2026-01-05'),
    ('t-unbooked', 'u-unbooked', null, 'TOP_UP', 10.00, 'EUR', 'COMPLETED', null, 'h-unbooked', '2026-01-05'),
    ('t-pending', 'u-unbooked', null, 'TOP_UP', 7.00, 'EUR', 'PENDING', null, 'h-pending', '2026-01-05'),
    ('t-less', 'u-less', null, 'TOP_UP', 10.00, 'EUR', 'COMPLETED', null, 'h-less', '2026-01-05'),
    ('t-negative', 'u-negative', null, 'PURCHASE', -5.00, 'EUR', 'COMPLETED', null, null, '2026-01-05'),
    ('t-hash-1', 'u-hash', null, 'TOP_UP', 10.00, 'EUR', 'COMPLETED', null, 'H-Same', '2026-01-05'),
    ('t-hash-2', 'u-hash', null, 'TOP_UP', 10.00, 'EUR', 'COMPLETED', null, ' h-same', '2026-01-06'),
    ('t-plus', 'u-adjusted', null, 'TOP_UP', 12.34, 'USD', 'COMPLETED', 'Admin balance adjustment: +12.34', null, '2026-01-05'),
    ('t-minus', 'u-adjusted', null, 'REFUND', 5.00, 'USD', 'COMPLETED', 'Admin balance adjustment: -5.00', null, '2026-01-06');
insert into cart_items ("userId", "gameId", quantity) values
    ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011', 2),
    ('00000000-0000-4000-8000-0000000000aa', '00000000-0000-4000-8000-000000000011', 1),
    ('00000000-0000-4000-8000-0000000000bb', '00000000-0000-4000-8000-000000000011', 1);
insert into wishlist ("userId", "gameId") values ('u-odd', 'g-own');
insert into login_history (id, "userId", "ipAddress", "userAgent", "createdAt") values
    ('l1', 'u-odd', '::ffff:198.51.100.9', 'Browser', now() at time zone 'UTC'), ('l2', 'u-odd', 'unknown', null, '2020-01-01');
insert into articles (id, slug, title, excerpt, content, "coverImage", category, author, published) values
    ('a1', 'hello', 'Hello', 'Hi.', '<h2>Hello</h2><script>x</script>', '', 'news', 'Anna', true);
insert into faqs (id, category, question, answer) values ('f1', 'general', 'Why?', 'Because.');
insert into email_settings (id, host, port, "user", password, "fromEmail") values ('e1', 'smtp.shop.example', 587, 'shop', 'smtp-secret', 'shop@shop.example');
insert into g2a_settings (id, "clientId", email, "clientSecret") values ('z1', 'client-1', 'shop@shop.example', 'g2a-secret');
