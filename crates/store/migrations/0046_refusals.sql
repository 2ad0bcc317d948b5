-- G2A's refusals are counted apart from its outages: a product is given up after a few of the first, and an outage that
-- went before them says nothing about the product.
alter table order_units
    add column refusals integer not null default 0         -- orders that G2A refused since the unit last came forward
        constraint order_units_refusals_bounded check (refusals between 0 and 1000);
