-- A basis in SQL: what follows from its components (9 lists of 9 weights) and its mean filter (9 weights).

-- basis_shifts(components, mean): the nine component · mean, as `coefficient_bins` expects them.
CREATE OR REPLACE MACRO basis_shifts(components, mean) AS
    list_transform(components, lambda component: list_dot_product(component, mean));

-- coefficient_low(components, shifts): the least coefficient that any filter in [-1, 1]⁹ can have on any axis.
CREATE OR REPLACE MACRO coefficient_low(components, shifts) AS
    list_min(list_transform(list_zip(components, shifts),
        lambda axis: -list_sum(list_transform(axis[1], lambda weight: abs(weight))) - axis[2]));

-- coefficient_high(components, shifts): the greatest one.
CREATE OR REPLACE MACRO coefficient_high(components, shifts) AS
    list_max(list_transform(list_zip(components, shifts),
        lambda axis: list_sum(list_transform(axis[1], lambda weight: abs(weight))) - axis[2]));

-- bin_counts(found, bins): a map from bin to count as the list of all bins' counts, 0 where the map has none.
CREATE OR REPLACE MACRO bin_counts(found, bins := 70) AS
    list_transform(range(bins), lambda bin: coalesce(found[bin::INTEGER], 0));
