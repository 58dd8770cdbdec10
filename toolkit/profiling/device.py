"""What NVML says of the GPUs.  Without NVML there is nothing to say, and `reason` says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DeviceLook:
    """share : of the time in which the busiest GPU computed, 0 to 1.  bytes : in use on all GPUs, by whomever."""

    share: float
    bytes: int


class Device:
    """The GPUs of this machine.  Close it when done."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        self.names: list[str] = []
        self.reason = ""
        try:
            import pynvml

            pynvml.nvmlInit()
            self._nvml = pynvml
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]
            names = [pynvml.nvmlDeviceGetName(handle) for handle in self._handles]
            self.names = [n.decode() if isinstance(n, bytes) else n for n in names]
        except Exception as error:  # NVML raises types of its own, made at run time
            self._handles, self.reason = [], f"NVML sees none ({error})"

    def look(self) -> DeviceLook | None:
        """How busy and how full they are now; None when there is no GPU."""
        if not self._handles:
            return None
        shares = [self._nvml.nvmlDeviceGetUtilizationRates(h).gpu / 100 for h in self._handles]
        return DeviceLook(max(shares), sum(self._nvml.nvmlDeviceGetMemoryInfo(h).used for h in self._handles))

    def close(self) -> None:
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._nvml = None
