import subprocess

import av

FFMPEG = "/usr/bin/ffmpeg"


def sample(path, piece):
    subprocess.check_call([FFMPEG, "-i", path, "-frames:v", "3", str(piece)], timeout=60)
    with av.open(piece) as container:
        return next(container.decode(video=0))
