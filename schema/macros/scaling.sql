-- Magnitudes of filters, and what follows from them.

-- largest_magnitude(w0, …, w8): max|F|, the largest absolute weight of a filter.
CREATE OR REPLACE MACRO largest_magnitude(w0, w1, w2, w3, w4, w5, w6, w7, w8) AS
    list_max([abs(w0), abs(w1), abs(w2), abs(w3), abs(w4), abs(w5), abs(w6), abs(w7), abs(w8)]);

-- scaling_divisor(max_abs): what a filter is divided by to lie in [-1, 1] (Eq. 3), as DOUBLE; 1 for a filter of zeros.
CREATE OR REPLACE MACRO scaling_divisor(max_abs) AS
    CASE WHEN max_abs = 0 THEN 1.0::DOUBLE ELSE max_abs::DOUBLE END;

-- is_sparse(max_abs, layer_max_abs): the filter's largest magnitude is at most 1/100 of its layer's.
CREATE OR REPLACE MACRO is_sparse(max_abs, layer_max_abs) AS
    100 * max_abs::DOUBLE <= layer_max_abs::DOUBLE;
