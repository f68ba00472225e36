-- Sparsity, variance entropy and orthogonality along the depth of the networks, robust against normal.
-- params: dataset VARCHAR = NULL
SELECT
    depth_decile,
    robust,
    sum(n_filters)::BIGINT AS n_filters,
    pooled_sparsity(n_sparse, n_filters) AS sparsity,
    weighted_mean(variance_entropy, n_filters - n_sparse) AS variance_entropy,
    weighted_mean(orthogonality, out_channels) AS orthogonality
FROM layers
WHERE $dataset IS NULL OR dataset = $dataset
GROUP BY depth_decile, robust
ORDER BY depth_decile, robust;
