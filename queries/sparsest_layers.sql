-- The layers with the largest share of sparse filters: what a network could have done without.
-- params: n BIGINT = 10
SELECT model, layer, name, depth_decile, n_filters, sparsity, variance_entropy
FROM layers
ORDER BY sparsity DESC, n_filters DESC
LIMIT $n;
