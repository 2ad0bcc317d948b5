-- The two-letter codes of ISO 639-1, as of 2026; two letters alone let `xx` and `jp` through.
create function iso_639_1() returns text[] language sql immutable parallel safe as $$
    select string_to_array(
        'aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et '
        || 'eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj '
        || 'kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr '
        || 'nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg '
        || 'th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu', ' ')
$$;

update games
   set languages = array(select code from unnest(languages) with ordinality as codes (code, place)
                          where code = any (iso_639_1()) order by place)
 where not languages <@ iso_639_1();

alter table games drop constraint games_languages_are_codes;
alter table games add constraint games_languages_are_codes
    check (array_position(languages, null) is null and languages <@ iso_639_1()) not valid;
alter table games validate constraint games_languages_are_codes;
