_sizes: dict[str, int] = {}


def size(path, probe):
    found = _sizes.get(path)
    if found is None:
        found = probe(path)
        _sizes[path] = found
    return found
