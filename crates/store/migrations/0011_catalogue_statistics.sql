-- What the planner knows of the facets. Statistics of a partial index's expressions are gathered but not used, so
-- without these it takes every service, region and publisher for one in two hundred, and reads a million games one by
-- one where a scan would do.
create statistics games_facets (mcv) on lower(activation_service), lower(region), lower(publisher) from games;
