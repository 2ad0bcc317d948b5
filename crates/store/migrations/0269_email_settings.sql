-- Mail servers that staff have entered. One is active: the workers send over it, unless SMTP_URL names another.
create table email_settings (
    id         uuid primary key,
    name       text not null constraint email_settings_name_is_a_line check (btrim(name) <> '' and length(name) <= 100),
    host       text not null constraint email_settings_host_form check (host ~ '^[A-Za-z0-9._:-]{1,253}$'),
    port       integer not null constraint email_settings_port_in_range check (port between 1 and 65535),
    secure     boolean not null,                           -- TLS from the first byte; otherwise STARTTLS
    username   text not null default '' constraint email_settings_username_bounded check (length(username) <= 254),
    password   bytea,                                      -- sealed for `email_settings.password/{id}`
    from_email text not null constraint email_settings_from_email_form
               check (from_email ~ '^[^@[:space:]]+@[^@[:space:]]+$' and length(from_email) <= 254),
    from_name  text constraint email_settings_from_name_is_a_line
               check (btrim(from_name) <> '' and length(from_name) <= 100 and from_name !~ '[[:cntrl:]]'),
    is_active  boolean not null default false,
    passed_at  timestamptz,                                -- when the server last let us in with just these settings
    test_error text constraint email_settings_test_error_bounded check (length(test_error) <= 500),   -- of the last test
    version    bigint not null default nextval('email_versions'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint email_settings_login_is_whole check ((username = '') = (password is null)),
    constraint email_settings_active_has_passed check (not is_active or passed_at is not null)
);
create trigger email_settings_touch before update on email_settings for each row execute function touch_updated_at();
-- One is active.
create unique index email_settings_active_key on email_settings (is_active) where is_active;
