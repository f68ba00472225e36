-- The root mean square of the scaled weight at each of the nine positions, row by row, robust against normal.
-- params: dataset VARCHAR = NULL
WITH merged AS (
    SELECT robust, merge_moments(scaled_moments) AS moments
    FROM layers
    WHERE $dataset IS NULL OR dataset = $dataset
    GROUP BY robust
)
SELECT
    robust,
    moments.n::BIGINT AS n_filters,
    list_transform(
        [
            moments.c00, moments.c11, moments.c22,
            moments.c33, moments.c44, moments.c55,
            moments.c66, moments.c77, moments.c88
        ],
        lambda square: round(sqrt(square / nullif(moments.n, 0)), 3)
    ) AS root_mean_squares
FROM merged
ORDER BY robust;
