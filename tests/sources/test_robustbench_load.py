"""Weights of the zoo, in the shapes that its checkpoints have, from folders and from a server on loopback."""

from io import BytesIO

import numpy as np
import pytest
import torch
from torch import nn

from filterdb.errors import SourceError
from filterdb.sources import download
from filterdb.sources.planning import Untrained, initialize, plan
from filterdb.sources.robustbench import build, catalogue, find, load, select_pairs
from filterdb.sources.robustbench.weights import _parts, remotes
from filterdb.sources.weightless import untrained, weightless
from tests.loopback import File, loopback

SMALL = "cifar10/corruptions/Hendrycks2020AugMix_WRN"
LINF = "cifar10/Linf/Ding2020MMA"


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    """No waiting, no cache of the user's, no server but those of the tests."""
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("FILTERDB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FILTERDB_MIRROR", "http://nowhere.invalid")


def trained(key: str, seed: int = 0) -> nn.Module:
    with untrained():
        torch.manual_seed(seed)
        return find(key).build()


def constant(module: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """A state dict of the module's shapes, each tensor full of one number."""
    numbers = torch.rand(len(module.state_dict()), generator=torch.Generator().manual_seed(seed))
    tensors = zip(module.state_dict().items(), numbers.tolist(), strict=True)
    return {name: torch.full(tensor.shape, number) for (name, tensor), number in tensors}


def save(state: object, path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)


def assert_filters(network, state: dict[str, torch.Tensor], prefix: str = "") -> None:
    for layer in network.layers:
        if layer.name.startswith(prefix):
            expected = state[layer.name.removeprefix(prefix)].reshape(-1, 9).numpy()
            np.testing.assert_array_equal(layer.read(), expected)


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda state: state, id="plain"),
        pytest.param(lambda state: {"state_dict": state, "epoch": 3}, id="state_dict"),
        pytest.param(lambda state: {"net": {f"module.{k}": v for k, v in state.items()}}, id="DataParallel"),
        pytest.param(lambda state: {k: v for k, v in state.items() if k not in ("mu", "sigma")}, id="without mean"),
    ],
)
def test_checkpoint_of_the_zoo(tmp_path, wrap):
    state = trained(SMALL).state_dict()
    save(wrap(state), tmp_path / "cifar10/corruptions/Hendrycks2020AugMix_WRN.pt")
    network = load(find(SMALL), checkpoints=tmp_path)
    assert network.facts == find(SMALL).facts
    assert (len(network.layers), network.n_filters) == (37, 247_344)
    assert [layer.conv_depth for layer in network.layers] == [layer.conv_depth for layer in plan(find(SMALL)).layers]
    assert_filters(network, state)


def test_batchnorm_is_folded(tmp_path):
    module = trained(SMALL)
    for name, buffer in module.named_buffers():
        if name.endswith("running_var"):
            buffer.fill_(4.0)
    save(module.state_dict(), tmp_path / "cifar10/corruptions/Hendrycks2020AugMix_WRN.pt")
    network = load(find(SMALL), checkpoints=tmp_path, fold_batchnorm=True)
    assert network.facts.model == f"robustbench/{SMALL}@bn_folded"
    layers = {layer.name: layer for layer in network.layers}
    weight = module.state_dict()["block1.layer.0.conv1.weight"].reshape(-1, 9).numpy()
    np.testing.assert_allclose(layers["block1.layer.0.conv1.weight"].read(), weight / 2, rtol=1e-5)


class Ensemble(nn.Module):
    """Three branches, as Chen2020Adversarial has them, but small."""

    def __init__(self):
        super().__init__()
        self.models = nn.ModuleList(nn.Conv2d(3, 4, 3) for _ in range(3))

    def forward(self, x):
        return sum(model(x) for model in self.models)


def test_every_branch_of_an_ensemble_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "construct", lambda entry: Ensemble())
    states = [constant(branch, seed) for seed, branch in enumerate(Ensemble().models)]
    for number, state in enumerate(states):
        save({"state_dict": state}, tmp_path / f"cifar10/Linf/Chen2020Adversarial.pt_m{number}.pt")
    network = load(find("cifar10/Linf/Chen2020Adversarial"), checkpoints=tmp_path)
    assert len(network.layers) == 3
    for number, state in enumerate(states):
        assert_filters(network, state, f"models.{number}.")


@pytest.mark.parametrize("key", [entry.key for entry in catalogue() if len(entry.google_drive) > 1])
def test_each_checkpoint_has_its_part_and_no_convolution_is_left(key):
    entry = find(key)
    with weightless():
        network = entry.build()
    parts = _parts(entry, network)
    assert len(parts) == len(entry.google_drive)
    of_parts = [id(module) for part in parts for module in part.modules() if isinstance(module, nn.Conv2d)]
    assert sorted(of_parts) == sorted(id(module) for module in network.modules() if isinstance(module, nn.Conv2d))


def test_ensemble_lacks_a_branch(tmp_path):
    with pytest.raises(SourceError, match=r"as cifar10/Linf/Chen2020Adversarial\.pt_m0\.pt$"):
        load(find("cifar10/Linf/Chen2020Adversarial"), checkpoints=tmp_path)


def test_zoo_takes_the_last_epoch_of_some(tmp_path):
    entry = find("cifar10/Linf/Andriushchenko2020Understanding")
    with weightless():
        module = entry.build()
    best, last = constant(module, 1), constant(module, 2)
    save({"best": best, "last": last}, tmp_path / "Andriushchenko2020Understanding.pt")
    assert_filters(load(entry, checkpoints=tmp_path), last)


