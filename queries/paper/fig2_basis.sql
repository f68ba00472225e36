-- Figure 2: the principal components of the scaled, non-sparse filters of all, robust, normal and untrained networks,
-- and the share of the variance that each explains; 'all' are the robust and the normal ones. Every network counts once.
-- Weights: raw or bn_folded, by default the form that most networks have.
-- params: dataset VARCHAR = NULL, weights VARCHAR = NULL
WITH form AS (
    SELECT weights
    FROM models
    WHERE $weights IS NULL OR weights = $weights
    GROUP BY weights
    ORDER BY count(*) DESC, weights DESC
    LIMIT 1
),
network AS (
    SELECT model, dataset, network_kind(model, robust) AS kind
    FROM models
    SEMI JOIN form USING (weights)
),
member AS (
    SELECT model, unnest(CASE WHEN kind = 'untrained' THEN [kind] ELSE ['all', kind] END) AS kind
    FROM network
    WHERE kind IS NOT NULL AND ($dataset IS NULL OR dataset = $dataset)
),
merged AS (
    SELECT kind, count(DISTINCT model) AS n_models, merge_moments(scaled_moments) AS moments
    FROM layers
    JOIN member USING (model)
    GROUP BY kind
)
SELECT
    kind,
    n_models,
    moments.n::BIGINT AS n_filters,
    explained_variance_ratio(moments) AS explained_variance_ratio,
    mean_filter(moments) AS mean,
    principal_components(moments) AS components
FROM merged
ORDER BY list_position(['all', 'normal', 'robust', 'untrained'], kind);
