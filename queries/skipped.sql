-- What is not there, and why: parts of networks by reason, and networks that were left out whole.
SELECT
    reason,
    count(*) AS n_parts,
    count(DISTINCT model) AS n_models
FROM skips
GROUP BY reason
ORDER BY n_parts DESC, reason;
