-- The layers of the lake, with what is known of their networks and with their second moments packed for merge_moments.
CREATE OR REPLACE VIEW layers AS
SELECT
    layer.model, source, architecture, dataset, robust, threat_model, epsilon,
    clean_accuracy, robust_accuracy, corruption_accuracy, extra_data, unreliable,
    venue, year, paper, license, weights,
    layer, layer.name, in_channels, out_channels, groups, stride, dilation,
    conv_depth, depth, depth_decile,
    layer.n_filters, max_abs, n_sparse, sparsity, variance_entropy, variance_entropy_scaled, orthogonality,
    {
        'n': scaled_n,
        's0': scaled_s0, 's1': scaled_s1, 's2': scaled_s2, 's3': scaled_s3, 's4': scaled_s4,
        's5': scaled_s5, 's6': scaled_s6, 's7': scaled_s7, 's8': scaled_s8,
        'c00': scaled_c00, 'c01': scaled_c01, 'c02': scaled_c02, 'c03': scaled_c03, 'c04': scaled_c04,
        'c05': scaled_c05, 'c06': scaled_c06, 'c07': scaled_c07, 'c08': scaled_c08,
        'c11': scaled_c11, 'c12': scaled_c12, 'c13': scaled_c13, 'c14': scaled_c14, 'c15': scaled_c15,
        'c16': scaled_c16, 'c17': scaled_c17, 'c18': scaled_c18,
        'c22': scaled_c22, 'c23': scaled_c23, 'c24': scaled_c24, 'c25': scaled_c25, 'c26': scaled_c26,
        'c27': scaled_c27, 'c28': scaled_c28,
        'c33': scaled_c33, 'c34': scaled_c34, 'c35': scaled_c35, 'c36': scaled_c36, 'c37': scaled_c37,
        'c38': scaled_c38,
        'c44': scaled_c44, 'c45': scaled_c45, 'c46': scaled_c46, 'c47': scaled_c47, 'c48': scaled_c48,
        'c55': scaled_c55, 'c56': scaled_c56, 'c57': scaled_c57, 'c58': scaled_c58,
        'c66': scaled_c66, 'c67': scaled_c67, 'c68': scaled_c68,
        'c77': scaled_c77, 'c78': scaled_c78,
        'c88': scaled_c88
    } AS scaled_moments,
    {
        'n': raw_n,
        's0': raw_s0, 's1': raw_s1, 's2': raw_s2, 's3': raw_s3, 's4': raw_s4,
        's5': raw_s5, 's6': raw_s6, 's7': raw_s7, 's8': raw_s8,
        'c00': raw_c00, 'c01': raw_c01, 'c02': raw_c02, 'c03': raw_c03, 'c04': raw_c04,
        'c05': raw_c05, 'c06': raw_c06, 'c07': raw_c07, 'c08': raw_c08,
        'c11': raw_c11, 'c12': raw_c12, 'c13': raw_c13, 'c14': raw_c14, 'c15': raw_c15,
        'c16': raw_c16, 'c17': raw_c17, 'c18': raw_c18,
        'c22': raw_c22, 'c23': raw_c23, 'c24': raw_c24, 'c25': raw_c25, 'c26': raw_c26,
        'c27': raw_c27, 'c28': raw_c28,
        'c33': raw_c33, 'c34': raw_c34, 'c35': raw_c35, 'c36': raw_c36, 'c37': raw_c37,
        'c38': raw_c38,
        'c44': raw_c44, 'c45': raw_c45, 'c46': raw_c46, 'c47': raw_c47, 'c48': raw_c48,
        'c55': raw_c55, 'c56': raw_c56, 'c57': raw_c57, 'c58': raw_c58,
        'c66': raw_c66, 'c67': raw_c67, 'c68': raw_c68,
        'c77': raw_c77, 'c78': raw_c78,
        'c88': raw_c88
    } AS raw_moments
FROM stored.layers AS layer
JOIN stored.models AS network USING (ingest_id)
SEMI JOIN stored.commits USING (ingest_id);
