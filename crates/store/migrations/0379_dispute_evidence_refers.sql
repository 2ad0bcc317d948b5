-- no-transaction
begin;
alter table dispute_evidence drop constraint if exists dispute_evidence_requested_by_fkey;
alter table dispute_evidence add constraint dispute_evidence_requested_by_fkey foreign key (requested_by) references users (id) on delete restrict not valid;
commit;
alter table dispute_evidence validate constraint dispute_evidence_requested_by_fkey;
