from subprocess import Popen


def record(command, stop):
    recorder = Popen(command)
    try:
        stop()
    finally:
        recorder.terminate()
