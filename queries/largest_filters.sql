-- The single filters of the largest magnitude, with all nine weights; looks at every filter.
-- params: n BIGINT = 5
SELECT model, layer, out_channel, in_channel, max_abs, w0, w1, w2, w3, w4, w5, w6, w7, w8
FROM filters
ORDER BY max_abs DESC, model, layer, out_channel, in_channel
LIMIT $n;
