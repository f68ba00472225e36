-- Figure 7: sparsity, variance entropy and orthogonality of every network at every depth, 0 being the first layer, 1 to
-- 10 deciles. Entropy is that of the filters as they are (definition paper) or scaled (published). times: how often the
-- network counts in a box, once per pair that it is in where its data set has pairs, else once. Weights: raw or
-- bn_folded, by default the form that most networks have.
-- params: dataset VARCHAR = NULL, weights VARCHAR = NULL, pairs BOOLEAN = true, definition VARCHAR = 'paper'
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
)
SELECT
    network.dataset,
    kind,
    model,
    times,
    depth_decile,
    sum(n_filters)::BIGINT AS n_filters,
    pooled_sparsity(n_sparse, n_filters) AS sparsity,
    weighted_mean(
        CASE $definition
            WHEN 'paper' THEN variance_entropy
            WHEN 'published' THEN variance_entropy_scaled
            ELSE error('definition must be paper or published')
        END,
        n_filters - n_sparse
    ) AS variance_entropy,
    weighted_mean(orthogonality, out_channels) AS orthogonality
FROM layers
JOIN network USING (model)
WHERE kind IS NOT NULL AND ($dataset IS NULL OR network.dataset = $dataset)
GROUP BY network.dataset, kind, model, times, depth_decile
ORDER BY network.dataset, kind, model, depth_decile;
