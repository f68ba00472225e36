"""Images from directories: three layouts give the same images, and crafted files are refused."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from filterdb.errors import SourceError, UsageError
from filterdb.training import images as image_sets

GENERATOR = np.random.default_rng(0)
PIXELS = GENERATOR.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
LABELS = GENERATOR.permutation(np.arange(24) % 3)


def planes(pixels):
    return pixels.transpose(0, 3, 1, 2).reshape(len(pixels), 3072)


def write_pickle(path, content):
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_cifar10(directory):
    for i in range(5):
        part = slice(4 * i, 4 * i + 4)
        batch = {b"data": planes(PIXELS[part]), b"labels": LABELS[part].tolist(), b"batch_label": b"made"}
        write_pickle(directory / f"data_batch_{i + 1}", batch)
    write_pickle(directory / "test_batch", {"data": planes(PIXELS[20:]), "labels": LABELS[20:].tolist()})


def write_cifar100(directory):
    for name, part in (("train", slice(20)), ("test", slice(20, None))):
        content = {
            "data": np.asfortranarray(planes(PIXELS[part])),
            "coarse_labels": [0] * len(LABELS[part]),
            "fine_labels": LABELS[part].tolist(),
        }
        write_pickle(directory / name, content)


def write_arrays(directory):
    np.savez(directory / "train.npz", images=PIXELS[:20], labels=LABELS[:20])
    np.savez_compressed(directory / "test.npz", images=PIXELS[20:], labels=LABELS[20:].astype(np.uint8))


def write_folders(directory):
    for index, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        folder = directory / ("train" if index < 20 else "val") / f"class-{label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")


@pytest.mark.parametrize("write", [write_cifar10, write_cifar100, write_arrays])
def test_layouts_in_order(tmp_path, write):
    write(tmp_path)
    sets = image_sets.read(tmp_path)
    for part, where in ((sets.train, slice(20)), (sets.test, slice(20, None))):
        assert part.images.dtype == torch.uint8
        assert np.array_equal(part.images.permute(0, 2, 3, 1).numpy(), PIXELS[where])
        assert part.labels.tolist() == LABELS[where].tolist()


def test_class_folders_come_class_by_class(tmp_path):
    write_folders(tmp_path)
    sets = image_sets.read(tmp_path)
    order = sorted(range(20), key=lambda index: (LABELS[index], index))
    assert sets.train.labels.tolist() == LABELS[order].tolist()
    assert np.array_equal(sets.train.images.permute(0, 2, 3, 1).numpy(), PIXELS[order])
    assert len(sets.test) == 4


def test_cifar_may_lie_one_folder_down(tmp_path):
    inside = tmp_path / "cifar-10-batches-py"
    inside.mkdir()
    write_cifar10(inside)
    assert len(image_sets.read(tmp_path).train) == 20


def test_a_batch_as_python_2_wrote_it(tmp_path):
    pixels = bytes(range(256)) * 12
    # {'data': numpy.ndarray uint8 (1, 3072), 'labels': [7]} with every text a Python 2 str, by hand
    text = lambda value: b"U" + bytes([len(value)]) + value  # noqa: E731
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + text(b"b") + b"tR"
        b"(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\n("
        + text(b"u1")
        + b"K\x00K\x01tR(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T\x00\x0c\x00\x00" + pixels + b"tb"
    )
    batch = b"\x80\x02}(" + text(b"data") + array + text(b"labels") + b"](K\x07eu."
    for name in ("train", "test"):
        (tmp_path / name).write_bytes(batch.replace(b"labels", b"fine_labels").replace(b"U\x06f", b"U\x0bf"))
    sets = image_sets.read(tmp_path)
    assert sets.train.labels.tolist() == [7]
    assert sets.train.images.numpy().tobytes() == pixels


class Canary:
    """Would make a directory if unpickled by the ordinary reader."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (type(self.place).mkdir, (self.place,))


def test_pickled_code_is_refused_and_not_run(tmp_path):
    canary = tmp_path / "canary"
    write_pickle(tmp_path / "train", {"data": Canary(canary), "fine_labels": []})
    with pytest.raises(SourceError, match=r"train: refused: the pickle asks for .*, which no CIFAR file needs"):
        image_sets.read(tmp_path)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": planes(PIXELS), "fine_labels": [1]}, r"data is \(24, 3072\), not \(1, 3072\)"),
        ({"data": planes(PIXELS).astype(float), "fine_labels": [1] * 24}, "an array of f8"),
        ({"data": planes(PIXELS)}, "is not a CIFAR file for Python: StopIteration"),
        ([1, 2], "is not a CIFAR file for Python"),
    ],
)
def test_wrong_content_is_named(tmp_path, content, message):
    write_pickle(tmp_path / "train", content)
    with pytest.raises(SourceError, match=message):
        image_sets.read(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"<html>", pickle.dumps({"data": 1})[:-3]])
def test_damaged_pickles_are_named(tmp_path, damage):
    (tmp_path / "train").write_bytes(damage)
    with pytest.raises(SourceError, match="train is not a CIFAR file for Python"):
        image_sets.read(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": PIXELS[:20] / 255, "labels": LABELS[:20]}, "images must be uint8"),
        ({"images": PIXELS[:20], "labels": LABELS}, "labels must be 20 integers"),
        ({"images": PIXELS[:20], "labels": LABELS[:20] - 1}, "from 0 up"),
        ({"pictures": PIXELS}, "must hold the plain arrays images and labels"),
        ({"images": np.array([{}], dtype=object), "labels": LABELS}, "must hold the plain arrays"),
        ({"images": PIXELS[:20, :16], "labels": LABELS[:20]}, "differ in shape"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, arrays, message):
    write_arrays(tmp_path)
    np.savez(tmp_path / "train.npz", **arrays)
    with pytest.raises(SourceError, match=message):
        image_sets.read(tmp_path)


def test_pictures_must_share_one_size_and_be_pictures(tmp_path):
    write_folders(tmp_path)
    odd = tmp_path / "train" / "class-2" / "99.png"
    Image.fromarray(PIXELS[0, :8]).save(odd)
    with pytest.raises(SourceError, match=r"99.png is \(8, 32, 3\), the first picture \(32, 32, 3\)"):
        image_sets.read(tmp_path)
    odd.write_text("<html>")
    with pytest.raises(SourceError, match="is not a picture"):
        image_sets.read(tmp_path)


def test_directories_without_images_say_what_was_expected(tmp_path):
    with pytest.raises(SourceError, match="holds no images to train on; expected CIFAR"):
        image_sets.read(tmp_path)
    with pytest.raises(SourceError, match="is not a directory"):
        image_sets.read(tmp_path / "nowhere")
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    with pytest.raises(SourceError, match="holds no pictures"):
        image_sets.read(tmp_path)


def test_a_split_parts_the_images_by_seed(sets):
    rest, drawn = image_sets.split(sets.train, 0.1, seed=0)
    assert (len(rest), len(drawn)) == (87, 10)
    together = torch.cat([rest.images, drawn.images]).flatten(1)
    assert sorted(together.tolist()) == sorted(sets.train.images.flatten(1).tolist())
    assert not torch.equal(drawn.images, image_sets.split(sets.train, 0.1, seed=1)[1].images)
    with pytest.raises(UsageError, match="leaves one side empty"):
        image_sets.split(sets.train, 0.001, seed=0)
