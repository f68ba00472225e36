-- Figure 1: the symmetric KL divergence (nats) of robust from normal filters, by data set and depth: 0 is the first
-- layer, 1 to 10 are deciles; NULL where a side has no filters. The basis is common to all networks, robust and normal.
-- With pairs, as published, a network counts once per pair that it is in, where the data set has pairs; else every
-- network counts once. Weights: raw or bn_folded, by default the form that most networks have. Looks at all filters.
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
moments AS (
    SELECT merge_moments(scaled_moments) AS merged
    FROM layers
    JOIN network USING (model)
    WHERE kind IN ('robust', 'normal')
),
basis AS (
    SELECT
        principal_components(merged) AS components,
        explained_variance_ratio(merged) AS ratios,
        basis_shifts(components, mean_filter(merged)) AS shifts,
        coefficient_low(components, shifts) AS low,
        coefficient_high(components, shifts) AS high
    FROM moments
),
coefficient AS (
    SELECT
        network.dataset, kind, depth_decile,
        times,
        unnest(range(9)) AS axis,
        unnest(coefficient_bins(
            w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs, components, shifts, low, high
        )) AS bin
    FROM filters
    JOIN network USING (model)
    CROSS JOIN basis
    WHERE NOT sparse AND times > 0 AND ($dataset IS NULL OR network.dataset = $dataset)
),
counted AS (
    SELECT dataset, kind, depth_decile, axis, bin, sum(times) AS n
    FROM coefficient
    GROUP BY ALL
),
histogram AS (
    SELECT dataset, kind, depth_decile, axis, bin_counts(map_from_entries(list((bin, n)))) AS counts
    FROM counted
    GROUP BY ALL
),
facing AS (
    SELECT
        dataset,
        depth_decile,
        axis,
        any_value(counts) FILTER (kind = 'robust') AS robust,
        any_value(counts) FILTER (kind = 'normal') AS normal
    FROM histogram
    GROUP BY ALL
),
divergence AS (
    SELECT
        dataset,
        depth_decile,
        sum(ratios[axis + 1] * symmetric_kl(robust, normal, low, high)) AS kl,
        any_value(list_sum(robust))::BIGINT AS n_robust,
        any_value(list_sum(normal))::BIGINT AS n_normal
    FROM facing
    CROSS JOIN basis
    GROUP BY ALL
),
place AS (
    SELECT dataset, bool_or(by_pair) AS by_pair, unnest(range(11)) AS depth_decile
    FROM network
    WHERE kind IN ('robust', 'normal') AND ($dataset IS NULL OR dataset = $dataset)
    GROUP BY dataset
)
SELECT
    place.dataset,
    place.depth_decile,
    kl,
    coalesce(n_robust, 0) AS n_robust,
    coalesce(n_normal, 0) AS n_normal,
    by_pair
FROM place
LEFT JOIN divergence
    ON place.dataset IS NOT DISTINCT FROM divergence.dataset AND place.depth_decile = divergence.depth_decile
ORDER BY place.dataset, place.depth_decile;
