"""Declares kernels: one definition in plain NumPy, a Numba body and a CUDA body that are held to it.

    @kernel(halo=Halo(frames=1))
    def heal(frames, threshold: Annotated[float, Knob(0, 255, step=1, unit="levels")] = 24.0):
        '''Removes ...'''                       # the definition: slow and obvious

    @heal.cpu
    def _(frames, out, start, threshold): ...   # fills out with frames start .. start + len(out) / rate

    heal.cuda("heal.cu", plan)                  # plan(arrays, out, start, **knobs) -> [Launch, ...]

A kernel whose planes are soon done has one CPU body for several of them, `@heal.cpu_together`.

Parameters without an annotation are arrays, `(T, H, W)` unless the declaration says otherwise; all others are knobs
and carry `Knob`, `Literal[...]` or `bool`.  Calling the kernel checks everything first, then runs the body of the
arrays' device.  `heal.definition` is the plain function.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import math
import os
import pkgutil
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import annotated_types as at
import numpy as np

from kernels import arrays as A
from kernels import stamps, start  # noqa: F401  (bodies on disk are judged alike; the first call takes half as long)

log = logging.getLogger("kernels")

# Idle OpenMP threads spin by default and take the cores from the decoder and the encoder: on two cores beside other
# work a kernel was seen to burn 8 ms of processor time for 3 ms of work.  The library reads this when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Asleep they wake only after 45 us, and a kernel that enters several regions pays that for each.  So they look for more
# work a little longer: 10,000 times is 0.1 ms here and covers what Python does between two calls.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


@dataclass(frozen=True)
class Knob(at.GroupedMetadata):
    """The range and meaning of a number that a user may turn.

    Range checks, sliders, command-line options, sweeps, documentation and property tests all read this.
    `soft` is the range a slider offers; `scale` is "linear" or "log".  Levels are always those of 8-bit video;
    kernels scale them to the depth at hand.
    """

    low: float
    high: float
    step: float | None = None
    unit: str = ""
    soft: tuple[float, float] | None = None
    scale: str = "linear"

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"a Knob runs from low to high; got {self.low} to {self.high}")
        if self.scale not in ("linear", "log"):
            raise ValueError(f"scale is {self.scale!r}; expected 'linear' or 'log'")

    def __iter__(self) -> Iterator[Any]:
        yield at.Ge(self.low)
        yield at.Le(self.high)
        if self.step:
            yield at.MultipleOf(self.step)


@dataclass(frozen=True)
class Parameter:
    """One knob of a kernel or stage: its name, type, default and range, read from the signature."""

    name: str
    kind: type  # float, int, bool or str
    default: Any
    knob: Knob | None = None
    choices: tuple[str, ...] = ()

    def check(self, owner: str, value: Any) -> Any:
        """`value` in the knob's own type; ValueError / TypeError with name and range when it does not fit."""
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"{owner}: {self.name} is {value!r}; expected one of {', '.join(self.choices)}")
            return value
        if self.kind is str:
            if not isinstance(value, str):
                raise TypeError(f"{owner}: {self.name} is {value!r}; expected text")
            return value
        if self.kind is bool:
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"{owner}: {self.name} is {value!r}; expected True or False")
            return bool(value)
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"{owner}: {self.name} is {value!r}; expected a number, {self._span()}")
        if not math.isfinite(value):
            raise ValueError(f"{owner}: {self.name} is {value!r}; expected a number, {self._span()}")
        if self.kind is int and value != int(value):
            raise ValueError(f"{owner}: {self.name} is {value!r}; expected a whole number, {self._span()}")
        if self.knob and not self.knob.low <= value <= self.knob.high:
            raise ValueError(f"{owner}: {self.name} is {value:g}{self._unit()}; expected {self._span()}")
        return self.kind(value)

    def _unit(self) -> str:
        return f" {self.knob.unit}" if self.knob and self.knob.unit else ""

    def _span(self) -> str:
        return f"{self.knob.low:g} to {self.knob.high:g}{self._unit()}" if self.knob else self.kind.__name__


