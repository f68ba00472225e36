"""The frozen table of RobustBench, the choosing among its entries, and the paper's pairs."""

import csv
from collections import Counter
from statistics import mean, stdev

import pytest

from filterdb.errors import UsageError
from filterdb.network import Facts
from filterdb.sources.robustbench import catalogue, find, networks, pair_rows, pairs, select, select_pairs


def test_entries_by_dataset_and_threat_model():
    assert Counter((entry.dataset, entry.threat_model) for entry in catalogue()) == {
        ("cifar10", "Linf"): 76,
        ("cifar100", "Linf"): 38,
        ("imagenet", "Linf"): 30,
        ("cifar10", "L2"): 21,
        ("cifar10", "corruptions"): 17,
        ("cifar100", "corruptions"): 12,
        ("imagenet", "corruptions"): 12,
    }
    assert len({entry.key for entry in catalogue()}) == len(catalogue()) == 206


def test_facts_of_an_entry():
    assert find("cifar10/Linf/Gowal2020Uncovering_28_10_extra").facts == Facts(
        model="robustbench/cifar10/Linf/Gowal2020Uncovering_28_10_extra",
        source="robustbench",
        name="Gowal2020Uncovering_28_10_extra",
        dataset="cifar10",
        robust=True,
        architecture="WideResNet-28-10",
        threat_model="Linf",
        epsilon=8 / 255,
        clean_accuracy=89.48,
        robust_accuracy=62.76,
        extra_data=True,
        unreliable=False,
        venue="arXiv, Oct 2020",
        year=2020,
        paper="https://arxiv.org/abs/2010.03593",
    )


def test_unknown_stays_none():
    standard = find("cifar10/Linf/Standard").facts
    assert (standard.robust, standard.robust_accuracy) == (False, 0.0)
    assert (standard.unreliable, standard.venue, standard.year) == (None, None, None)
    corruptions = find("imagenet/corruptions/Hendrycks2020AugMix").facts
    assert (corruptions.epsilon, corruptions.robust_accuracy, corruptions.corruption_accuracy) == (None, None, 49.33)


def test_references_are_not_robust():
    assert {entry.key for entry in catalogue() if not entry.facts.robust} == {
        "cifar10/Linf/Standard",
        "cifar10/L2/Standard",
        "cifar10/corruptions/Standard",
        "imagenet/Linf/Standard_R50",
        "imagenet/corruptions/Standard_R50",
        "imagenet/corruptions/AlexNet",
    }


def test_table_is_the_published_one(reference_data):
    with (reference_data / "robustbench_models.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["in_model_dicts"] == "True"]
    for entry, row in zip(catalogue(), rows, strict=True):
        numerator, _, denominator = row["eps"].partition("/")
        assert entry.key == f"{row['dataset']}/{row['threat_model']}/{row['model_id']}"
        assert entry.epsilon == (float(numerator) / float(denominator or 1) if row["eps"] else None)
        assert entry.clean_accuracy == float(row["clean_acc"])
        assert entry.robust_accuracy == (float(row["best_robust_acc"]) if row["best_robust_acc"] else None)
        assert "|".join(entry.google_drive) == row["gdrive_id"]
        assert str(entry.in_paper) == row["in_paper71"]


@pytest.mark.parametrize(
    ("conditions", "number"),
    [
        ({}, 206),
        ({"threat_models": ["Linf"]}, 144),
        ({"datasets": ["cifar10", "imagenet"], "threat_models": ["L2"]}, 21),
        ({"models": ["Engstrom2019Robustness"]}, 3),
        ({"models": ["cifar10/L2/Engstrom2019Robustness", "Carmon2019Unlabeled"]}, 2),
        ({"datasets": ["imagenet"], "models": ["Engstrom2019Robustness"]}, 1),
    ],
)
def test_selection(conditions, number):
    assert len(select(**conditions)) == number


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"datasets": ["cifar"]}, "unknown dataset 'cifar'; choose from cifar10, cifar100, imagenet"),
        ({"threat_models": ["linf"]}, "unknown threat model 'linf'; choose from Linf, L2, corruptions"),
        (
            {"models": ["Carmon2019Unlabelled"]},
            "unknown RobustBench model 'Carmon2019Unlabelled'; did you mean Carmon2019Unlabeled?",
        ),
        (
            {"datasets": ["imagenet"], "models": ["Carmon2019Unlabeled"]},
            "no RobustBench entry is all of: imagenet, Carmon2019Unlabeled; leave one of the conditions out",
        ),
    ],
)
def test_what_does_not_exist(conditions, message):
    with pytest.raises(UsageError) as error:
        select(**conditions)
    assert str(error.value).startswith(message.removesuffix("?"))


