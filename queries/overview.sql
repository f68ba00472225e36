-- What the lake holds: networks, layers, filters and share of sparse ones, by data set, robustness and form of weights.
SELECT
    dataset,
    robust,
    weights,
    count(DISTINCT model) AS n_models,
    count(*) AS n_layers,
    sum(n_filters)::BIGINT AS n_filters,
    pooled_sparsity(n_sparse, n_filters) AS sparsity
FROM layers
GROUP BY dataset, robust, weights
ORDER BY dataset, robust, weights;