def parameters(function: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, Parameter]]:
    """Array names and knobs of a declared function, from its signature."""
    hints = typing.get_type_hints(function, include_extras=True)
    names, knobs = [], {}
    for name, p in inspect.signature(function).parameters.items():
        hint = hints.get(name)
        if hint is None:
            names.append(name)
            continue
        if p.default is p.empty:
            raise TypeError(f"{function.__name__}: knob {name!r} needs a default")
        knob, choices, kind = None, (), hint
        if typing.get_origin(hint) is typing.Annotated:
            kind, *rest = typing.get_args(hint)
            knob = next((m for m in rest if isinstance(m, Knob)), None)
        if typing.get_origin(kind) is Literal:
            choices, kind = typing.get_args(kind), str
        if kind not in (int, float, bool, str) or (kind in (int, float) and knob is None):
            raise TypeError(
                f"{function.__name__}: knob {name!r} needs Annotated[int|float, Knob(...)], Literal or bool"
            )
        knobs[name] = Parameter(name, kind, p.default, knob, choices)
        knobs[name].check(function.__name__, p.default)
    return tuple(names), knobs


#: The bit depth of integer frames; 0 reads it from the dtype.
Bits = typing.Annotated[int, Knob(0, 16, step=1, unit="bit")]


@dataclass(frozen=True)
class Halo:
    """How many neighbouring frames (each way) and pixels (each way) a result depends on."""

    frames: int = 0
    pixels: int = 0


@dataclass(frozen=True)
class Launch:
    """One CUDA launch: function name, grid, block, arguments (arrays and NumPy scalars of the C types)."""

    function: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    args: tuple[Any, ...]


@dataclass(frozen=True)
class CudaBody:
    """A `.cu` source and the plan that says which launches fill `out`.

    The source is compiled once per dtype with `-DSAMPLE=<C type>` and `-DSAMPLE_IS_FLOAT=0|1`.
    """

    source: Path
    plan: Callable[..., list[Launch]]
    options: tuple[str, ...] = ()

    SAMPLES = {"uint8": "unsigned char", "uint16": "unsigned short", "float32": "float"}

    def defines(self, dtype: Any) -> tuple[str, ...]:
        name = np.dtype(dtype).name
        return (f"-DSAMPLE={self.SAMPLES[name]}", f"-DSAMPLE_IS_FLOAT={int(name == 'float32')}", *self.options)

    def run(self, launches: list[Launch], dtype: Any) -> None:
        for launch in launches:
            _cuda_module(self, np.dtype(dtype).name).get_function(launch.function)(
                launch.grid, launch.block, launch.args
            )


_modules: dict[tuple[Path, str], Any] = {}


def _cuda_module(body: CudaBody, dtype: str) -> Any:
    key = (body.source, dtype)
    if key not in _modules:
        import cupy

        log.info("compiling %s for %s (first use on this GPU; kept on disk)", body.source.name, dtype)
        options = ("--std=c++17", f"-I{Path(__file__).parent}", *body.defines(dtype))
        # lint: ignore[growing-cache] one entry for each kernel and dtype, no more
        _modules[key] = cupy.RawModule(code=body.source.read_text(), options=options)
    return _modules[key]


Shape = tuple[int, ...]


