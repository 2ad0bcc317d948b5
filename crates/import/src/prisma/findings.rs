//! What the other shop got wrong, each kind as one statement over its snapshot.
//!
//! *Paid* is an order with a completed purchase that names it. *Refunded* is one that a completed refund names: in its column,
//! or in its description, because the column is unique and the purchase holds it. Guests' rows are left out.

use super::rows::OldFinding;
use super::source::Source;
use crate::{Finding, ImportError};

/// Kinds of findings, each with what Lockstep proposes and the statement that finds them.
const KINDS: &[(&str, &str, &str)] = &[
    (
        "refund_lost",
        "Give the amount back to the customer's balance: `lockstep import prisma URL --settle refund_lost`.",
        r#"select o.id, {m:o.total} as amount,
                  format('The order is %s, was paid by transaction %s on %s, and no completed refund names it.',
                         o.status, p.id, to_char(p."createdAt", 'YYYY-MM-DD HH24:MI')) as evidence
             from orders o join users u on u.id = o."userId" and not ({guest})
             join paid p on p."orderId" = o.id
            where o.status in ('FAILED', 'CANCELLED') and {m:o.total} > 0
              and not exists (select from refunded r where r.id = o.id)
            order by o."createdAt", o.id"#,
    ),
    (
        "keys_missing",
        "Give the price of the missing copies back to the balance (`--settle keys_missing`), or deliver them in the console.",
        r#", need as (
                select i."orderId", i."gameId", sum(greatest(i.quantity, 0)) as copies, max({m:i.price}) as price
                  from order_items i join orders o on o.id = i."orderId" and o.status = 'COMPLETED'
                  join users u on u.id = o."userId" and not ({guest})
                 group by i."orderId", i."gameId"),
            got as (select "orderId", "gameId", count(*) as keys from game_keys where "orderId" is not null group by 1, 2),
            missing as (
                select n."orderId", sum((n.copies - coalesce(g.keys, 0)) * n.price) as amount,
                       sum(n.copies - coalesce(g.keys, 0)) as copies
                  from need n left join got g on g."orderId" = n."orderId" and g."gameId" = n."gameId"
                 where coalesce(g.keys, 0) < n.copies group by n."orderId")
           select o.id, round(case when {m:o.subtotal} > 0
                                   then m.amount - {m:o.discount} * m.amount / o.subtotal else m.amount end, 2) as amount,
                  format('The order is COMPLETED, and %s of its copies have no key.', m.copies) as evidence
             from missing m join orders o on o.id = m."orderId" order by o."createdAt", o.id"#,
    ),
    (
        "paid_stuck",
        "Give the amount back to the balance (`--settle paid_stuck`), or deliver the order in the console.",
        r#"select o.id, {m:o.total} as amount,
                  format('The order is %s since %s and was paid by transaction %s.',
                         o.status, to_char(o."createdAt", 'YYYY-MM-DD HH24:MI'), p.id) as evidence
             from orders o join users u on u.id = o."userId" and not ({guest})
             join paid p on p."orderId" = o.id
            where o.status in ('PROCESSING', 'PENDING') and {m:o.total} > 0
              and o."createdAt" < now() at time zone 'UTC' - interval '1 hour'
            order by o."createdAt", o.id"#,
    ),
    (
        "order_open",
        "Nothing yet: it may still be at work. Run the import again when the other shop has stopped.",
        r#"select o.id, {m:o.total} as amount, format('The order is %s and less than an hour old.', o.status) as evidence
             from orders o join users u on u.id = o."userId" and not ({guest})
            where o.status in ('PROCESSING', 'PENDING') and o."createdAt" >= now() at time zone 'UTC' - interval '1 hour'
            order by o."createdAt", o.id"#,
    ),
    (
        "g2a_ids_joined",
        "None is needed here: each copy has an order at G2A of its own. The parts are the orders to look up at G2A.",
        r#"select o.id, null::numeric as amount,
                  format('externalOrderId joins %s orders at G2A: %s.', cardinality(string_to_array({external}, ',')),
                         left({external}, 300)) as evidence
             from orders o join users u on u.id = o."userId" and not ({guest})
            where {external} like '%,%' order by o."createdAt", o.id"#,
    ),
    (
        "g2a_id_orphan",
        "Ask G2A for the keys of these orders: they may have been paid. Enter a key in the console when there is one.",
        r#", ids as (
                select o.id, o."createdAt", array(select btrim(p) from unnest(string_to_array({external}, ',')) p where btrim(p) <> '') as parts
                  from orders o join users u on u.id = o."userId" and not ({guest}) where {external} is not null)
           select i.id, null::numeric as amount,
                  format('%s orders at G2A (%s) and %s keys.', cardinality(i.parts), left(array_to_string(i.parts, ', '), 300), k.keys) as evidence
             from ids i, lateral (select count(*) as keys from game_keys k where k."orderId" = i.id) k
            where cardinality(i.parts) > k.keys order by i."createdAt", i.id"#,
    ),
    (
        "balance_differs",
        "The balance is brought as it is; what differs is booked as its opening. Compare with the other findings of this user.",
        r"select b.id, b.difference as amount,
                  format('The balance is %s, and the completed transactions add up to %s.', b.balance, b.booked) as evidence
             from balances b where b.difference <> 0 order by b.id",
    ),
    (
        "double_credit",
        "Compare with the payment provider. Take the amount back from the balance in the console if it is still there.",
        r#"select * from (
              select c.id, b.difference as amount,
                     format('User %s has %s more than was booked: %s times this top-up of %s.', b.id, b.difference,
                            round(b.difference / c.amount), c.amount) as evidence
                from again c join balances b on b.id = c."userId"
              union all
              select t.id, t.amount,
                     format('Its hash is that of transaction %s but for blanks and case; user %s.', t.first, t."userId")
                from (select t.id, t."userId", {m:t.amount} as amount,
                             first_value(t.id) over same as first, row_number() over same as place
                        from transactions t join users u on u.id = t."userId" and not ({guest})
                       where t.type = 'TOP_UP' and t.status = 'COMPLETED'
                         and btrim(t."transactionHash", E' \t\r\n') <> ''
                      window same as (partition by lower(btrim(t."transactionHash", E' \t\r\n')) order by t."createdAt", t.id)) t
               where t.place > 1) f order by 1"#,
    ),
    (
        "credit_unbooked",
        "Find the payment at the provider. Keep the balance if there is one; else take the amount back in the console.",
        r#"select b.id, b.difference as amount,
                  format('The balance has %s more than was booked.%s', b.difference, coalesce(
                         (select format(' Transaction %s of this amount is %s.', t.id, t.status) from transactions t
                           where t."userId" = b.id and t.status <> 'COMPLETED' and {m:t.amount} = b.difference
                           order by t."createdAt" limit 1), '')) as evidence
             from balances b where b.difference > 0 and not exists (select from again a where a."userId" = b.id)
            order by b.id"#,
    ),
    (
        "balance_negative",
        "The balance begins at 0 here: Lockstep keeps none below zero. Claim the rest from the customer, or let it be.",
        r"select b.id, b.balance as amount,
                  format('The balance is %s: two orders took it at once.', b.balance) as evidence
             from balances b where b.balance < 0 order by b.id",
    ),
    (
        "promo_overrun",
        "The code is brought as used up. Nothing is claimed from the customers.",
        r#", uses as (
                select upper(btrim(o."promoCode")) as code, {m:o.discount} as discount,
                       row_number() over (partition by upper(btrim(o."promoCode")) order by o."createdAt", o.id) as place,
                       count(*) over (partition by upper(btrim(o."promoCode"))) as orders
                  from orders o join users u on u.id = o."userId" and not ({guest}) where o."promoCode" is not null)
           select p.id, coalesce(sum(s.discount) filter (where s.place > p."maxUses"), 0) as amount,
                  format('The code %s may be used %s times; its counter says %s, and %s orders name it.', p.code, p."maxUses",
                         p."usedCount", coalesce(max(s.orders), 0)) as evidence
             from promo_codes p left join uses s on s.code = upper(btrim(p.code))
            where p."maxUses" is not null
            group by p.id, p.code, p."maxUses", p."usedCount", p."createdAt"
           having greatest(p."usedCount", coalesce(max(s.orders), 0)) > p."maxUses" order by p."createdAt", p.id"#,
    ),
    (
        "key_twice",
        "The earlier order keeps the key. Deliver another one to this order in the console, or cancel it there.",
        r#"select d.id, i.price as amount,
                  format('Equal to key %s; it was shown to order %s and to order %s.', d.first_sold, d.first_order, d."orderId") as evidence
             from same_keys d
             left join lateral (select {m:x.price} as price from order_items x
                                 where x."orderId" = d."orderId" and x."gameId" = d."gameId" order by x.id limit 1) i on true
            where d.is_twice order by d."createdAt", d.id"#,
    ),
    (
        "key_duplicate",
        "None is needed: the key is stored once.",
        r#"select d.id, null::numeric as amount,
                  format('Equal to key %s but for blanks or case.', d.first) as evidence
             from same_keys d where not d.is_twice and d.id <> d.first order by d."createdAt", d.id"#,
    ),
    (
        "g2a_product_twice",
        "The earlier game keeps the product. This one is brought as a game of the shop's own: merge or withdraw it.",
        r#"select g.id, null::numeric as amount,
                  format('Game %s has G2A product %s, too.', g.first, g."g2aProductId") as evidence
             from (select id, "g2aProductId", "createdAt", first_value(id) over w as first, row_number() over w as place from games
                    where "g2aProductId" <> '' window w as (partition by "g2aProductId" order by "createdAt", id)) g
            where g.place > 1 order by g."createdAt", g.id"#,
    ),
    (
        "purchase_fabricated",
        "A webhook without a check has made this order and its keys up. Look whether somebody paid for it.",
        r#"select o.id, {m:o.total} as amount,
                  'It has keys that begin with FAKE-, or a purchase that calls itself fake.' as evidence
             from orders o
            where exists (select from game_keys k where k."orderId" = o.id and k.key like 'FAKE-%')
               or exists (select from transactions t where t."orderId" = o.id and t.description like 'Fake purchase order%')
            order by o."createdAt", o.id"#,
    ),
];

