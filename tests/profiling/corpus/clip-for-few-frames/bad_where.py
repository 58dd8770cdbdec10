import subprocess

import av


def look(tape, moments, folder, judge):
    for moment in moments:
        clip = folder / f"clip{moment}.mkv"
        where = ["-ss", str(moment), "-t", "10", "-i", str(tape)]
        subprocess.run(["ffmpeg", "-y", *where, "-an", str(clip)], check=True, timeout=60)
        with av.open(str(clip)) as container:
            judge(next(container.decode(video=0)))
