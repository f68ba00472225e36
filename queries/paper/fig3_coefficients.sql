-- Figure 3: how the coefficients of the filters of each data set and kind of network are distributed along each axis of
-- the common basis, in 70 equal bins, and the symmetric KL divergence (nats) of robust from normal ones along the axis
-- and, weighted by variance, over all axes. By default every network counts once, as in the paper's text; with pairs,
-- once per pair that it is in. The basis and weights are those of figure 1. Looks at all filters.
-- params: dataset VARCHAR = NULL, weights VARCHAR = NULL, pairs BOOLEAN = false
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
        network.dataset, kind,
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
    SELECT dataset, kind, axis, bin, sum(times) AS n
    FROM coefficient
    WHERE kind IS NOT NULL
    GROUP BY ALL
),
histogram AS (
    SELECT dataset, kind, axis, bin_counts(map_from_entries(list((bin, n)))) AS counts
    FROM counted
    GROUP BY ALL
),
facing AS (
    SELECT
        dataset,
        axis,
        any_value(counts) FILTER (kind = 'robust') AS robust,
        any_value(counts) FILTER (kind = 'normal') AS normal
    FROM histogram
    GROUP BY ALL
),
by_axis AS (
    SELECT dataset, axis, ratios[axis + 1] AS ratio, symmetric_kl(robust, normal, low, high) AS axis_kl
    FROM facing
    CROSS JOIN basis
),
divergence AS (
    SELECT *, sum(ratio * axis_kl) OVER (PARTITION BY dataset) AS kl
    FROM by_axis
),
bin AS (
    SELECT dataset, kind, axis, unnest(range(70)) AS bin, unnest(counts)::BIGINT AS n, list_sum(counts) AS total
    FROM histogram
)
SELECT
    bin.dataset,
    kind,
    axis + 1 AS axis,
    ratio,
    bin,
    low + bin * (high - low) / 70 AS coefficient_from,
    low + (bin + 1) * (high - low) / 70 AS coefficient_to,
    n,
    n / total AS share,
    axis_kl,
    kl
FROM bin
JOIN divergence USING (axis)
CROSS JOIN basis
WHERE bin.dataset IS NOT DISTINCT FROM divergence.dataset
ORDER BY bin.dataset, kind, axis, bin;
