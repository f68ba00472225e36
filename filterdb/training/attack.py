"""Projected gradient descent in the l∞ ball (Madry et al. 2018)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from filterdb.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Attack:
    """The settings of one PGD attack; `epsilon` and `step_size` in units of the input range [0, 1]."""

    epsilon: float
    step_size: float
    steps: int
    random_start: bool = True

    def __post_init__(self) -> None:
        if not (0 < self.epsilon <= 1 and self.step_size > 0 and self.steps >= 1):
            raise UsageError(f"an attack needs 0 < epsilon ≤ 1, step_size > 0 and steps ≥ 1; got {self}")

    def __call__(
        self, module: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Adversarial images for `images`; see `pgd`."""
        return pgd(
            module,
            images,
            labels,
            self.epsilon,
            self.step_size,
            self.steps,
            generator=generator,
            random_start=self.random_start,
        )


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put `module` in evaluation mode; afterwards every part has the mode it had before."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def pgd(
    module: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    step_size: float,
    steps: int,
    *,
    generator: torch.Generator | None = None,
    random_start: bool = True,
) -> Tensor:
    """Images within l∞ distance `epsilon` of `images`, and in [0, 1], that raise the cross entropy.

    images: float (n, c, h, w) in [0, 1]; labels: int64 (n,). The module is attacked in evaluation mode
    and given back in the mode it was in; its parameters, their gradients and its buffers are untouched.
    The random start is uniform in the ball, drawn from `generator` (on its device) or torch's own.
    Costs `steps` forward and backward passes.
    """
    lowest, highest = (images - epsilon).clamp(0, 1), (images + epsilon).clamp(0, 1)
    adversarial = images.detach().clone()
    if random_start:
        adversarial = (adversarial + _uniform(images, epsilon, generator)).clamp(lowest, highest)
    with evaluation_mode(module), torch.enable_grad():
        for _ in range(steps):
            adversarial.requires_grad_(True)
            loss = cross_entropy(module(adversarial), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, adversarial)
            adversarial = (adversarial.detach() + step_size * gradient.sign()).clamp(lowest, highest)
    return adversarial


def _uniform(images: Tensor, epsilon: float, generator: torch.Generator | None) -> Tensor:
    """Noise in [−epsilon, epsilon) of the shape of `images`."""
    device = images.device if generator is None else generator.device
    noise = torch.rand(images.shape, generator=generator, device=device, dtype=images.dtype)
    return (noise.to(images.device) * 2 - 1) * epsilon
