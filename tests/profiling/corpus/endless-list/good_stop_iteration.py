def pairs(numbers):
    found = []
    try:
        while True:
            found.append((next(numbers), next(numbers)))
    except StopIteration:
        return found
