-- The shop's own pages (imprint, terms, privacy, …) and its banner, in each language. Every page of the shop links to the
-- published ones and shows the banner, so a change invalidates the cached lists of the home page's family.
create sequence page_versions;
create table pages (
    slug       text not null constraint pages_slug_is_an_address
               check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(slug) <= 60),
    language   text not null constraint pages_language_known check (language in ('en', 'de')),
    title      text not null constraint pages_title_is_a_line
               check (btrim(title) <> '' and length(title) <= 100 and title !~ '[[:cntrl:]]'),
    source     text not null constraint pages_source_bounded check (octet_length(source) between 1 and 90000),   -- Markdown
    html       text not null constraint pages_html_bounded check (octet_length(html) <= 200000),                 -- cleaned
    published  boolean not null default false,
    version    bigint not null default nextval('page_versions'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (slug, language)
);
create trigger pages_touch before update on pages for each row execute function touch_updated_at();

create table banners (
    language   text primary key constraint banners_language_known check (language in ('en', 'de')),
    text       text not null constraint banners_text_is_a_line
               check (btrim(text) <> '' and length(text) <= 200 and text !~ '[[:cntrl:]]'),
    link       text constraint banners_link_stays_here check (link ~ '^/([^/\\[:space:][:cntrl:]][^[:space:][:cntrl:]]*)?$' and length(link) <= 500),
    begins_at  timestamptz not null,
    ends_at    timestamptz not null,
    version    bigint not null default nextval('page_versions'),
    updated_at timestamptz not null default now(),
    constraint banners_end_after_they_begin check (ends_at > begins_at)
);
create trigger banners_touch before update on banners for each row execute function touch_updated_at();

-- Both are few and seldom change: one tag for all of them.
create function cache_site() returns trigger language plpgsql set search_path from current as $$
begin
    insert into cache_inval (tags) select array['home'] where exists (select from changed_rows);
    return null;
end $$;
create trigger cache_insert after insert on pages referencing new table as changed_rows for each statement execute function cache_site();
create trigger cache_update after update on pages referencing new table as changed_rows for each statement execute function cache_site();
create trigger cache_delete after delete on pages referencing old table as changed_rows for each statement execute function cache_site();
create trigger cache_truncate after truncate on pages for each statement execute function cache_everything();
create trigger cache_insert after insert on banners referencing new table as changed_rows for each statement execute function cache_site();
create trigger cache_update after update on banners referencing new table as changed_rows for each statement execute function cache_site();
create trigger cache_delete after delete on banners referencing old table as changed_rows for each statement execute function cache_site();
create trigger cache_truncate after truncate on banners for each statement execute function cache_everything();
