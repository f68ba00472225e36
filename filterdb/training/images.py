"""Labelled images in memory, and the directories they are read from.

Read are: CIFAR-10 and CIFAR-100 as distributed for Python (`data_batch_1`… or `train`, with their test
file; the directory itself or the one above), `train.npz` with `test.npz` (arrays `images`
(n, height, width, channels) uint8 and `labels` (n,)), and class folders `train/<class>/*.png` with
`test/<class>/…` or `val/<class>/…`. All images of a set share one size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from filterdb.errors import SourceError, UsageError
from filterdb.training import cifar

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}


@dataclass(frozen=True)
class Images:
    """images: (n, channels, height, width), uint8 or float in [0, 1]; labels: int64 (n,), from 0 up."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> "Images":
        return Images(self.images[index], self.labels[index])

    def to(self, device: torch.device | str) -> "Images":
        return Images(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class ImageSets:
    """Images to train on and images held out."""

    train: Images
    test: Images


def as_float(images: Tensor) -> Tensor:
    """uint8 images scaled to [0, 1]; floating ones as they are."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def from_arrays(images: np.ndarray, labels: np.ndarray, origin: object) -> Images:
    """Check images uint8 (n, height, width, channels) and labels (n,); `origin` is named in errors."""
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) == 0:
        raise SourceError(
            f"{origin}: images must be uint8 (n, height, width, channels), n ≥ 1; got {images.dtype} {images.shape}"
        )
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise SourceError(
            f"{origin}: labels must be {len(images)} integers from 0 up; got {labels.dtype} {labels.shape}"
        )
    channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return Images(torch.from_numpy(channels_first), torch.from_numpy(labels.astype(np.int64)))


def split(images: Images, share: float, seed: int) -> tuple[Images, Images]:
    """Draw a share (0 < share < 1) of the images at random: (the others, those drawn)."""
    drawn = round(len(images) * share)
    if not 0 < drawn < len(images):
        raise UsageError(f"a share of {share} of {len(images)} images leaves one side empty")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images[order[drawn:]], images[order[:drawn]]


def read(directory: Path) -> ImageSets:
    """The images in `directory`, in whichever of the layouts above it has."""
    if not directory.is_dir():
        raise SourceError(f"{directory} is not a directory of images")
    for recognise, reader in LAYOUTS:
        if found := recognise(directory):
            return _checked(directory, ImageSets(*(reader(found, part) for part in ("train", "test"))))
    raise SourceError(
        f"{directory} holds no images to train on; expected CIFAR's Python files (data_batch_1…, or train "
        "and test), train.npz and test.npz, or folders train/<class>/ and test/<class>/"
    )


def _checked(directory: Path, sets: ImageSets) -> ImageSets:
    if sets.train.images.shape[1:] != sets.test.images.shape[1:]:
        shapes = " and ".join(str(tuple(part.images.shape[1:])) for part in (sets.train, sets.test))
        raise SourceError(f"{directory}: training and test images differ in shape: {shapes}")
    return sets


def _find_cifar(directory: Path) -> Path | None:
    candidates = [directory, directory / "cifar-10-batches-py", directory / "cifar-100-python"]
    return next((place for place in candidates if cifar.is_cifar(place)), None)


def _read_cifar(directory: Path, part: str) -> Images:
    pixels, labels = cifar.read(directory, part)
    return from_arrays(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels, directory)


def _find_arrays(directory: Path) -> Path | None:
    return directory if (directory / "train.npz").is_file() and (directory / "test.npz").is_file() else None


def _read_arrays(directory: Path, part: str) -> Images:
    path = directory / f"{part}.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return from_arrays(arrays["images"], arrays["labels"], path)
    except (KeyError, ValueError, OSError, EOFError, BadZipFile) as error:
        raise SourceError(f"{path} must hold the plain arrays images and labels: {error}") from error


def _find_folders(directory: Path) -> Path | None:
    return directory if (directory / "train").is_dir() and _test_folder(directory).is_dir() else None


def _test_folder(directory: Path) -> Path:
    return directory / "test" if (directory / "test").is_dir() else directory / "val"


def _read_folders(directory: Path, part: str) -> Images:
    classes = sorted(folder.name for folder in (directory / "train").iterdir() if folder.is_dir())
    root = directory / "train" if part == "train" else _test_folder(directory)
    files = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((root / name).glob("*"))
        if path.suffix.lower() in PICTURES
    ]
    if not files:
        raise SourceError(f"{root} holds no pictures ({', '.join(sorted(PICTURES))}) in its class folders")
    pixels = [_read_picture(path) for path, _ in files]
    for (path, _), picture in zip(files, pixels, strict=True):
        if picture.shape != pixels[0].shape:
            raise SourceError(f"{path} is {picture.shape}, the first picture {pixels[0].shape}; resize them")
    return from_arrays(np.stack(pixels), np.array([label for _, label in files]), root)


def _read_picture(path: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise SourceError(f"{path} is not a picture that can be read: {error}") from error


LAYOUTS: list[tuple[Callable[[Path], Path | None], Callable[[Path, str], Images]]] = [
    (_find_cifar, _read_cifar),
    (_find_arrays, _read_arrays),
    (_find_folders, _read_folders),
]
