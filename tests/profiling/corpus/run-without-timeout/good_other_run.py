class Runner:
    def run(self, command):
        return command


def run(command):
    return Runner().run(command)


class subprocess:
    @staticmethod
    def run(command):
        return command


print(run(["a"]), subprocess.run(["b"]))
