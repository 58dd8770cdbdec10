from collections import OrderedDict


class Reader:
    def __init__(self, container):
        self.container, self.decoded_frames = container, OrderedDict()

    def at(self, index):
        held = self.decoded_frames.get(index)
        if held is None:
            held = self.container.decode(index)
            self.decoded_frames[index] = held
        return held
