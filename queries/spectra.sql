-- How the variance of scaled filters spreads over their nine principal components, robust against normal, by data set.
SELECT
    dataset,
    robust,
    count(DISTINCT model) AS n_models,
    merge_moments(scaled_moments).n::BIGINT AS n_filters,
    list_transform(explained_variance_ratio(merge_moments(scaled_moments)), lambda share: round(share, 4)) AS ratios
FROM layers
GROUP BY dataset, robust
ORDER BY dataset, robust;
