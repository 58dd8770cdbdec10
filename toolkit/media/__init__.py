"""Files in, files out.  Everything here works on planar frames with their times.

source.py      opens files and says what they hold; every bad file is one `ToolkitError`
read.py        `Reader`: frames in presentation order with exact times, from anywhere in the file
sound.py       `read_sound`: samples on the picture's clock
times.py       presentation times without decoding
probe.py       `probe`: field order, film cadence and noise measured, a preset suggested
encode.py      `Encoding`: batches as frames of the file's layout and time, and the encoder's settings
packets.py     encoded pictures of one segment in a file of their own
timeline.py    `Timeline`: presentation times of a long tape in little memory
write.py       `Writer`: MP4, MOV and MKV, renamed to the final name only when complete
tracks.py      sound on its way into a file, encoded or copied
verify.py      `verify`: what every output keeps, checked on the written file
preview.py     `Preview`: single RGB frames for looking at, by decord where that is safe
thumbnails.py  small JPEGs in a bounded cache
pixels.py      FFmpeg's pixel formats and colour numbers
matroska.py    the display aspect of a Matroska file
"""
