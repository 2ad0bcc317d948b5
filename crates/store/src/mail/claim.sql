-- store.mail.claim
with urgent as (
    select id from mail_outbox m
     where sent_at is null and gave_up_at is null and kind <> 'announcement' and urgent and not_before <= now()
       and not_after > now() and attempts < 100 and kind = any ($4) and (sealed is null or $5)
       and seq <= coalesce((select e.seq from mail_outbox e
                             where e.sent_at is null and e.gave_up_at is null and e.urgent
                               and e.recipient = m.recipient and e.left_at is null
                               and e.kind = any ($4) and (e.lease is not null or e.not_before <= now())
                             order by e.recipient, e.urgent, e.seq limit 1), seq)
     order by seq limit $1 for update skip locked),
ordinary as (
    select id from mail_outbox m
     where sent_at is null and gave_up_at is null and kind <> 'announcement' and not urgent and not_before <= now()
       and not_after > now() and attempts < 100 and kind = any ($4) and (sealed is null or $5)
       and seq <= coalesce((select e.seq from mail_outbox e
                             where e.sent_at is null and e.gave_up_at is null and not e.urgent
                               and e.recipient = m.recipient and e.left_at is null and e.kind = any ($4)
                               and e.subscription_id is null
                             order by e.recipient, e.urgent, e.seq limit 1), seq)
     order by seq limit least($2, $1 - (select count(*) from urgent)) for update skip locked),
announcements as (
    select id from mail_outbox
     where sent_at is null and gave_up_at is null and kind = 'announcement' and not_before <= now() and not_after > now()
       and attempts < 100 and kind = any ($4) and (sealed is null or $5)
       and not exists (select from email_subscriptions s where s.id = subscription_id and s.unsubscribed_at is not null)
     order by not_before, seq
     limit least($6, $2 - (select count(*) from ordinary), $1 - (select count(*) from urgent) - (select count(*) from ordinary))
       for update skip locked)
update mail_outbox set lease = gen_random_uuid(), attempts = attempts + 1,
       not_before = now() + make_interval(secs => $3)
 where id in (select id from urgent union all select id from ordinary union all select id from announcements)
returning id, lease as "lease!", user_id, recipient, letter, sealed, urgent as "urgent!", kind = 'announcement' as "announcement!",
          attempts, created_at
