"""Rules on video files: extracting to look at a few frames, seeking and opening again for each frame, leaving open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import libcst as cst

from toolkit.profiling.lint.literals import argument, text
from toolkit.profiling.lint.media import (
    OPENERS,
    READERS,
    FFmpegRun,
    assigned_in,
    ends_with,
    ffmpeg_runs,
    frame_loops,
    guarded,
    names_in,
    same_function,
    same_path,
)
from toolkit.profiling.lint.rule import rule
from toolkit.profiling.lint.source import LOOPS, Source

_SOUND_READERS = ("soundfile.read", "soundfile.blocks", "soundfile.SoundFile", "librosa.load", "librosa.stream",
                  "wave.open", "scipy.io.wavfile.read", "torchaudio.load")  # fmt: skip
_IMAGE_WRITERS = (
    "cv2.imwrite",
    "imageio.imwrite",
    "imageio.v3.imwrite",
    "skimage.io.imsave",
    "matplotlib.pyplot.imsave",
)
_IMAGE = r"\.(png|jpe?g|bmp|tiff?|ppm)"
_FEW = {"-ss", "-t", "-to", "-frames:v", "-vframes"}


@rule(
    "clip-for-few-frames",
    "io",
    summary="A piece of a clip extracted to a file so that a few frames can be read",
    why="The piece is encoded, written, opened and decoded again; seeking in the clip itself writes nothing.",
    bad="""
        import subprocess
        import cv2

        def first(path, piece):
            subprocess.run(["ffmpeg", "-ss", "10", "-t", "1", "-i", path, piece], check=True, timeout=60)
            capture = cv2.VideoCapture(piece)
            try:
                return capture.read()[1]
            finally:
                capture.release()
        """,
    good="""
        import av

        def first(path):
            with av.open(path) as container:
                container.seek(10_000_000)
                return next(container.decode(video=0))
        """,
)
def clip_for_few_frames(source: Source) -> Iterator[tuple[Any, str]]:
    for run in ffmpeg_runs(source):
        if _FEW & run.words and not ends_with(source, run.output, r"\.(wav|flac|png|jpe?g)"):
            if _read_again(source, run, READERS):
                yield run.call, "frames are encoded to a file and decoded again; seek in the clip itself"


@rule(
    "temporary-wav",
    "io",
    summary="Sound written to a WAV file to be read back",
    why="Three hours of stereo at 48 kHz are 2 GB on the disk, twice read and once written; a pipe holds none of it.",
    bad="""
        import subprocess
        import soundfile

        def sound(path, folder):
            wav = folder / "sound.wav"
            subprocess.run(["ffmpeg", "-i", path, "-vn", wav], check=True, timeout=600)
            return soundfile.read(wav)
        """,
    good="""
        import av

        def sound(path):
            with av.open(path) as container:
                for frame in container.decode(audio=0):
                    yield frame.to_ndarray()
        """,
)
def temporary_wav(source: Source) -> Iterator[tuple[Any, str]]:
    runs = list(ffmpeg_runs(source))
    for run in runs:
        if not ends_with(source, run.output, r"\.wav"):
            continue
        others = [r for r in runs if r is not run and same_function(source, r.call, run.call)]
        again = any(same_path(source, given, run.output) for r in others for given in r.inputs)
        if again or _read_again(source, run, _SOUND_READERS):
            yield run.call, "the sound goes through a file that only this function reads; decode it as a stream"


@rule(
    "frames-as-images",
    "io",
    summary="Every frame of a clip written as an image",
    why="One hour of PAL is 90 000 files, each written, read and removed again; frames can travel through memory.",
    bad="""
        import subprocess

        def split(path):
            subprocess.run(["ffmpeg", "-i", path, "frames/%06d.png"], check=True, timeout=3600)
        """,
    good="""
        import av

        def split(path):
            with av.open(path) as container:
                for frame in container.decode(video=0):
                    yield frame.to_ndarray()
        """,
)
def frames_as_images(source: Source) -> Iterator[tuple[Any, str]]:
    for run in ffmpeg_runs(source):
        if not _FEW & run.words and "-r" not in run.words and not any("fps" in w or "select" in w for w in run.words):
            if ends_with(source, run.output, r"%\d*d" + _IMAGE):
                yield run.call, "every frame becomes a file"
    for loop, _ in frame_loops(source):
        for call in source.below(loop.body, cst.Call):
            is_writer = source.stands_for(call.func, *_IMAGE_WRITERS)
            is_save = isinstance(call.func, cst.Attribute) and call.func.attr.value == "save"
            path = call.args[0].value if call.args else None
            if (is_writer or is_save) and isinstance(path, cst.FormattedString):
                if re.search(_IMAGE + "$", text(path) or "") and not _rare(source, call, loop):
                    yield call, "every frame becomes a file"


@rule(
    "seek-per-frame",
    "io",
    summary="A seek before each of many frames in a row",
    why="Each seek goes back to the last key frame and decodes from there: up to 250 frames for each that is read.",
    bad="""
        import cv2

        def look(path, count, show):
            capture = cv2.VideoCapture(path)
            for index in range(count):
                capture.set(cv2.CAP_PROP_POS_FRAMES, index)
                show(capture.read())
            capture.release()
        """,
    good="""
        import cv2

        def look(path, count, show):
            capture = cv2.VideoCapture(path)
            for index in range(count):
                show(capture.read())
            capture.release()
        """,
)
def seek_per_frame(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.all(cst.Call):
        if not (isinstance(call.func, cst.Attribute) and call.func.attr.value == "set" and len(call.args) == 2):
            continue
        if source.qualified(call.args[0].value) != "cv2.CAP_PROP_POS_FRAMES":
            continue
        loop = source.loop(call)
        if not isinstance(loop, cst.For) or not isinstance(loop.iter, cst.Call) or guarded(source, call, loop):
            continue
        in_a_row = source.stands_for(loop.iter.func, "builtins.range") and len(loop.iter.args) <= 2
        at = call.args[1].value
        if in_a_row and isinstance(at, cst.Name) and at.value in names_in(loop.target):
            yield call, "the frames come in a row anyway; seek once before the loop"


@rule(
    "reopened-in-loop",
    "io",
    summary="The same video opened again in every round of a loop",
    why="Each round reads the headers again and starts a new decoder, with its threads, at a key frame.",
    bad="""
        import decord

        def look(path, wanted):
            for index in wanted:
                reader = decord.VideoReader(path)
                yield reader[index]
        """,
    good="""
        import decord

        def look(path, wanted):
            reader = decord.VideoReader(path)
            for index in wanted:
                yield reader[index]
        """,
)
def reopened_in_loop(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(*READERS):
        loop = source.loop(call)
        if loop is None or not call.args or guarded(source, call, loop):
            continue
        given = [a.value for a in call.args]
        fixed = all(not list(source.below(g, cst.Call)) for g in given) and not isinstance(given[0], cst.Attribute)
        if fixed and not (names_in(call) & assigned_in(source, loop)) and not _leaves_loop(source, loop):
            yield call, "every round opens the same file; open it before the loop"


@rule(
    "video-never-closed",
    "io",
    summary="A video that is opened and never closed",
    why="The decoder, its threads and its frames stay; a writer that is not closed leaves a file without its index.",
    bad="""
        import cv2

        def first(path):
            capture = cv2.VideoCapture(path)
            ok, frame = capture.read()
            return frame
        """,
    good="""
        import av

        def first(path):
            with av.open(path) as container:
                return next(container.decode(video=0))
        """,
)
def video_never_closed(source: Source) -> Iterator[tuple[Any, str]]:
    for call in source.calls(*OPENERS):
        close = OPENERS[source.qualified(call.func) or ""]
        name = source.name_of(call)
        if name is None or not isinstance(source.function(call), cst.FunctionDef):
            continue
        held = source.held(name, source.function(call))
        if not (held.entered or held.escapes or held.calls(close, "__exit__") or close in held.reads):
            yield call, f"nothing calls {name}.{close}()"


def _read_again(source: Source, run: FFmpegRun, readers: tuple[str, ...]) -> bool:
    for reader in source.calls(*readers):
        path = reader.args[0].value if reader.args else argument(reader, "file")
        if path is not None and same_function(source, reader, run.call) and same_path(source, path, run.output):
            return True
    return False


def _rare(source: Source, node: cst.CSTNode, loop: Any) -> bool:
    """Whether only some frames get here: by a condition, or because the loop soon ends."""
    if guarded(source, node, loop):
        return True
    breaks = [b for b in source.below(loop.body, cst.Break, cst.Return) if same_function(source, b, loop)]
    return len(breaks) > isinstance(loop, cst.While)


def _leaves_loop(source: Source, loop: Any) -> bool:
    """Whether the loop is a retry: it is left as soon as something worked."""
    found = source.below(loop.body, cst.Break, cst.Return, cst.Try)
    return any(next(source.above(n, *LOOPS), None) is loop or isinstance(n, cst.Try) for n in found)
