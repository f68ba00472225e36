-- Second moments of filters: a STRUCT of 55 DOUBLEs, n (count), s0 … s8 (sums), c00 … c88 (sums of products).
-- Aggregates; they merge exactly, so any grouping of any partition gives the same. Filters of NULLs are left out.

-- raw_moments(w0, …, w8): of the filters as they are.
CREATE OR REPLACE MACRO raw_moments(w0, w1, w2, w3, w4, w5, w6, w7, w8) AS {
    'n': count(w0)::DOUBLE,
    's0': sum(w0::DOUBLE), 's1': sum(w1::DOUBLE), 's2': sum(w2::DOUBLE),
    's3': sum(w3::DOUBLE), 's4': sum(w4::DOUBLE), 's5': sum(w5::DOUBLE),
    's6': sum(w6::DOUBLE), 's7': sum(w7::DOUBLE), 's8': sum(w8::DOUBLE),
    'c00': sum(w0::DOUBLE * w0), 'c01': sum(w0::DOUBLE * w1), 'c02': sum(w0::DOUBLE * w2),
    'c03': sum(w0::DOUBLE * w3), 'c04': sum(w0::DOUBLE * w4), 'c05': sum(w0::DOUBLE * w5),
    'c06': sum(w0::DOUBLE * w6), 'c07': sum(w0::DOUBLE * w7), 'c08': sum(w0::DOUBLE * w8),
    'c11': sum(w1::DOUBLE * w1), 'c12': sum(w1::DOUBLE * w2), 'c13': sum(w1::DOUBLE * w3),
    'c14': sum(w1::DOUBLE * w4), 'c15': sum(w1::DOUBLE * w5), 'c16': sum(w1::DOUBLE * w6),
    'c17': sum(w1::DOUBLE * w7), 'c18': sum(w1::DOUBLE * w8),
    'c22': sum(w2::DOUBLE * w2), 'c23': sum(w2::DOUBLE * w3), 'c24': sum(w2::DOUBLE * w4),
    'c25': sum(w2::DOUBLE * w5), 'c26': sum(w2::DOUBLE * w6), 'c27': sum(w2::DOUBLE * w7),
    'c28': sum(w2::DOUBLE * w8),
    'c33': sum(w3::DOUBLE * w3), 'c34': sum(w3::DOUBLE * w4), 'c35': sum(w3::DOUBLE * w5),
    'c36': sum(w3::DOUBLE * w6), 'c37': sum(w3::DOUBLE * w7), 'c38': sum(w3::DOUBLE * w8),
    'c44': sum(w4::DOUBLE * w4), 'c45': sum(w4::DOUBLE * w5), 'c46': sum(w4::DOUBLE * w6),
    'c47': sum(w4::DOUBLE * w7), 'c48': sum(w4::DOUBLE * w8),
    'c55': sum(w5::DOUBLE * w5), 'c56': sum(w5::DOUBLE * w6), 'c57': sum(w5::DOUBLE * w7),
    'c58': sum(w5::DOUBLE * w8),
    'c66': sum(w6::DOUBLE * w6), 'c67': sum(w6::DOUBLE * w7), 'c68': sum(w6::DOUBLE * w8),
    'c77': sum(w7::DOUBLE * w7), 'c78': sum(w7::DOUBLE * w8),
    'c88': sum(w8::DOUBLE * w8)
};

-- scaled_moments(w0, …, w8, max_abs): of the filters divided by their largest magnitude (Eq. 3);
-- filters of zeros stay zero. Without max_abs it is computed first, at a third of the speed.
CREATE OR REPLACE MACRO scaled_moments(w0, w1, w2, w3, w4, w5, w6, w7, w8, max_abs) AS raw_moments(
    w0 / scaling_divisor(max_abs), w1 / scaling_divisor(max_abs), w2 / scaling_divisor(max_abs),
    w3 / scaling_divisor(max_abs), w4 / scaling_divisor(max_abs), w5 / scaling_divisor(max_abs),
    w6 / scaling_divisor(max_abs), w7 / scaling_divisor(max_abs), w8 / scaling_divisor(max_abs)
),
(w0, w1, w2, w3, w4, w5, w6, w7, w8) AS raw_moments(
    w0 / scaling_divisor(largest_magnitude(w0, w1, w2, w3, w4, w5, w6, w7, w8)),
    w1 / scaling_divisor(largest_magnitude(w0, w1, w2, w3, w4, w5, w6, w7, w8)),
    w2 / scaling_divisor(largest_magnitude(w0, w1, w2, w3, w4, w5, w6, w7, w8)),
    w3 / scaling_divisor(largest_magnitude(w0, w1, w2, w3, w4, w5, w6, w7, w8)),
    w4 / scaling_divisor(largest_magnitude(w0, w1, w2, w3, w4, w5, w6, w7, w8)),
    w5 / scaling_divisor(largest_magnitude(w0, w1, w2, w3, w4, w5, w6, w7, w8)),
    w6 / scaling_divisor(largest_magnitude(w0, w1, w2, w3, w4, w5, w6, w7, w8)),
    w7 / scaling_divisor(largest_magnitude(w0, w1, w2, w3, w4, w5, w6, w7, w8)),
    w8 / scaling_divisor(largest_magnitude(w0, w1, w2, w3, w4, w5, w6, w7, w8))
);

-- merge_moments(moments): the moments of everything together, from moments of parts.
CREATE OR REPLACE MACRO merge_moments(moments) AS {
    'n': sum(moments.n),
    's0': sum(moments.s0), 's1': sum(moments.s1), 's2': sum(moments.s2),
    's3': sum(moments.s3), 's4': sum(moments.s4), 's5': sum(moments.s5),
    's6': sum(moments.s6), 's7': sum(moments.s7), 's8': sum(moments.s8),
    'c00': sum(moments.c00), 'c01': sum(moments.c01), 'c02': sum(moments.c02),
    'c03': sum(moments.c03), 'c04': sum(moments.c04), 'c05': sum(moments.c05),
    'c06': sum(moments.c06), 'c07': sum(moments.c07), 'c08': sum(moments.c08),
    'c11': sum(moments.c11), 'c12': sum(moments.c12), 'c13': sum(moments.c13),
    'c14': sum(moments.c14), 'c15': sum(moments.c15), 'c16': sum(moments.c16),
    'c17': sum(moments.c17), 'c18': sum(moments.c18),
    'c22': sum(moments.c22), 'c23': sum(moments.c23), 'c24': sum(moments.c24),
    'c25': sum(moments.c25), 'c26': sum(moments.c26), 'c27': sum(moments.c27),
    'c28': sum(moments.c28),
    'c33': sum(moments.c33), 'c34': sum(moments.c34), 'c35': sum(moments.c35),
    'c36': sum(moments.c36), 'c37': sum(moments.c37), 'c38': sum(moments.c38),
    'c44': sum(moments.c44), 'c45': sum(moments.c45), 'c46': sum(moments.c46),
    'c47': sum(moments.c47), 'c48': sum(moments.c48),
    'c55': sum(moments.c55), 'c56': sum(moments.c56), 'c57': sum(moments.c57),
    'c58': sum(moments.c58),
    'c66': sum(moments.c66), 'c67': sum(moments.c67), 'c68': sum(moments.c68),
    'c77': sum(moments.c77), 'c78': sum(moments.c78),
    'c88': sum(moments.c88)
};
