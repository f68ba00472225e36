-- Figure 4: the filters of the first layer of one network and of its twin, n output channels of each with all inputs. The
-- network: the robust one with the highest robust accuracy, or $model; its twin: its normal counterpart in pairs, if
-- there is one. A network whose first convolution is not 3×3 has none; where depths are unknown, the first 3×3 layer in
-- order of execution stands in. Weights: raw or bn_folded, by default the form that most networks have.
-- params: dataset VARCHAR = NULL, weights VARCHAR = NULL, model VARCHAR = NULL, n BIGINT = 64
WITH form AS (
    SELECT weights
    FROM models
    WHERE $weights IS NULL OR weights = $weights
    GROUP BY weights
    ORDER BY count(*) DESC, weights DESC
    LIMIT 1
),
candidate AS (
    SELECT models.model, network_kind(models.model, robust) AS kind, robust_accuracy, normal_model AS twin
    FROM models
    LEFT JOIN pairs ON robust_model = models.model
    WHERE robust IS NOT NULL
        AND ($dataset IS NULL OR models.dataset = $dataset)
        AND (models.model = $model OR ($model IS NULL AND weights IN (FROM form)))
),
chosen AS (
    SELECT model, twin
    FROM candidate
    ORDER BY kind = 'robust' DESC, twin IS NOT NULL DESC, robust_accuracy DESC NULLS LAST, model, twin
    LIMIT 1
),
shown AS (
    SELECT unnest([twin, model]) AS model FROM chosen
),
place AS (
    SELECT model, min(layer) AS layer
    FROM layers
    JOIN shown USING (model)
    WHERE coalesce(depth_decile = 0, layer = 0)
    GROUP BY model
)
SELECT
    network_kind(model, robust) AS kind,
    model,
    layer,
    out_channel,
    in_channel,
    w0, w1, w2, w3, w4, w5, w6, w7, w8
FROM filters
JOIN place USING (model, layer)
WHERE coalesce(out_channel, 0) < $n
ORDER BY kind, out_channel, in_channel, w0, w1, w2, w3, w4, w5, w6, w7, w8;