/// What several statements share, by the word that they use.
const SHARED: &[(&str, &str)] = &[
    (
        "paid",
        r#"paid as (select "orderId", min(id) as id, min("createdAt") as "createdAt" from transactions
                     where type = 'PURCHASE' and status = 'COMPLETED' and "orderId" is not null group by "orderId")"#,
    ),
    ("refunded", REFUNDED),
    (
        "balances",
        r#"booked as (select t."userId", sum({signed}) as booked from transactions t where t.status = 'COMPLETED' group by t."userId"),
           balances as materialized (
                select u.id, {m:u.balance} as balance, coalesce(b.booked, 0) as booked, {m:u.balance} - coalesce(b.booked, 0) as difference
                  from users u left join booked b on b."userId" = u.id where not ({guest}))"#,
    ),
    (
        "again",
        // Exactly one top-up explains what is too much, 1 to 9 times.
        r#"again as materialized (
                select min(t.id) as id, t."userId", min({m:t.amount}) as amount
                  from balances b join transactions t on t."userId" = b.id
                 where b.difference > 0 and t.type = 'TOP_UP' and t.status = 'COMPLETED' and t."transactionHash" is not null
                   and {m:t.amount} > 0 and mod(b.difference, {m:t.amount}) = 0 and b.difference / {m:t.amount} between 1 and 9
                 group by t."userId" having count(*) = 1)"#,
    ),
    ("same_keys", SAME_KEYS),
];

