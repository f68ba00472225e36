-- What adversarial training changed: sparsity of each robust network and of its normal counterpart.
WITH network AS (
    SELECT
        model,
        pooled_sparsity(n_sparse, n_filters) AS sparsity,
        weighted_mean(variance_entropy, n_filters - n_sparse) AS variance_entropy
    FROM layers
    GROUP BY model
)
SELECT
    robust_model,
    normal_model,
    robust.sparsity AS robust_sparsity,
    normal.sparsity AS normal_sparsity,
    robust.variance_entropy AS robust_entropy,
    normal.variance_entropy AS normal_entropy
FROM pairs
JOIN network AS robust ON robust.model = robust_model
JOIN network AS normal ON normal.model = normal_model
ORDER BY robust_model, normal_model;
