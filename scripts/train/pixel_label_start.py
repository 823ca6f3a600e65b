"""Where training of the network of pixel labels begins: earlier weights, of a narrower network as well."""

import sys
from pathlib import Path

import numpy as np
import torch
from pixel_label_model import Network
from torch import Tensor

from handopt.learning.warm_start import begin_with

NEW = ("early.", "mend")
"""What layers that an earlier network may lack are called."""
OF_THE_WINDOW = ("dense.", "summary.")
"""What layers are called that a network of windows of another size has to learn anew."""


def start_from(network: Network, path: Path, images: Tensor) -> None:
    """Give a network the weights of a file: what --keep wrote (.pt), or a network as handopt reads it (.npz).

    The second may be narrower: what is new is added so that at first the network says what the file's does. Layers that
    see a whole window are learned anew where its windows have another size, as where a second look begins with the
    first one's layers.
    images: (B, S, S, C) inputs, from which normalisations are set, since those of the file are folded.
    """
    places = (images.shape[1] // 32) ** 2
    if path.suffix == ".pt":
        network.load_state_dict(torch.load(path))
        return
    with np.load(path, allow_pickle=False) as file:
        weights = {name: torch.from_numpy(file[name].astype(np.float32)) for name in file.files if name != "metadata"}
    new: tuple[str, ...] = NEW
    if "dense.weight" in weights and len(weights["dense.weight"]) != places * len(weights.get("shrink2.bias", ())):
        weights = {name: each for name, each in weights.items() if not name.startswith(OF_THE_WINDOW)}
        new = (*NEW, *OF_THE_WINDOW)
    for name, mine in network.export().items():
        his = weights.get(name)
        if his is None and not name.startswith(new):
            sys.exit(f"{path} is no network of pixel labels to start from: it has no {name}")
        if his is not None and any(a > b for a, b in zip(his.shape, mine.shape, strict=True)):
            sys.exit(f"{path} is wider than this network: {name} is {tuple(his.shape)}")
    begin_with(network, network.named_layers(), weights, images, {"dense": places})
