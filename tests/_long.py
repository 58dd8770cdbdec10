"""Long tapes, made by repeating a short clip packet by packet: nothing is decoded or encoded for their length."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from tests import _media as m

FRAMES = 96  # of the clip that is repeated; 3.84 s, which are whole packets of its sound


def short_clip(path: Path, size: str = "160x120", rate: int = 16000, layout: str = "mono") -> Path:
    """A PAL clip of noisy, moving, interlaced pictures with PCM sound."""
    picture = (
        f"testsrc2=size={size}:rate=50,noise=alls=12:allf=t,tinterlace=interleave_top,setfield=tff,setsar=16/15"
    )
    tone = "0.2*sin(2*PI*330*t)*(1+sin(2*PI*t/1.92))+0.02*(random(0)-0.5)"
    sound = f"aevalsrc='{'|'.join([tone] * {'mono': 1, 'stereo': 2}[layout])}':s={rate}:c={layout}"
    seconds = FRAMES / 25
    m.ffmpeg(
        "-f", "lavfi", "-t", seconds, "-i", picture, "-f", "lavfi", "-t", seconds, "-i", sound, "-frames:v", FRAMES,
        "-pix_fmt", "yuv420p", "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-g", 12, "-bf", 0, "-q:v", 5,
        "-c:a", "pcm_s16le", path,
    )  # fmt: skip
    return path


def repeated(clip: Path, out: Path, times: int) -> Path:
    """`clip` so many times on end, its packets copied with rising times."""
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        packets = [
            (p.stream_index, bytes(p), p.pts, p.dts, p.duration, p.is_keyframe, p.time_base)
            for p in source.demux()
            if p.size
        ]
        length = Fraction(FRAMES, 25)
        for n in range(times):
            for index, data, pts, dts, duration, key, tick in packets:
                packet = av.Packet(data)
                late = round(n * length / tick)
                packet.time_base, packet.duration, packet.is_keyframe = tick, duration, key
                packet.pts = pts + late
                packet.dts = packet.pts if dts is None else dts + late
                packet.stream = streams[index]
                target.mux_one(packet)
    return out
