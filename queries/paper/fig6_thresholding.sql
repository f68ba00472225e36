-- Figure 6: which filterbanks (all filters of one output channel) of the first layers act as weighted sums of the input
-- channels, which is what can threshold an image. centre_share: of the bank's energy (the sum of its squared weights),
-- the part in the centre weights; at least $threshold counts as a weighted sum. rank1_share: the part that its best
-- approximation by one spatial filter times one weight per input channel holds: the largest squared singular value of
-- the (inputs, 9) matrix over the sum of all, 1 for a single input. dead: all of its filters are sparse; such banks are
-- no weighted sums. Weights: by default the form that most networks have; first layers as in figure 4.
-- params: dataset VARCHAR = NULL, weights VARCHAR = NULL, threshold DOUBLE = 0.9
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
place AS (
    SELECT model, network.dataset, kind, min(layer) AS layer
    FROM layers
    JOIN network USING (model)
    WHERE kind IS NOT NULL
        AND coalesce(depth_decile = 0, layer = 0)
        AND ($dataset IS NULL OR network.dataset = $dataset)
    GROUP BY model, network.dataset, kind
),
bank AS (
    SELECT
        place.dataset,
        kind,
        model,
        layer,
        out_channel,
        count(DISTINCT in_channel) AS in_channels,
        bool_and(sparse) AS dead,
        raw_moments(
            w0 * side, w1 * side, w2 * side, w3 * side, w4 * side, w5 * side, w6 * side, w7 * side, w8 * side
        ) AS moments
    FROM filters
    JOIN place USING (model, layer)
    CROSS JOIN (SELECT unnest([1, -1]) AS side) AS mirrored  -- so that means are zero and variances energies
    WHERE out_channel IS NOT NULL
    GROUP BY ALL
),
share AS (
    SELECT
        *,
        list_sum([
            moments.c00, moments.c11, moments.c22,
            moments.c33, moments.c44, moments.c55,
            moments.c66, moments.c77, moments.c88
        ]) / 2 AS energy,
        moments.c44 / 2 / nullif(energy, 0) AS centre_share,
        explained_variance_ratio(moments)[1] AS rank1_share
    FROM bank
)
SELECT
    dataset,
    kind,
    model,
    layer,
    out_channel,
    in_channels,
    energy,
    centre_share,
    rank1_share,
    dead,
    NOT dead AND centre_share >= $threshold AS weighted_sum
FROM share
ORDER BY dataset, kind, model, out_channel;