/// Orders that a completed refund names.
const REFUNDED: &str = r#"refunds as materialized (
            select "userId", "orderId", description from transactions where type = 'REFUND' and status = 'COMPLETED'),
       refunded as materialized (
            select "orderId" as id from refunds where "orderId" is not null
            union
            select word from refunds, regexp_split_to_table(description, '[^A-Za-z0-9_-]+') word where word <> ''
            union
            select o.id from refunds r join orders o on o."userId" = r."userId" where strpos(r.description, o.id) > 0)"#;

/// Rows of equal keys: equal after trimming, and without regard to case where a key has only letters, digits and hyphens.
const SAME_KEYS: &str = r#"texts as (
            select id, "gameId", "orderId", "createdAt", btrim(key, E' \t\r\n\f\v') as text from game_keys),
       equals as (
            select id, "gameId", "orderId", "createdAt", count(*) over w as many,
                   md5(case when text ~ '^[A-Za-z0-9-]+$' then upper(text) else text end) as text
              from texts window w as (partition by case when text ~ '^[A-Za-z0-9-]+$' then upper(text) else text end)),
       doubles as materialized (select * from equals where many > 1),
       same_keys as materialized (
            select d.id, d."gameId", d."orderId", d."createdAt",
                   first_value(d.id) over w as first, s.id as first_sold, s."orderId" as first_order,
                   -- The key stays with its first order, or else with its first row.
                   d.id = first_value(d.id) over (partition by d.text order by d."orderId" is null, d."createdAt", d.id) as keeps,
                   coalesce(d."orderId" <> s."orderId", false) as is_twice
              from doubles d
              left join lateral (select e.id, e."orderId" from doubles e
                                  where e.text = d.text and e."orderId" is not null
                                    and (e."createdAt", e.id) < (d."createdAt", d.id) and e."orderId" <> d."orderId"
                                  order by e."createdAt", e.id limit 1) s on true
            window w as (partition by d.text order by d."createdAt", d.id))"#;