def test_key_that_does_not_exist():
    with pytest.raises(
        UsageError, match="unknown RobustBench entry 'cifar10/Linf/Wong2020'; did you mean cifar10/Linf"
    ):
        find("cifar10/Linf/Wong2020")


def test_paper_pairs():
    assert Counter(pair.robust.dataset for pair in pairs()) == {"cifar10": 49, "cifar100": 17, "imagenet": 5}
    assert {pair.robust.key for pair in pairs()} == {entry.key for entry in catalogue() if entry.in_paper}
    assert len(networks(pairs())) == 71 + 43
    assert all(pair.robust.dataset == pair.normal.dataset for pair in pairs())
    assert all(pair.robust.architecture == pair.normal.architecture for pair in pairs())


def test_paper_uses_the_values_of_2022():
    (pair,) = select_pairs(models=["Sehwag2021Proxy"])
    assert (pair.robust.clean_accuracy, pair.robust.robust_accuracy) == (85.85, 59.09)
    assert find(pair.robust.key).clean_accuracy == 86.68


@pytest.mark.parametrize(
    ("dataset", "table"),
    [
        ("cifar10", [(92.2, 4.2), (86.9, 2.6), (56.7, 5.9)]),
        ("cifar100", [(72.7, 8.5), (62.2, 3.9), (29.0, 3.9)]),
        ("imagenet", [(78.5, 4.9), (60.7, 6.3), (30.8, 5.6)]),
    ],
)
def test_paper_accuracies_are_those_of_its_first_table(dataset, table):
    chosen = select_pairs(datasets=[dataset])
    columns = zip(
        *((p.normal.clean_accuracy, p.robust.clean_accuracy, p.robust.robust_accuracy) for p in chosen), strict=True
    )
    assert [(round(mean(column), 1), round(stdev(column), 1)) for column in columns] == table


def test_authors_twin():
    (pair,) = select_pairs(models=["Sehwag2020Hydra"])
    name = "hso_normal_training_robustbench_Carmon2019Unlabeled_cifar10_13"
    assert pair.normal.facts == Facts(
        model=f"paper/cifar10/{name}",
        source="paper",
        name=name,
        dataset="cifar10",
        robust=False,
        architecture="WideResNet-28-10",
        clean_accuracy=95.1,
        extra_data=False,
        venue="CVPR Workshops 2022",
        year=2022,
        paper="https://arxiv.org/abs/2204.02481",
    )
    assert pair.normal.built_as == find("cifar10/Linf/Carmon2019Unlabeled")


def test_twin_from_timm_keeps_its_id():
    (pair,) = select_pairs(models=["Salman2020Do_R18"])
    facts = pair.normal.facts
    assert (facts.model, facts.architecture, facts.clean_accuracy) == ("timm/resnet18.tv_in1k", "ResNet-18", 69.74)
    assert (facts.source, facts.dataset, facts.robust, facts.license) == ("timm", "imagenet", False, "bsd-3-clause")


def test_rows_of_pairs_name_the_folded_networks():
    chosen = select_pairs(datasets=["imagenet"], models=["Wong2020Fast"])
    assert pair_rows(chosen) == [
        {
            "robust_model": "robustbench/imagenet/Linf/Wong2020Fast@bn_folded",
            "normal_model": "timm/resnet50.a1_in1k@bn_folded",
            "architecture": "ResNet-50",
            "dataset": "imagenet",
        }
    ]
    assert pair_rows(chosen, fold_batchnorm=False)[0]["robust_model"] == "robustbench/imagenet/Linf/Wong2020Fast"


def test_robust_model_that_is_not_the_papers():
    with pytest.raises(UsageError, match="unknown robust model of the paper 'Wang2023Better_WRN-28-10'"):
        select_pairs(models=["Wang2023Better_WRN-28-10"])
