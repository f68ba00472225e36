-- The symmetric KL divergence of two histograms, lists of counts over the same equal bins (Eq. 10).

-- empty_bin_density(): float32 eps, the density that stands for an empty bin.
CREATE OR REPLACE MACRO empty_bin_density() AS 1.1920928955078125e-07::DOUBLE;

-- bin_probabilities(counts, low, high): densities over [low, high], empty bins as above, normalised to sum 1;
-- NULL if all bins are empty. Before normalising, the bins that are not empty sum to 1 / bin width.
CREATE OR REPLACE MACRO bin_probabilities(counts, low, high) AS
    CASE WHEN list_sum(counts) > 0 THEN
        list_transform(
            counts,
            lambda k: CASE WHEN k = 0 THEN empty_bin_density() * (high - low) / len(counts) ELSE k / list_sum(counts) END
                / (1 + len(list_filter(counts, lambda n: n = 0)) * empty_bin_density() * (high - low) / len(counts))
        )
    END;

-- symmetric_kl(p, q, low, high): KL(P‖Q) + KL(Q‖P) in nats along one axis; NULL if either has no filters.
CREATE OR REPLACE MACRO symmetric_kl(p, q, low, high) AS
    list_sum(list_transform(
        list_zip(bin_probabilities(p, low, high), bin_probabilities(q, low, high)),
        lambda pair: (pair[1] - pair[2]) * ln(pair[1] / pair[2])
    ));
