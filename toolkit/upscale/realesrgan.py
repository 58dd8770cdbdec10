"""The reference: `RealESRGANer` of the package realesrgan, with our weights in its own nets.

Used by tests and benchmarks, which hold our engine to it.  One frame at a time, as its script works.  Its tiler goes on
after an out-of-memory error with the previous tile's pixels, so `tile` stays 0 here; and `pre_pad` is 0 because the
ten samples it mirrors to the right and below by default change the picture near those borders, and only there.
"""

from __future__ import annotations

import numpy as np

from toolkit.errors import RequestError
from toolkit.upscale import compat
from toolkit.upscale.load import Model, load_model
from toolkit.upscale.nets import RRDBNet, SRVGGNetCompact


class RealESRGANReference:
    """Enlarges one RGB picture with the realesrgan package: in float32 on the CPU, in fp16 on a GPU.

    `picture` is uint8 `(H, W, 3)` R, G, B; the result has the model's own scale.  Raises `RequestError` when the
    package cannot be imported or the model is not one of its two architectures.
    """

    def __init__(self, model: str | Model, device: str = "cpu") -> None:
        self.model = model if isinstance(model, Model) else load_model(model)
        package = compat.import_realesrgan()
        net = self.model.net
        if isinstance(net, SRVGGNetCompact):
            theirs = package.archs.srvgg_arch.SRVGGNetCompact(
                num_feat=net.features, num_conv=net.convs, upscale=net.scale, act_type="prelu"
            )
        elif isinstance(net, RRDBNet):
            from basicsr.archs.rrdbnet_arch import RRDBNet as Theirs

            theirs = Theirs(3, 3, net.scale, net.features, net.blocks, net.growth)
        else:
            raise RequestError(f"the realesrgan package has no {self.model.facts.architecture}")
        parameters = {"params": {k: v.float().cpu() for k, v in net.state_dict().items()}}
        self.runner = _runner(package, theirs, parameters, net.scale, device)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        bgr, _ = self.runner.enhance(np.ascontiguousarray(picture[..., ::-1]))
        return bgr[..., ::-1]


def _runner(package, net, parameters, scale, device):
    """A RealESRGANer around `net`.  It insists on reading a file, so `torch.load` hands it ours meanwhile."""
    import torch

    load, torch.load = torch.load, lambda *args, **kwargs: parameters
    try:
        half = device == "cuda"
        return package.RealESRGANer(scale=scale, model_path="in memory", model=net, pre_pad=0, half=half, device=device)
    finally:
        torch.load = load
