"""Image classification: images of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from example_figures import figures

from examples import image_classification


def learnt(images: Path, out: Path) -> Any:
    """What a run on these images finds."""
    arguments = ["--images", images, *OWN, "--out", out]
    assert image_classification.main([str(argument) for argument in arguments]) == 0
    return figures(out)


def stripes(N: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images (N, 4, 5) with a bright row (class "across") or column ("down")."""
    images, labels = rng.random((N, 4, 5)) / 2, np.array(["across", "down"])[np.arange(N) % 2]
    for k in range(N):
        where = (rng.integers(4), slice(None)) if k % 2 == 0 else (slice(None), rng.integers(5))
        images[k][where] += 0.5
    return images, labels


OWN = ["--views", "rows", "--cells", "gru", "--epochs", 25, "--hidden", 16, "--lr", 0.02]


def test_own_images_in_an_npz_file_are_learnt(tmp_path: Path) -> None:
    images, labels = stripes(200, np.random.default_rng(0))
    np.savez(tmp_path / "images.npz", images=(images * 255).astype(np.uint8), labels=labels)
    assert learnt(tmp_path / "images.npz", tmp_path / "out")["gru rows"] > 0.9


def test_own_pictures_in_folders_are_learnt(tmp_path: Path) -> None:
    from matplotlib.image import imsave

    images, labels = stripes(100, np.random.default_rng(0))
    for k, (image, label) in enumerate(zip(images, labels)):
        (tmp_path / "pictures" / label).mkdir(parents=True, exist_ok=True)
        imsave(tmp_path / "pictures" / label / f"{k}.png", image, cmap="gray")
    assert learnt(tmp_path / "pictures", tmp_path / "out")["gru rows"] > 0.85