/// An amount with its sign: an adjustment by staff has it in its description only.
pub(super) const SIGNED: &str = r#"(case when t."orderId" is null and t.type in ('TOP_UP', 'REFUND')
              and t.description ~ '^Admin balance adjustment: *[-−]' then -abs({m:t.amount}) else {m:t.amount} end)"#;

/// The statement with the parts that it uses in front.
fn whole(statement: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let uses = |word: &str| statement.contains(&format!(" {word} ")) || statement.contains(&format!(" {word}\n"));
    for (word, part) in SHARED {
        if uses(word) || (*word == "balances" && uses("again")) {
            parts.push(part);
        }
    }
    // A statement that begins with a comma has parts of its own.
    let own = statement.strip_prefix(',');
    let text = match (parts.is_empty(), own) {
        (true, None) => statement.to_owned(),
        (true, Some(own)) => format!("with {own}"),
        (false, None) => format!("with {}\n{statement}", parts.join(",\n")),
        (false, Some(own)) => format!("with {},{own}", parts.join(",\n")),
    };
    text.replace("{signed}", SIGNED)
}

/// Everything that the snapshot shows by itself.
pub(super) async fn find(source: &mut Source) -> Result<Vec<Finding>, ImportError> {
    let mut findings = Vec::new();
    for (kind, proposal, statement) in KINDS {
        let rows: Vec<OldFinding> = source.rows(&whole(statement), &[]).await?;
        findings.extend(rows.into_iter().map(|row| {
            let finding = Finding::new(kind, row.id, row.evidence, proposal);
            match row.amount {
                Some(amount) => finding.about(amount),
                None => finding,
            }
        }));
    }
    Ok(findings)
}

/// Rows of keys that are not brought, because an equal one is.
pub(super) async fn double_keys(source: &mut Source) -> Result<Vec<(String,)>, ImportError> {
    source
        .rows(
            &format!("with {SAME_KEYS} select id from same_keys where not keeps"),
            &[],
        )
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_brings_the_parts_that_it_uses_and_no_others() {
        for (kind, proposal, statement) in KINDS {
            let text = whole(statement);
            for (word, _) in SHARED {
                let is_used = statement.contains(&format!(" {word} "));
                assert!(!is_used || text.contains(&format!("{word} as ")), "{kind} lacks {word}");
            }
            assert!(
                !text.contains("{signed}") && proposal.ends_with('.') && proposal.len() <= 140,
                "{kind}"
            );
        }
    }
}
