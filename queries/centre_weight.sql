-- How much of the filters' energy sits in the centre weight, by robustness and depth: 1/9 for filters without shape.
-- params: dataset VARCHAR = NULL
SELECT
    depth_decile,
    robust,
    merge_moments(raw_moments).c44
        / nullif(list_sum([
            merge_moments(raw_moments).c00, merge_moments(raw_moments).c11, merge_moments(raw_moments).c22,
            merge_moments(raw_moments).c33, merge_moments(raw_moments).c44, merge_moments(raw_moments).c55,
            merge_moments(raw_moments).c66, merge_moments(raw_moments).c77, merge_moments(raw_moments).c88
        ]), 0) AS centre_share
FROM layers
WHERE $dataset IS NULL OR dataset = $dataset
GROUP BY depth_decile, robust
ORDER BY depth_decile, robust;
