-- What the shop writes itself: articles of its blog, and questions with their answers.
create table blog_articles (
    id           uuid primary key,
    slug         text not null constraint blog_articles_slug_key unique
                 constraint blog_articles_slug_is_an_address check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    title        text not null constraint blog_articles_title_not_empty check (btrim(title) <> ''),
    excerpt      text not null default '',                 -- plain text
    content      text not null,                            -- cleaned HTML
    cover_image  text,                                     -- address
    category     text not null constraint blog_articles_category_not_empty check (btrim(category) <> ''),
    tags         text[] not null default '{}' constraint blog_articles_tags_have_no_gaps check (array_position(tags, null) is null),
    author_id    uuid references users (id) on delete set null,   -- their present nickname is shown
    published    boolean not null default false,
    published_at timestamptz,                              -- first published; stays when it is taken back
    read_minutes integer not null default 1 constraint blog_articles_read_minutes_positive check (read_minutes > 0),
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    constraint blog_articles_published_has_a_time check (not published or published_at is not null)
);
create trigger blog_articles_touch before update on blog_articles for each row execute function touch_updated_at();
-- The public list, newest first (store.content.articles).
create index blog_articles_published_at_idx on blog_articles (published_at desc, id desc) where published;
-- Whose articles lose their author when an account goes.
create index blog_articles_author_id_idx on blog_articles (author_id);

create table faqs (
    id         uuid primary key,
    category   text not null constraint faqs_category_not_empty check (btrim(category) <> ''),
    question   text not null constraint faqs_question_not_empty check (btrim(question) <> ''),
    answer     text not null,                              -- cleaned HTML
    position   integer not null default 0,                 -- within its category; lower ones first
    active     boolean not null default true,              -- shown in the shop
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create trigger faqs_touch before update on faqs for each row execute function touch_updated_at();