@dataclass(eq=False)
class Kernel:
    """A declared kernel.  Call it with arrays and knobs; read its facts.

    name, arrays, knobs : from the definition's signature.
    halo      : frames and pixels a result depends on (a `Halo`, or a function of the knobs).
    rate      : output frames per input frame (a number, or a function of the knobs).
    recursive : the kernel carries a state array: call `out, state = k(frames, state=state, ...)`; None starts anew.
    dtypes    : names of accepted dtypes.
    smallest  : least (height, width).
    inputs    : shapes of the arrays for a batch `(T, H, W)`: `inputs(shape, knobs) -> [shape, ...]`.
    outputs   : shape and dtype of the result(s): `outputs(shapes, dtype, knobs) -> [(shape, dtype), ...]`.
    others    : dtype by name of the arrays that are no frames and have one of their own (vectors).
    tolerance : largest difference in levels that a body may show against the definition for integer dtypes.
    """

    definition: Callable[..., Any]
    halo_of: Callable[..., Halo]
    rate_of: Callable[..., int]
    recursive: bool
    dtypes: tuple[str, ...]
    smallest: tuple[int, int]
    inputs: Callable[[Shape, dict[str, Any]], list[Shape]]
    outputs: Callable[[list[Shape], np.dtype, dict[str, Any]], list[tuple[Shape, Any]]]
    tolerance: float
    others: dict[str, str]
    name: str = field(init=False)
    arrays: tuple[str, ...] = field(init=False)
    knobs: dict[str, Parameter] = field(init=False)
    cpu_body: Callable[..., Any] | None = None
    together_body: Callable[..., None] | None = None
    cuda_body: CudaBody | None = None

    def __post_init__(self) -> None:
        self.name = self.definition.__name__
        names, self.knobs = parameters(self.definition)
        self.arrays = tuple(n for n in names if n != "state")
        self.__doc__ = self.definition.__doc__
        self.__name__ = self.name
        self.__module__ = self.definition.__module__
        self.__signature__ = inspect.signature(self.definition)

    # Declaring

    def cpu(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Registers the CPU body `body(*arrays, out, start, *knob values)` (`state` before `out` when recursive).

        `out` is an array, or a tuple of arrays when the kernel has several results.
        """
        self.cpu_body = body
        return body

    def cpu_together(self, body: Callable[..., None]) -> Callable[..., None]:
        """Registers the CPU body `body(planes, outs, start, *knob values)` for several planes of one batch at once."""
        self.together_body = body
        self.cpu_body = lambda frames, out, *more: body((frames,), (out,), *more)
        return body

    def cuda(self, source: str, plan: Callable[..., list[Launch]], options: tuple[str, ...] = ()) -> None:
        """Registers the CUDA body: a `.cu` file beside the module of the definition, and its launch plan.

        `plan(arrays, out, start, **knobs)`; a recursive kernel's plan gets `state=` (already the new state's array,
        holding the old state's values) among the keywords.
        """
        folder = Path(inspect.getfile(self.definition)).parent
        self.cuda_body = CudaBody(folder / source, plan, options)

    # Facts

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """All knobs with `given` ones checked and put in; unknown names are refused."""
        for name in given:
            if name not in self.knobs:
                known = ", ".join(self.knobs) or "none"
                raise TypeError(f"{self.name} has no knob {name!r}; it has: {known}")
        return {n: p.check(self.name, given.get(n, p.default)) for n, p in self.knobs.items()}

    def halo(self, **knobs: Any) -> Halo:
        return self.halo_of(**self.settings(knobs))

    def rate(self, **knobs: Any) -> int:
        return self.rate_of(**self.settings(knobs))

    def __repr__(self) -> str:
        return f"<kernel {self.name}{inspect.signature(self.definition)}>"

    # Running

    def __call__(self, *args: Any, window: tuple[int, int] | None = None, state: Any = None, **given: Any) -> Any:
        """Runs the kernel on the device of its arrays.

        window : compute only input frames `window[0] <= t < window[1]`, using the others as neighbours.  The result
                 equals those frames of the whole result.
        """
        inputs, knobs, where = self._check(args, given, window, state)
        first, out = window[0] if window else 0, self._empty(inputs, knobs, window)
        if where == "cpu":
            extra = (state,) if self.recursive else ()
            new_state = self.cpu_body(*inputs, *extra, out, first, *knobs.values())
        else:
            new_state = self._run_cuda(inputs, out, first, knobs, state)
        return (out, new_state) if self.recursive else out

    def together(self, planes: Sequence[Any], window: tuple[int, int] | None = None, **given: Any) -> tuple[Any, ...]:
        """The results of `kernel(plane, window=window, **given)` for planes of one batch, which may differ in size.

        Where the kernel has a body for it, all planes are one piece of work to the threads.
        """
        if self.together_body is None or not all(isinstance(plane, np.ndarray) for plane in planes):
            return tuple(self(plane, window=window, **given) for plane in planes)
        if not planes:
            return ()
        knobs = self.settings(given)
        for plane in planes:
            A.check_frames(self.name, self.arrays[0], plane, self.dtypes, self.smallest)
        head = planes[0]
        if any(plane.dtype != head.dtype or len(plane) != len(head) for plane in planes):
            found = ", ".join(f"{plane.dtype.name} {plane.shape}" for plane in planes)
            raise ValueError(
                f"{self.name}: planes are {found}; expected one dtype, and as many frames of each; nothing was computed"
            )
        self._check_rest(head, knobs, window)
        outs = tuple(self._empty([plane], knobs, window) for plane in planes)
        inputs = [A.contiguous(plane) for plane in planes]
        self.together_body(inputs, outs, window[0] if window else 0, *knobs.values())
        return outs

    def _empty(self, inputs: list[Any], knobs: dict[str, Any], window: tuple[int, int] | None) -> Any:
        """What the result for `window` is put into: an array, or a tuple of them."""
        count = window[1] - window[0] if window else inputs[0].shape[0]
        rate, outs = self.rate_of(**knobs), []
        for shape, dtype in self.outputs([a.shape for a in inputs], inputs[0].dtype, knobs):
            per_frame = shape[0] // inputs[0].shape[0] if shape else rate
            outs.append(A.empty_like_backend(inputs[0], (count * per_frame, *shape[1:]), dtype))
        return outs[0] if len(outs) == 1 else tuple(outs)

    def _run_cuda(self, inputs: list[Any], out: Any, first: int, knobs: dict[str, Any], state: Any) -> Any:
        extra = {"state": None if state is None else state.copy()} if self.recursive else {}
        launches = self.cuda_body.plan(inputs, out, first, **extra, **knobs)
        if self.recursive:
            launches, state = launches
        self.cuda_body.run(launches, inputs[0].dtype)
        return state

    def _check(self, args: tuple, given: dict, window: Any, state: Any) -> tuple[list[Any], dict[str, Any], str]:
        count = len(self.arrays)
        if len(args) > count:  # knobs may follow the arrays by position, as in the definition
            names = list(self.knobs)[: len(args) - count]
            given = {**dict(zip(names, args[count:], strict=True)), **given}
        named = dict(zip(self.arrays, args, strict=False))
        for name in self.arrays[len(args) :]:
            if name not in given:
                raise TypeError(f"{self.name} needs the array {name!r}; it was not given")
            given = dict(given)
            named[name] = given.pop(name)
        where = A.common_backend(self.name, named)
        if where == "cpu" and self.cpu_body is None or where == "cuda" and self.cuda_body is None:
            raise TypeError(f"{self.name} has no body for {where} arrays; nothing was computed")
        knobs = self.settings(given)
        for key, array in named.items():
            kinds = (self.others[key],) if key in self.others else self.dtypes
            A.check_frames(self.name, key, array, kinds, self.smallest if key == self.arrays[0] else (1, 1))
        head = named[self.arrays[0]]
        if any(a.dtype != head.dtype for k, a in named.items() if k not in self.others):
            types = ", ".join(f"{k} {a.dtype.name}" for k, a in named.items())
            raise TypeError(f"{self.name}: got {types}; expected one dtype for all arrays; nothing was computed")
        wanted = [tuple(s) for s in self.inputs(head.shape, knobs)]
        shapes = [tuple(a.shape) for a in named.values()]
        if shapes != wanted:
            raise ValueError(f"{self.name}: arrays have shapes {shapes}; expected {wanted}; nothing was computed")
        self._check_rest(head, knobs, window)
        if state is not None and not self.recursive:
            raise TypeError(f"{self.name} carries no state; it was given one")
        if self.recursive and window not in (None, (0, head.shape[0])):
            raise ValueError(f"{self.name} is recursive: it has a state instead of a window")
        return [A.contiguous(a) for a in named.values()], knobs, where

    def _check_rest(self, head: Any, knobs: dict[str, Any], window: tuple[int, int] | None) -> None:
        """Puts the depth that was left open into `knobs` and judges the window."""
        if "bits" in knobs:
            knobs["bits"] = A.depth(head, knobs["bits"])
        if window is not None and not 0 <= window[0] < window[1] <= head.shape[0]:
            raise ValueError(f"{self.name}: window is {window}; expected 0 <= first < last <= {head.shape[0]} frames")


_registry: dict[str, Kernel] = {}


def kernel(
    *,
    halo: Halo | Callable[..., Halo] = Halo(),
    rate: int | Callable[..., int] = 1,
    recursive: bool = False,
    dtypes: tuple[str, ...] = ("uint8", "uint16", "float32"),
    smallest: tuple[int, int] = (1, 1),
    inputs: Callable[[Shape, dict[str, Any]], list[Shape]] | None = None,
    outputs: Callable[[list[Shape], np.dtype, dict[str, Any]], list[tuple[Shape, Any]]] | None = None,
    tolerance: float = 0,
    others: dict[str, str] | None = None,
) -> Callable[[Callable[..., Any]], Kernel]:
    """Declares the decorated plain-NumPy function as a kernel; see the module's docstring and `Kernel`."""

    def declare(definition: Callable[..., Any]) -> Kernel:
        rate_of = rate if callable(rate) else (lambda **knobs: rate)
        names, knobs = parameters(definition)
        names = [n for n in names if n != "state"]
        if taken := {"window", "state"} & set(knobs):
            raise TypeError(f"{definition.__name__}: a knob cannot be named {taken.pop()!r}, a keyword of every call")
        made = Kernel(
            definition=definition,
            halo_of=halo if callable(halo) else (lambda **knobs: halo),
            rate_of=rate_of,
            recursive=recursive,
            dtypes=dtypes,
            smallest=smallest,
            inputs=inputs or (lambda shape, knobs: [shape] * len(names)),
            outputs=outputs
            or (lambda shapes, dtype, knobs: [((shapes[0][0] * rate_of(**knobs), *shapes[0][1:]), dtype)]),
            tolerance=tolerance,
            others=others or {},
        )
        if made.name in _registry and _registry[made.name].__module__ != made.__module__:
            raise ValueError(f"there are two kernels named {made.name!r}; names must differ")
        _registry[made.name] = made
        return made

    return declare


def all_kernels() -> dict[str, Kernel]:
    """Every kernel by name; imports all modules of the package."""
    import kernels

    for module in pkgutil.walk_packages(kernels.__path__, "kernels."):
        importlib.import_module(module.name)
    return dict(sorted(_registry.items()))


def _say_compiling() -> None:
    """Logs once per module when Numba really compiles (not when it loads from its disk cache), and what that means."""
    from numba.core import event

    said: set[str] = set()

    class Listener(event.Listener):
        def on_start(self, ev: Any) -> None:
            dispatcher = ev.data["dispatcher"] if ev.data else None
            module = getattr(getattr(dispatcher, "py_func", None), "__module__", "")
            if module.startswith("kernels.") and module not in said:
                if not said:
                    log.info("kernels are compiled at first use on this machine and kept on disk; seconds each")
                said.add(module)
                log.info("compiling %s", module)

        def on_end(self, ev: Any) -> None:
            pass

    event.register("numba:compile", Listener())


_say_compiling()
