"""Tapes as capture devices write them through the whole of `restore`, judged on the written file from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import av
import numpy as np
import pytest

import toolkit
from tests import _media as m
from toolkit.clip import Batch, PictureFormat
from toolkit.compare import compare
from toolkit.errors import OutputFailed, OutputRefused, PictureError, RequestError
from toolkit.pipeline import Pipeline
from toolkit.stages import deinterlace, denoise, stage, upscale

QUICK = {"preset": "ultrafast"}
STEPS = Pipeline([deinterlace.bwdif(), denoise.hqdn3d(), upscale.lanczos(scale=2)])
TAPES = ("dv_ntsc.avi", "huffyuv.avi", "mpeg2_ac3.mpg", "vfr.mp4")


def source_times(recipe, path) -> list[Fraction]:
    """When each output frame must be shown: every frame's time, and for interlaced tapes the middle of each as well."""
    times = m.told_times(path)
    zero = min(times[0], Fraction(0)) if path.suffix != ".mpg" else times[0]
    if recipe.order == "progressive":
        return [t - zero for t in times]
    half = 1 / recipe.rate / 2
    return [t - zero + d for t in times for d in (0, half)]


@pytest.mark.parametrize("name", TAPES)
@pytest.mark.parametrize("audio", ["keep", "moderate"])
def test_frames_times_sound_aspect_and_colour_are_kept(name, audio, tmp_path):
    recipe, tape = m.RECIPES[name], m.made(name)
    before = tape.read_bytes()
    out = tmp_path / "out.mp4"
    run = toolkit.restore(tape, out, pipeline=STEPS, audio=audio, write=QUICK)
    assert tape.read_bytes() == before
    times, wanted = m.told_times(out), source_times(recipe, tape)
    assert len(times) == len(wanted) == recipe.frames * (1 if recipe.order == "progressive" else 2)
    shift = times[0] - wanted[0]
    # Containers of the source count in ticks of up to 1 ms; the output must not add to that.
    assert max(abs((a - shift) - b) for a, b in zip(times, wanted, strict=True)) <= Fraction(1, 90000)
    with av.open(str(tape)) as c:
        start = float(c.streams.video[0].start_time * c.streams.video[0].time_base)
    heard, told = m.burst_times(m.told_samples(tape), 48000), m.burst_times(m.told_samples(out), 48000)
    lag = [(b - float(times[0])) - (a - start) for a, b in zip(heard, told, strict=True)]
    assert np.abs(lag).max() < 0.001, f"sound is off by {np.round(np.array(lag) * 1000, 3)} ms"
    assert abs(m.told_dar(out) / (Fraction(recipe.size[0], recipe.size[1]) * recipe.sar) - 1) < Fraction(1, 500)
    line = m.told_streams(out)[0]
    hd = 2 * recipe.size[1] > 576
    assert ("bt709" in line) == hd and "progressive" in line and "tv" in line and "yuv420p" in line
    assert all(c.ok for c in run.checks) and len(run.checks) >= 5
    assert f"{2 * recipe.size[0]}x{2 * recipe.size[1]}" in line


def test_colours_are_kept_from_601_to_709(tmp_path):
    """Colour bars shown by each file's own matrix are the same before and after; by the wrong one they are not."""
    tape, out = tmp_path / "bars.mkv", tmp_path / "out.mkv"
    bars = "smptebars=size=720x480:rate=30000/1001"
    m.ffmpeg("-f", "lavfi", "-i", bars, "-frames:v", 4, "-colorspace", "smpte170m", "-c:v", "ffv1", tape)
    toolkit.restore(tape, out, pipeline=STEPS, field_order="tff", write={"codec": "ffv1"})

    def seven_bars(path, matrix):
        # Without these flags swscale's own conversion is off by more than a level.
        flags = "accurate_rnd+full_chroma_int+full_chroma_inp"
        chain = f"scale=in_color_matrix={matrix}:flags={flags},format=rgb24,scale=720:480:flags=area"
        raw = m.ffmpeg("-i", path, "-frames:v", 1, "-vf", chain, "-f", "rawvideo", "-")
        picture = np.frombuffer(raw, np.uint8).reshape(480, 720, 3).astype(float)
        return np.stack([picture[40:280, round(720 * (k + 0.5) / 7) - 20 :][:, :40].mean((0, 1)) for k in range(7)])

    before = seven_bars(tape, "bt601")
    assert np.abs(before - seven_bars(out, "bt709")).max() < 1.5
    assert np.abs(before - seven_bars(out, "bt601")).max() > 8