def test_weights_are_normalised_inside_the_zoo_but_not_in_the_file(tmp_path):
    entry = find("imagenet/Linf/Salman2020Do_R18")
    with weightless():
        state = constant(entry.build().model, 3)
    save({"model": {f"module.model.{name}": value for name, value in state.items()}}, tmp_path / "Salman2020Do_R18.pt")
    assert_filters(load(entry, checkpoints=tmp_path), state, "model.")


def test_file_beside_the_folders_must_have_a_unique_name(tmp_path):
    """Ding2020MMA is on two leaderboards: a file called so might be either."""
    state = trained(LINF).state_dict()
    save(state, tmp_path / "Ding2020MMA.pt")
    with pytest.raises(SourceError, match=r"or put the file into .* as cifar10/Linf/Ding2020MMA\.pt"):
        load(find(LINF), checkpoints=tmp_path)
    save(state, tmp_path / "cifar10/Linf/Ding2020MMA.pth")
    assert_filters(load(find(LINF), checkpoints=tmp_path), state)


def test_weights_of_another_network(tmp_path):
    save(trained(LINF).state_dict(), tmp_path / f"{SMALL}.pt")
    with pytest.raises(SourceError, match="these are not the weights of Hendrycks2020AugMixWRNNet"):
        load(find(SMALL), checkpoints=tmp_path)


def test_download_from_google_drive(tmp_path, monkeypatch):
    buffer = BytesIO()
    state = trained(SMALL).state_dict()
    torch.save(state, buffer)
    address = "/drive.usercontent.google.com/download?id=1wy7gSRsUZzCzj8QhmTbcnwmES_2kkNph&export=download&confirm=t"
    with loopback({address: File(buffer.getvalue(), drops=2, drop_after=3_000_000)}) as server:
        monkeypatch.setenv("FILTERDB_MIRROR", server.url)
        received: list[int] = []
        network = load(find(SMALL), cache=tmp_path, progress=received.append)
    assert_filters(network, state)
    assert sum(received) == len(buffer.getvalue())
    folder = tmp_path / "robustbench/cifar10/corruptions"
    assert (folder / "Hendrycks2020AugMix_WRN.pt.sha256").exists()
    assert_filters(load(find(SMALL), cache=tmp_path), state)


def test_google_drive_over_its_quota(tmp_path, monkeypatch):
    page = File(b"<html><head><title>Google Drive - Quota exceeded</title></head></html>", content_type="text/html")
    with loopback({"/drive.usercontent.google.com/download": page}) as server:
        monkeypatch.setenv("FILTERDB_MIRROR", server.url)
        with pytest.raises(SourceError, match=r"\(Google Drive - Quota exceeded\).*as cifar10/Linf/Ding2020MMA\.pt"):
            load(find(LINF), cache=tmp_path)


@pytest.mark.parametrize(
    ("key", "urls"),
    [
        (
            "cifar10/Linf/Debenedetti2022Light_XCiT-S12",
            [
                "https://github.com/RobustBench/robustbench/releases/download/v1.1/debenedetti2022light-xcit-s-cifar10-linf.pth.tar"
            ],
        ),
        ("imagenet/Linf/Standard_R50", ["https://download.pytorch.org/models/resnet50-0676ba61.pth"]),
        ("imagenet/corruptions/AlexNet", ["https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"]),
        (
            "cifar10/Linf/Bai2024MixedNUTS",
            [
                f"https://drive.usercontent.google.com/download?id={file_id}&export=download&confirm=t"
                for file_id in ("1-5EwY_5tQZudo9idwXiUGr3P4OUUGaQN", "1-6M8KHZdPmgqYkBSkdZQ2fLwp86ZQ9VU")
            ],
        ),
    ],
)
def test_where_weights_come_from(key, urls):
    assert [remote.url for remote in remotes(find(key))] == urls


def test_nothing_is_downloaded_for_nothing(tmp_path):
    with pytest.raises(
        SourceError, match=r"Mo2022When_ViT-B: nothing to ingest, its convolutions are 16x16, none 3x3$"
    ):
        load(find("imagenet/Linf/Mo2022When_ViT-B"), cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_twin_of_the_authors(tmp_path):
    (pair,) = select_pairs(models=["cifar10/Linf/Ding2020MMA"])
    state = trained(LINF, seed=5).state_dict()
    save(
        {"state_dict": {f"model.{name}": value for name, value in state.items()}}, tmp_path / f"{pair.normal.name}.ckpt"
    )
    network = load(pair.normal, checkpoints=tmp_path, fold_batchnorm=True)
    assert network.facts == pair.normal.facts.in_form(fold_batchnorm=True)
    assert network.n_filters == 644_144


def test_twin_of_the_authors_is_hosted_nowhere(tmp_path):
    (pair,) = select_pairs(models=["Sehwag2020Hydra"])
    with pytest.raises(SourceError) as error:
        load(pair.normal, checkpoints=tmp_path)
    name = "hso_normal_training_robustbench_Carmon2019Unlabeled_cifar10_13"
    assert str(error.value) == (
        f"paper/cifar10/{name}: the authors' own network, hosted nowhere by itself; put {name}.pt into the folder of"
        " --checkpoints, or train it: filterdb train counterpart --architecture"
        " robustbench:cifar10/Linf/Carmon2019Unlabeled"
    )


def test_network_before_training():
    network = initialize(Untrained(find(SMALL)))
    again, other = initialize(Untrained(find(SMALL))), initialize(Untrained(find(SMALL), seed=7))
    assert network.facts.model == f"robustbench/{SMALL}@random"
    assert other.facts.model == f"robustbench/{SMALL}@random7"
    assert (network.facts.dataset, network.facts.robust, network.facts.clean_accuracy) == ("cifar10", None, None)
    assert np.array_equal(network.layers[3].read(), again.layers[3].read())
    assert not np.array_equal(network.layers[3].read(), other.layers[3].read())
