-- Every network with its accuracies and how much of it is in the lake.
-- params: dataset VARCHAR = NULL
SELECT
    model,
    dataset,
    robust,
    architecture,
    clean_accuracy,
    robust_accuracy,
    n_layers,
    n_filters
FROM models
WHERE $dataset IS NULL OR dataset = $dataset
ORDER BY dataset, robust, robust_accuracy DESC, model;