def test_a_range_of_frames_is_the_same_as_that_part_of_the_whole(tmp_path):
    tape = m.made("huffyuv.avi")
    steps = Pipeline([deinterlace.yadif()])
    for name, frames in (("whole.mkv", (0, None)), ("part.mkv", (10, 20))):
        toolkit.restore(tape, tmp_path / name, pipeline=steps, frames=frames, audio="keep", write={"codec": "ffv1"})
    whole, part = (decoded(tmp_path / n) for n in ("whole.mkv", "part.mkv"))
    assert part.shape[0] == 20
    # yadif looks one frame back and ahead: the frames at the cut have no neighbour beyond it.
    assert np.array_equal(part[2:-2], whole[22:38])
    # Ten frames of 1001/30000 s at 48 kHz, to the sample.
    assert len(m.told_samples(tmp_path / "part.mkv")) == 16016


def decoded(path) -> np.ndarray:
    with av.open(str(path)) as c:
        return np.stack([f.to_ndarray() for f in c.decode(video=0)])


def test_the_result_does_not_depend_on_the_batch(tmp_path):
    tape = m.made("huffyuv.avi")
    results = []
    for name, memory in (("a.mkv", 2 << 30), ("b.mkv", 60 << 20)):
        run = toolkit.restore(
            tape, tmp_path / name, pipeline=STEPS, audio="none", max_memory=memory, write={"codec": "ffv1"}
        )
        results.append((run.plan.batch, decoded(tmp_path / name)))
    assert results[0][0] != results[1][0], "both ran with the same batch: the test shows nothing"
    assert np.array_equal(results[0][1], results[1][1])


def test_master_is_lossless_on_the_kept_lines(tmp_path):
    tape = m.made("huffyuv.avi")
    toolkit.restore(tape, tmp_path / "m.mkv", preset="master")
    before, after = decoded(tape), decoded(tmp_path / "m.mkv")
    assert after.shape[0] == 2 * before.shape[0]
    assert np.array_equal(after[0::2, :480:2], before[:, :480:2]), "top lines of the first field changed"
    assert np.array_equal(after[1::2, 1:480:2], before[:, 1:480:2]), "bottom lines of the second field changed"


def test_pipeline_survives_its_dictionary():
    again = Pipeline.from_dict(json.loads(json.dumps(STEPS.to_dict())))
    assert again == STEPS and hash(again) == hash(STEPS)
    assert (
        eval(repr(STEPS), {"Pipeline": Pipeline, "deinterlace": deinterlace, "denoise": denoise, "upscale": upscale})
        == STEPS
    )


def test_knobs_and_names_are_refused_with_near_ones():
    with pytest.raises(RequestError, match="spatiol.*did you mean spatial"):
        denoise.hqdn3d(spatiol=3)
    with pytest.raises(RequestError, match="expected 0 to 255 levels"):
        denoise.hqdn3d(spatial=-1)
    for odd in (float("inf"), float("nan")):
        with pytest.raises(RequestError):
            denoise.temporal(radius=odd)
    with pytest.raises(RequestError, match="bwdiff.*did you mean .*deinterlace.bwdif"):
        Pipeline.from_dict({"steps": [{"stage": "deinterlace.bwdiff"}]})
    with pytest.raises(RequestError, match="not a pipeline"):
        Pipeline.from_dict({"stages": []})


