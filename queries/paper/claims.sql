-- What the paper's claims are judged by, network by network: accuracies (percent), quality of all its filters together,
-- the share of their variance on the first principal component, and how often the network counts in pairs. The report
-- turns these, and figures 1, 2, 6 and 7, into a verdict with an interval over networks. Entropy is that of the filters
-- as they are (definition paper) or scaled (published). Weights: by default the form that most networks have.
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
),
quality AS (
    SELECT
        model,
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
        weighted_mean(orthogonality, out_channels) AS orthogonality,
        merge_moments(scaled_moments) AS moments
    FROM layers
    GROUP BY model
)
SELECT
    network.*,
    clean_accuracy,
    robust_accuracy,
    quality.n_filters,
    sparsity,
    variance_entropy,
    orthogonality,
    explained_variance_ratio(moments)[1] AS first_component
FROM network
JOIN quality USING (model)
JOIN models USING (model)
WHERE kind IS NOT NULL AND ($dataset IS NULL OR network.dataset = $dataset)
ORDER BY network.dataset, kind, model;
