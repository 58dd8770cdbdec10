from tempfile import mktemp as fresh_name


def extract(clip):
    target = fresh_name(".wav")
    clip.sound(target)
    return target
