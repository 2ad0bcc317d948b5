-- E-mails whose texts staff have changed, by kind (lockstep_domain::email_template) and language. The shipped texts stay in the
-- program: without a row they are used.
create sequence email_versions;

create table email_template_edits (
    name      text not null constraint email_template_edits_name_form check (name ~ '^[a-z]+(-[a-z]+)*$' and length(name) <= 40),
    language  text not null constraint email_template_edits_language_form check (language ~ '^[a-z]{2}$'),   -- ISO 639-1
    subject   text not null constraint email_template_edits_subject_is_a_line
              check (btrim(subject) <> '' and length(subject) <= 200 and subject !~ '[[:cntrl:]]'),
    content   text not null constraint email_template_edits_content_bounded
              check (btrim(content) <> '' and octet_length(content) <= 60000),           -- cleaned HTML with placeholders
    version   bigint not null default nextval('email_versions'),                         -- no two texts ever have the same
    edited_by uuid references users (id) on delete set null,
    edited_at timestamptz not null default now(),
    primary key (name, language)
);
-- Whose edits lose their editor when an account goes.
create index email_template_edits_edited_by_idx on email_template_edits (edited_by);

-- The version of a template that a session of staff was shown last (0: the shipped one): a form is compared with it. Not worth
-- writing ahead: after a crash the template has to be looked at again.
create unlogged table seen_email_templates (
    session_id uuid not null references user_sessions (id) on delete cascade,
    name       text not null,
    language   text not null,
    version    bigint not null,
    primary key (session_id, name, language)
);
