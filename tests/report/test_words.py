"""Numbers and lists as a reader meets them."""

from math import nan

import pytest

from filterdb.report.words import counted, file_name, listed, number, percent, spread


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (nan, "–"),
        (0.0, "0"),
        (1e-17, "≈ 0"),
        (4.437e-5, "4.44×10⁻⁵"),
        (-4.437e-8, "−4.44×10⁻⁸"),
        (-0.00989, "−0.00989"),
        (0.67, "0.670"),
        (12.177, "12.2"),
        (-1.0, "−1"),
        (615863744, "615,863,744"),
    ],
)
def test_numbers_have_few_digits_and_a_real_minus(value, text):
    assert number(value) == text


def test_shares_spreads_counts_and_lists():
    assert (percent(0.6699, 0), percent(nan)) == ("67 %", "–")
    assert (spread(92.24, 4.21), spread(92.24, None), spread(nan, nan)) == ("92.2 ± 4.2", "92.2", "–")
    assert [counted(count, "pair") for count in (0, 1, 1200)] == ["no pairs", "1 pair", "1,200 pairs"]
    assert (listed("abc"), listed("ab", "or"), listed([])) == ("a, b and c", "a or b", "")


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("cifar10", "cifar10"), (None, "unknown data set"), ("../a%b", "..%2Fa%25b"), ("Größe\n", "Größe%0A")],
)
def test_a_data_set_in_a_files_name_leads_nowhere_else(dataset, name):
    assert file_name(dataset) == name
