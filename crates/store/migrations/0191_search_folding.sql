-- What people type and what titles say are compared in one folded form: without accents, apostrophes and punctuation, `&`
-- as `and`, `ß` as `ss`, full-width letters as narrow ones, `40,000` as `40000`, `S.T.A.L.K.E.R.` as one word, and every
-- Chinese or Japanese character as a word of its own, since those languages write none.
create function search_fold(raw text) returns text language plpgsql immutable strict parallel safe
    set search_path from current as $$
declare
    folded text := raw;
begin
    if octet_length(folded) > length(folded) then
        -- Marks of ownership go first: the decomposition would spell them out.
        folded := normalize(translate(folded, '™®©', ''), NFKD);
        -- What is left of a script that is written with such marks (Korean, Japanese) is composed again.
        folded := lower(normalize(regexp_replace(folded, '[\u0300-\u036f]', '', 'g'), NFKC));
        folded := translate(folded, 'øłđðħı’‘‛ʼ´′', 'olddhi');
        folded := replace(replace(replace(replace(folded, 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th');
        folded := regexp_replace(folded, '([\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])', ' \1 ', 'g');
    else
        folded := lower(folded);
    end if;
    folded := replace(translate(folded, '''`', ''), '&', ' and ');
    folded := regexp_replace(folded, '(\d)[.,](?=\d{3}(\D|$))', '\1', 'g');
    folded := regexp_replace(folded, '\m([[:alpha:]])\.(?=[[:alpha:]](\.|\M))', '\1', 'g');
    return btrim(regexp_replace(folded, '[^[:alnum:]]+', ' ', 'g'));
end $$;

-- The forms in which a title may be typed, the first one its own: with hyphenated words as one (`X-COM`, `xcom`), and with
-- the numbers 1 to 20 in the other way of writing (`IV`, `4`).
create function search_title(raw text) returns text language plpgsql immutable strict parallel safe
    set search_path from current as $$
declare
    romans constant text[] := '{i,ii,iii,iv,v,vi,vii,viii,ix,x,xi,xii,xiii,xiv,xv,xvi,xvii,xviii,xix,xx}';
    own text := search_fold(raw);
    joined text := own;
    other text := own;
    forms text := own;
begin
    if raw ~ '[-‐‑]' then
        joined := search_fold(regexp_replace(raw, '(?<=[[:alnum:]])[-‐‑](?=[[:alnum:]])', '', 'g'));
    end if;
    if own ~ '\m([ivx]+|[1-9]|1[0-9]|20)\M' then
        select string_agg(case when word = any (romans) then array_position(romans, word)::text
                               when word ~ '^([1-9]|1[0-9]|20)$' then romans[word::integer]
                               else word end, ' ' order by place)
          into other
          from unnest(string_to_array(own, ' ')) with ordinality as words (word, place);
    end if;
    if joined <> own then
        forms := forms || ' | ' || joined;
    end if;
    if other <> own then
        forms := forms || ' | ' || other;
    end if;
    return forms;
end $$;

comment on column game_search.title is 'folded forms of the title, the first one its own, apart by " | " (search_title)';

create or replace function games_index_text() returns trigger language plpgsql set search_path from current as $$
declare
    title text := search_title(new.title);
begin
    insert into game_search (game_id, title, words)
    values (new.id, title,
            setweight(to_tsvector('simple', title), 'A')
            || setweight(to_tsvector('simple', search_fold(
                   left(regexp_replace(new.description, '<[^>]*>|&(#\d+|#x[[:xdigit:]]+|[[:alpha:]]+);', ' ', 'g'), 20000))), 'B'))
    on conflict (game_id) do update set title = excluded.title, words = excluded.words;
    return null;
end $$;

insert into game_search (game_id, title, words)
select g.id, t.title,
       setweight(to_tsvector('simple', t.title), 'A')
       || setweight(to_tsvector('simple', search_fold(
              left(regexp_replace(g.description, '<[^>]*>|&(#\d+|#x[[:xdigit:]]+|[[:alpha:]]+);', ' ', 'g'), 20000))), 'B')
  from games g cross join lateral (select search_title(g.title) as title offset 0) t
on conflict (game_id) do update set title = excluded.title, words = excluded.words;