def test_denoising_interlaced_frames_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(PictureError, match="interlaced.*deinterlace step before"):
        toolkit.restore(m.made("huffyuv.avi"), tmp_path / "o.mkv", pipeline=Pipeline([denoise.hqdn3d()]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("frames", [(-1, None), (5, 5), (9, 2)])
def test_a_range_without_frames_is_refused(frames, tmp_path):
    with pytest.raises(RequestError, match="frames is .*expected .first, stop"):
        toolkit.restore(m.made("huffyuv.avi"), tmp_path / "o.mkv", preset="master", frames=frames)
    assert not list(tmp_path.iterdir())


def test_existing_output_and_output_equal_to_input_are_refused(tmp_path):
    tape = tmp_path / "tape.avi"
    tape.write_bytes(m.made("huffyuv.avi").read_bytes())
    (tmp_path / "o.mp4").write_bytes(b"precious")
    with pytest.raises(OutputRefused, match="exists already.*--overwrite"):
        toolkit.restore(tape, tmp_path / "o.mp4")
    assert (tmp_path / "o.mp4").read_bytes() == b"precious"
    link = tmp_path / "same.mkv"
    os.link(tape, link)
    with pytest.raises(OutputRefused, match="is the input itself"):
        toolkit.restore(tape, link, overwrite=True)


def test_too_little_memory_is_said_with_the_amount_needed(tmp_path):
    with pytest.raises(RequestError, match="needs about [0-9]+ MiB.*--max-memory"):
        toolkit.restore(m.made("huffyuv.avi"), tmp_path / "o.mp4", max_memory=1 << 20)


def test_a_stage_that_fails_in_the_middle_leaves_nothing(tmp_path, monkeypatch):
    from toolkit.media.write import Writer

    real, calls = Writer.write, []

    def fail(self, batch):
        calls.append(len(batch))
        if len(calls) == 2:
            raise OutputFailed("the disk went away")
        real(self, batch)

    monkeypatch.setattr(Writer, "write", fail)
    with pytest.raises(OutputFailed, match="went away"):
        toolkit.restore(m.made("huffyuv.avi"), tmp_path / "o.mp4", max_memory=60 << 20, write=QUICK)
    assert calls and not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_kill_leave_nothing_behind(number, tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "VHS_TOOLKIT_SCRATCH": str(tmp_path / "tmp" / "scratch")}
    (tmp_path / "tmp").mkdir()
    (tmp_path / "out").mkdir()
    tape = m.repeated("huffyuv.avi", 20)  # half a minute of work, of which it gets a second
    words = ["restore", str(tape), str(tmp_path / "out" / "o.mp4"), "--json", "--denoise", "nlmeans"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    child = subprocess.Popen([sys.executable, "-m", "toolkit.cli", *words], env=env, **pipes)
    try:
        for line in child.stdout:  # wait until it works on frames
            if json.loads(line)["stage"] == "restore":
                break
        while not list((tmp_path / "out").iterdir()):  # else the test shows nothing
            assert child.poll() is None
            time.sleep(0.02)
        time.sleep(1)
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130 and "stopped" in err and "Traceback" not in err
    assert not list((tmp_path / "out").iterdir())
    assert not [p for p in (tmp_path / "tmp").rglob("*") if "vhs" in p.name or "scratch" in p.name]


def test_every_denoiser_takes_noise_off_a_made_tape(tmp_path):
    """Through the whole run, on every plane: closer to the truth than the same tape without it."""
    tape, truth = tmp_path / "tape.mkv", tmp_path / "truth.mkv"
    toolkit.simulate(toolkit.tape.demo(frames=4), tape, truth=truth, ideal=True, luma_noise=8, chroma_noise=6, seed=1)
    found = {}
    for name in ("", "hqdn3d", "temporal", "nlmeans", "dft_threshold", "median"):
        out = tmp_path / f"{name or 'plain'}.mkv"
        pipeline = Pipeline([deinterlace.bwdif(), *([stage(f"denoise.{name}")()] if name else [])])
        run = toolkit.restore(tape, out, pipeline=pipeline, field_order="tff", audio="none", write={"codec": "ffv1"})
        assert all(c.ok for c in run.checks)
        found[name] = compare(truth, out, align="times", metrics=("psnr",))
        for plane in "YUV":
            assert not name or found[name][plane, "psnr"] > found[""][plane, "psnr"] + 0.2, (name, plane)


def test_the_temporal_median_takes_out_what_only_one_frame_has():
    """As a stage, on every plane: a flash of one frame goes, the frames before and after stay."""
    form = PictureFormat(32, 16, field_order="progressive")
    planes = tuple(np.full((5, *shape), 90, np.uint8) for shape in form.plane_shapes)
    for plane in planes:
        plane[2, 3:6] = 250
    batch = Batch(planes, np.arange(5), np.ones(5, int), Fraction(1, 25), form)
    assert all((p == 90).all() for p in denoise.temporal_median()(batch).planes)


def test_groups_of_stages_stay_groups_when_their_modules_are_imported():
    program = (
        "import toolkit.stages.denoise, toolkit.runner; from toolkit.stages import all_stages; all_stages()\n"
        "from toolkit.stages import deinterlace, denoise, upscale\n"
        "print(deinterlace.bwdif(), denoise.hqdn3d(), list(upscale)[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "deinterlace.bwdif() denoise.hqdn3d() lanczos", done.stderr
