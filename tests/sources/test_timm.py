"""timm's networks: chosen by name or pattern, planned without weights, loaded from the hub, or untrained."""

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_safetensors

from filterdb.errors import SourceError, UsageError
from filterdb.network import Facts
from filterdb.sources import timm
from filterdb.sources.planning import Untrained, initialize, plan
from filterdb.sources.timm import Model, load, select
from filterdb.sources.weightless import untrained
from tests.loopback import File, Refusal, loopback

SMALL = Model("mobilenetv3_small_050.lamb_in1k")


def names(models) -> list[str]:
    return [model.name for model in models]


def test_names_and_patterns():
    assert names(select(["resnet18"])) == ["resnet18.a1_in1k"]
    assert names(select(["resnet18.tv_in1k", "resnet18"])) == ["resnet18.a1_in1k", "resnet18.tv_in1k"]
    assert names(select(["resnet18.*gluon*"])) == ["resnet18.gluon_in1k"]
    assert names(select(["resnet18?"])) == ["resnet18d.ra2_in1k"]
    assert names(select(["resnet10t", "resnet18"], pretrained=False)) == ["resnet10t", "resnet18"]


@pytest.mark.parametrize(
    ("pattern", "pretrained", "message"),
    [
        ("resnet81", True, r"timm [\d.]+ has no weights 'resnet81'; did you mean .*resnet18"),
        ("resnet18.a9_in1k", True, r"has no weights 'resnet18\.a9_in1k'; did you mean resnet18\.a"),
        ("resnet10", True, r"has no weights 'resnet10'; did you mean "),
        ("rezzzz*", False, r"has no architecture 'rezzzz\*'$"),
    ],
)
def test_names_that_do_not_exist(pattern, pretrained, message):
    with pytest.raises(UsageError, match=message):
        select([pattern], pretrained=pretrained)


def test_facts():
    assert Model("resnet50.a1_in1k").facts == Facts(
        model="timm/resnet50.a1_in1k",
        source="timm",
        name="resnet50.a1_in1k",
        dataset="imagenet",
        robust=False,
        architecture="resnet50",
        paper="https://arxiv.org/abs/2110.00476",
    )
    assert Model("resnet18.tv_in1k").facts.license == "bsd-3-clause"


@pytest.mark.parametrize(
    ("name", "dataset", "robust", "extra_data"),
    [
        ("convnext_base.fb_in22k_ft_in1k", "imagenet", False, True),
        ("convnext_base.fb_in22k", "imagenet22k", False, None),
        ("resnet18.fb_swsl_ig1b_ft_in1k", "imagenet", False, True),
        ("resnet50_clip.openai", None, False, True),
        ("inception_v3.tf_adv_in1k", "imagenet", None, None),
        ("tf_efficientnet_b0.ap_in1k", "imagenet", None, None),
    ],
)
def test_facts_from_the_tag(name, dataset, robust, extra_data):
    facts = Model(name).facts
    assert (facts.dataset, facts.robust, facts.extra_data) == (dataset, robust, extra_data)


@pytest.mark.parametrize(
    ("name", "n_layers", "n_filters"),
    [
        ("resnet18", 16, 1_220_608),
        ("resnetv2_50x1_bit", 16, 1_257_472),
        ("mobilenetv3_small_050", 4, None),
        ("vgg11", 8, 1_024_192),
        ("densenet121", 58, None),
        ("nf_resnet50", 16, 1_257_472),
    ],
)
def test_plan(name, n_layers, n_filters):
    network = plan(Model(name))
    assert len(network.layers) == n_layers
    assert n_filters is None or network.n_filters == n_filters


def test_transformer_has_nothing_to_ingest():
    with pytest.raises(SourceError) as error:
        load(Model("vit_tiny_patch16_224.augreg_in21k_ft_in1k"))
    assert str(error.value) == (
        "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k: nothing to ingest, its convolutions are 16x16, none 3x3"
    )


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    with untrained():
        torch.manual_seed(3)
        return SMALL.build().state_dict()


@pytest.fixture
def hub(monkeypatch, weights):
    """The Hugging Face repository of one small network, as timm publishes it."""
    path = f"/timm/{SMALL.name}/resolve/main"
    headers = {"X-Repo-Commit": "0" * 40, "ETag": '"1"'}
    with loopback({f"{path}/model.safetensors": File(to_safetensors(weights), headers=headers)}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_weights_from_the_hub(hub, weights, tmp_path):
    network = load(SMALL, cache=tmp_path)
    assert network.facts == SMALL.facts
    assert [layer.n_filters for layer in network.layers] == [layer.n_filters for layer in plan(SMALL).layers]
    for layer in network.layers:
        np.testing.assert_array_equal(layer.read(), weights[layer.name].reshape(-1, 9).numpy())


def test_weights_that_do_not_fit(hub, tmp_path):
    (path,) = hub.files
    hub.files[path].content = to_safetensors({"conv_stem.weight": torch.zeros(16, 3, 5, 5)})
    with pytest.raises(SourceError, match=r"timm/mobilenetv3_small_050\.lamb_in1k: the weights do not fit: Error"):
        load(SMALL, cache=tmp_path)


def test_repository_without_weights(hub, tmp_path):
    missing = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": "0" * 40}
    hub.files.update(dict.fromkeys(list(hub.files), Refusal(404, 9, missing)))
    hub.files[f"/timm/{SMALL.name}/resolve/main/pytorch_model.bin"] = Refusal(404, 9, missing)
    with pytest.raises(SourceError, match=r"has none of: model\.safetensors, pytorch_model\.bin$"):
        load(SMALL, cache=tmp_path)


def test_weights_from_an_address(tmp_path, monkeypatch):
    model = Model("legacy_seresnet18.in1k")
    with untrained():
        state = model.build().state_dict()
    torch.save(state, tmp_path / "file")
    address = "/github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/seresnet18-4bb0ce65.pth"
    with loopback({address: File((tmp_path / "file").read_bytes())}) as server:
        monkeypatch.setenv("FILTERDB_MIRROR", server.url)
        network = load(model, cache=tmp_path)
    assert (tmp_path / "timm/seresnet18-4bb0ce65.pth").exists()
    np.testing.assert_array_equal(network.layers[0].read(), state[network.layers[0].name].reshape(-1, 9).numpy())


def test_architecture_without_weights():
    with pytest.raises(SourceError, match=r"^timm/resnet18_nobody: timm names no weights for it; only --untrained"):
        timm._weights_file(Model("resnet18_nobody"), None, lambda size: None)


def test_untrained_networks_follow_their_seed():
    state = torch.random.get_rng_state()
    first, again, other = (initialize(Untrained(Model("resnet10t"), seed)) for seed in (0, 0, 1))
    assert (first.facts.model, other.facts.model) == ("timm/resnet10t@random", "timm/resnet10t@random1")
    assert (first.facts.dataset, first.facts.robust, first.facts.license) == ("imagenet", None, None)
    np.testing.assert_array_equal(first.layers[0].read(), again.layers[0].read())
    assert not np.array_equal(first.layers[0].read(), other.layers[0].read())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.slow
def test_hundred_diverse_architectures():
    """Every ninth of timm's architectures: none fails, most have 3×3 convolutions."""
    known = timm.library().list_models()
    chosen = known[:: len(known) // 110]
    empty = [name for name in chosen if not plan(Model(name)).layers]
    assert len(chosen) >= 100
    assert len(empty) < len(chosen) / 2
