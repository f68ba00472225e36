-- Quality metrics of a group of layers, from the metrics of each (aggregates).

-- pooled_sparsity(n_sparse, n_filters): the share of sparse filters in all layers together.
CREATE OR REPLACE MACRO pooled_sparsity(n_sparse, n_filters) AS
    sum(n_sparse) / nullif(sum(n_filters), 0);

-- weighted_mean(value, weight): of the values that are not NULL; NULL without any weight.
CREATE OR REPLACE MACRO weighted_mean(value, weight) AS
    sum(value * weight) / nullif(sum(CASE WHEN value IS NOT NULL THEN weight END), 0);
