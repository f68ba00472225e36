-- What networks are.

-- network_kind(model, robust): 'robust' or 'normal' as it was trained, 'untrained' with initial weights, else NULL.
CREATE OR REPLACE MACRO network_kind(model, robust) AS
    CASE
        WHEN robust THEN 'robust'
        WHEN NOT robust THEN 'normal'
        WHEN regexp_matches(model, '@random[0-9]*(@bn_folded)?$') THEN 'untrained'
    END;
