-- Table 1: filters per network, accuracy on clean images and under attack (percent) by data set and kind of network:
-- mean and sample standard deviation over pairs, in which a network appears once per pair that it is in. A data set
-- without pairs, or all without $pairs, has every network once. Weights: by default the form that most networks have.
-- params: dataset VARCHAR = NULL, weights VARCHAR = NULL, pairs BOOLEAN = true
WITH form AS (
    SELECT weights
    FROM models
    WHERE $weights IS NULL OR weights = $weights
    GROUP BY weights
    ORDER BY count(*) DESC, weights DESC
    LIMIT 1
),
paired AS (
    SELECT model, count(*) AS times
    FROM (SELECT unnest([robust_model, normal_model]) AS model FROM pairs)
    GROUP BY model
),
network AS (
    SELECT
        model,
        dataset,
        network_kind(model, robust) AS kind,
        kind != 'untrained' AND $pairs AND count(times) OVER (PARTITION BY dataset) > 0 AS by_pair,
        CASE WHEN by_pair THEN coalesce(times, 0) ELSE 1 END AS times
    FROM models
    LEFT JOIN paired USING (model)
    SEMI JOIN form USING (weights)
),
entry AS (
    SELECT network.*, n_filters, clean_accuracy, robust_accuracy
    FROM network
    JOIN models USING (model)
    CROSS JOIN range(times)
    WHERE kind IS NOT NULL AND ($dataset IS NULL OR network.dataset = $dataset)
)
SELECT
    dataset,
    kind,
    by_pair,
    count(*) AS n,
    count(DISTINCT model) AS n_models,
    avg(n_filters) AS filters_mean,
    stddev_samp(n_filters) AS filters_std,
    avg(clean_accuracy) AS clean_accuracy_mean,
    stddev_samp(clean_accuracy) AS clean_accuracy_std,
    avg(robust_accuracy) AS robust_accuracy_mean,
    stddev_samp(robust_accuracy) AS robust_accuracy_std
FROM entry
GROUP BY dataset, kind, by_pair
ORDER BY dataset, kind;
