-- Under which licences the networks stand, and how many filters each covers; NULL where none is known.
SELECT
    license,
    count(*) AS n_models,
    sum(n_filters)::BIGINT AS n_filters
FROM models
GROUP BY license
ORDER BY n_filters DESC, license;
