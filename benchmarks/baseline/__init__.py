"""The "before" of every item: what a competent programmer in a hurry writes.  Runnable, plain, not crippled.

Nothing of the toolkit imports this.  Each module says which fault it has; `profile lint` finds
most of them (`tests/test_lint.py` says which).

    comparison.py   whole clips cut to disk for a few frames; temporary folder removed by hand
    sound.py        sound by way of WAV files in a temporary folder; the filter chain built anew for each clip
    thumbnails.py   a cache without bounds
    status.py       one lock for all; a reader-writer lock made of two RLocks
    programs.py     programs started and not waited for when something goes wrong
    progress.py     progress drawn for every frame; polling ten times a second
    preview.py      work in the event handler of a slider
    upscaling.py    one frame at a time on the device
    tape.py         a whole tape, by frames on disk or with the clip in memory
"""
