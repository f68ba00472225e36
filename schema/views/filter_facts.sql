-- Filters with everything known of their layers and networks, for questions that need both.
CREATE OR REPLACE VIEW filter_facts AS
SELECT
    filter.*,
    layer.* EXCLUDE (model, layer, dataset, robust, conv_depth, depth_decile, max_abs, scaled_moments, raw_moments)
FROM filters AS filter
JOIN layers AS layer USING (model, layer);
