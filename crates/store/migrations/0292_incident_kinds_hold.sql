-- Apart from 0290_g2a_settings.sql, so that incidents can be written meanwhile.
alter table incidents validate constraint incidents_kind_known;
