//! The run history, the lease, and the bookkeeping tables with exactly one row.

use crate::world::rules;

rules! {
    a_run_is_of_a_known_kind: "sync_runs_kind_known"
        refuses ["insert into sync_runs (kind, reason, epoch) values ('HALF', 'test', 1)"]
        allows ["insert into sync_runs (kind, reason, epoch) values ('FULL', 'test', 1), ('STOCK', 't', 1), ('INCREMENTAL', 't', 1), ('PRODUCT', 't', 1)"]
    a_runs_status_is_known: "sync_runs_status_known"
        refuses ["insert into sync_runs (kind, reason, epoch, status, finished_at) values ('FULL', 'test', 1, 'GONE', now())"]
        allows ["insert into sync_runs (kind, reason, epoch) values ('FULL', 'test', 1)"]
    a_run_that_ended_has_its_time: "sync_runs_finished_when_ended"
        refuses [
            "insert into sync_runs (kind, reason, epoch, status) values ('FULL', 'test', 1, 'COMPLETED')",
            "insert into sync_runs (kind, reason, epoch, finished_at) values ('FULL', 'test', 1, now())",
        ]
        allows ["insert into sync_runs (kind, reason, epoch, status, finished_at) values ('FULL', 'test', 1, 'COMPLETED', now())"]
    a_seen_product_belongs_to_a_run: "sync_seen_run_id_fkey"
        refuses ["insert into sync_seen values ({new}, 'g1')"]
        allows ["insert into sync_runs (id, kind, reason, epoch) values ({new}, 'FULL', 'test', 1); insert into sync_seen values ({new}, 'g1')"]
    a_product_is_seen_once_in_a_run: "sync_seen_pkey"
        refuses ["insert into sync_runs (id, kind, reason, epoch) values ({new}, 'FULL', 'test', 1);
                  insert into sync_seen values ({new}, 'g1'), ({new}, 'g1')"]
        allows ["insert into sync_runs (id, kind, reason, epoch) values ({new}, 'FULL', 'test', 1);
                 insert into sync_seen values ({new}, 'g1'), ({new}, 'g1') on conflict do nothing"]
    a_lease_name_is_unique: "sync_lease_pkey"
        refuses ["insert into sync_lease (name) values ('catalogue')"]
        allows ["insert into sync_lease (name) values ('something else')"]
    there_is_one_request_budget: "g2a_budget_pkey"
        refuses ["insert into g2a_budget (level, updated_at_ms) values (1, 1), (2, 2)"]
        allows ["truncate g2a_budget; insert into g2a_budget (level, updated_at_ms) values (1, 1)"]
    the_request_budget_has_no_second_row: "g2a_budget_only_row_check"
        refuses ["insert into g2a_budget (only_row, level, updated_at_ms) values (false, 1, 1)"]
        allows ["truncate g2a_budget; insert into g2a_budget (only_row, level, updated_at_ms) values (true, 1, 1)"]
    the_log_has_one_floor: "cache_floor_pkey"
        refuses ["insert into cache_floor (floor) values ('0')"]
        allows ["update cache_floor set floor = '7'"]
    the_floor_has_no_second_row: "cache_floor_only_row_check"
        refuses ["insert into cache_floor (only_row, floor) values (false, '0')"]
        allows ["update cache_floor set floor = '7'"]
    a_process_has_one_row: "instances_pkey"
        refuses ["insert into instances values ({new}, 'n', '{}', now()), ({new}, 'n', '{}', now())"]
        allows ["insert into instances values ({new}, 'n', '{}', now())"]
    one_secret_seals_keys: "key_secret_in_use_pkey"
        refuses ["insert into key_secret_in_use (mark) values ('a'), ('b')"]
        allows ["insert into key_secret_in_use (mark) values ('a')"]
    the_secret_in_use_has_no_second_row: "key_secret_in_use_only_row"
        refuses ["insert into key_secret_in_use (only_row, mark) values (false, 'a')"]
        allows ["insert into key_secret_in_use (mark) values ('a')"]
    there_is_one_cache_incarnation: "cache_incarnation_pkey"
        refuses ["insert into cache_incarnation default values; insert into cache_incarnation default values"]
        allows ["insert into cache_incarnation default values"]
    the_cache_incarnation_has_no_second_row: "cache_incarnation_only_row_check"
        refuses ["insert into cache_incarnation (only_row) values (false)"]
        allows ["insert into cache_incarnation (only_row) values (true)"]
    the_write_probe_is_one_row: "write_probe_is_one_row"
        refuses ["insert into write_probe (id) values (false)"]
        allows ["insert into write_probe (id) values (true) on conflict (id) do update set at = now()"]
    the_write_probe_has_no_second_row: "write_probe_pkey"
        refuses ["insert into write_probe values (true), (true)"]
        allows ["insert into write_probe values (true) on conflict do nothing"]
    the_evictor_has_one_cursor: "relay_cursor_pkey"
        refuses ["insert into relay_cursor values ('r', '1:1:'), ('r', '1:1:')"]
        allows ["insert into relay_cursor values ('r', '1:1:'), ('s', '1:1:')"]
    a_job_is_of_a_known_kind: "supplier_jobs_kind_known"
        refuses ["insert into supplier_jobs (id, kind) values ({new}, 'HALF')"]
        allows ["insert into supplier_jobs (id, kind) values ({new}, 'FULL')", "insert into supplier_jobs (id, kind) values ({new}, 'CONNECTION')"]
    a_jobs_state_is_known: "supplier_jobs_state_known"
        refuses ["insert into supplier_jobs (id, kind, state) values ({new}, 'FULL', 'LOST')"]
        allows ["insert into supplier_jobs (id, kind) values ({new}, 'FULL')"]
    a_jobs_products_are_bounded: "supplier_jobs_products_bounded"
        refuses ["insert into supplier_jobs (id, kind, products) values ({new}, 'PRODUCTS', array_fill('1'::text, array[1001]))",
                 "insert into supplier_jobs (id, kind, products) values ({new}, 'PRODUCTS', array['1', null])"]
        allows ["insert into supplier_jobs (id, kind, products) values ({new}, 'PRODUCTS', array_fill('1'::text, array[1000]))"]
    a_job_about_products_names_them: "supplier_jobs_products_named"
        refuses ["insert into supplier_jobs (id, kind) values ({new}, 'PRODUCTS')", "insert into supplier_jobs (id, kind, products) values ({new}, 'FULL', '{1}')"]
        allows ["insert into supplier_jobs (id, kind, products) values ({new}, 'PRODUCTS', '{1}')"]
    a_jobs_page_is_one_of_g2as: "supplier_jobs_page_bounded"
        refuses ["insert into supplier_jobs (id, kind, page) values ({new}, 'LISTING', 501)"]
        allows ["insert into supplier_jobs (id, kind, page) values ({new}, 'LISTING', 500)"]
    a_jobs_page_size_is_bounded: "supplier_jobs_page_size_bounded"
        refuses ["insert into supplier_jobs (id, kind, page_size) values ({new}, 'LISTING', 101)"]
        allows ["insert into supplier_jobs (id, kind, page_size) values ({new}, 'LISTING', 100)"]
    a_jobs_progress_is_bounded: "supplier_jobs_done_bounded"
        refuses ["insert into supplier_jobs (id, kind, done) values ({new}, 'FULL', -1)"]
        allows ["insert into supplier_jobs (id, kind, done) values ({new}, 'FULL', 0)"]
    a_job_that_ended_has_its_time: "supplier_jobs_finished_when_ended"
        refuses ["insert into supplier_jobs (id, kind, state) values ({new}, 'FULL', 'COMPLETED')", "insert into supplier_jobs (id, kind, finished_at) values ({new}, 'FULL', now())"]
        allows ["insert into supplier_jobs (id, kind, state, finished_at) values ({new}, 'FULL', 'CANCELLED', now())"]
    a_running_job_has_a_worker: "supplier_jobs_taken_by_a_worker"
        refuses ["insert into supplier_jobs (id, kind, state) values ({new}, 'FULL', 'RUNNING')"]
        allows ["insert into supplier_jobs (id, kind, state, worker, started_at) values ({new}, 'FULL', 'RUNNING', {new}, now())"]
    a_processs_durations_are_bounded: "supplier_calls_latency_bounded"
        refuses ["insert into supplier_calls (process, is_worker, latency_ms) values ({new}, true, array_fill(1, array[101]))"]
        allows ["insert into supplier_calls (process, is_worker, latency_ms) values ({new}, true, array_fill(1, array[100]))"]
    a_breakers_state_is_known: "supplier_calls_breaker_known"
        refuses ["insert into supplier_calls (process, is_worker, breaker) values ({new}, true, 'broken')"]
        allows ["insert into supplier_calls (process, is_worker, breaker) values ({new}, true, 'half-open')"]
}
