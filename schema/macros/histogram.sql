-- Coefficients of filters on a basis, binned as for the KL divergence (Eq. 10).
-- A basis is passed as components (9 lists of 9 weights) and offsets (9 numbers: component · mean).

-- coefficient(w0, …, w8, max_abs, component, shift): the scaled filter's coordinate along one component.
CREATE OR REPLACE MACRO coefficient(w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs, component, shift) AS
    (
        w0 * component[1] + w1 * component[2] + w2 * component[3]
        + w3 * component[4] + w4 * component[5] + w5 * component[6]
        + w6 * component[7] + w7 * component[8] + w8 * component[9]
    ) / scaling_divisor(max_abs) - shift;

-- histogram_bin(x, low, high, bins): which of `bins` equal bins of [low, high] holds x: [a, b), the last one closed.
CREATE OR REPLACE MACRO histogram_bin(x, low, high, bins := 70) AS
    greatest(0, least(bins - 1, floor((x - low) / ((high - low) / bins))))::INTEGER;

-- coefficient_bins(w0, …, w8, max_abs, components, shifts, low, high): the bins along all nine axes.
CREATE OR REPLACE MACRO coefficient_bins(
    w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs, components, shifts, low, high, bins := 70
) AS [
    histogram_bin(coefficient(w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs, components[1], shifts[1]), low, high, bins := bins),
    histogram_bin(coefficient(w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs, components[2], shifts[2]), low, high, bins := bins),
    histogram_bin(coefficient(w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs, components[3], shifts[3]), low, high, bins := bins),
    histogram_bin(coefficient(w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs, components[4], shifts[4]), low, high, bins := bins),
    histogram_bin(coefficient(w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs, components[5], shifts[5]), low, high, bins := bins),
    histogram_bin(coefficient(w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs, components[6], shifts[6]), low, high, bins := bins),
    histogram_bin(coefficient(w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs, components[7], shifts[7]), low, high, bins := bins),
    histogram_bin(coefficient(w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs, components[8], shifts[8]), low, high, bins := bins),
    histogram_bin(coefficient(w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs, components[9], shifts[9]), low, high, bins := bins)
];
