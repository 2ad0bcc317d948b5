-- Genres, platforms, tags and categories that staff have merged into others: the synchronisation finds the other one by the name or
-- slug of the one that is gone, and does not make it again.
create table merged_terms (
    taxonomy text not null constraint merged_terms_taxonomy_known
             check (taxonomy in ('categories', 'genres', 'platforms', 'tags')),
    slug     text not null,                                -- of the one that is gone
    name     text not null,
    into_id  uuid not null,                                -- of the one that has its games; it may be gone as well
    primary key (taxonomy, slug)
);
-- What a merged one became, when that is merged again (store.admin.taxonomies.move).
create index merged_terms_into_id_idx on merged_terms (into_id);

-- What G2A says of the fields that staff have set: beside the field, and what it is again when it is unlocked.
create table supplier_values (
    game_id uuid primary key references games (id) on delete cascade,
    said    jsonb not null constraint supplier_values_are_an_object check (jsonb_typeof(said) = 'object'),
    at      timestamptz not null default now()
);
