import subprocess


def start(command):
    return subprocess.Popen(command, start_new_session=True, process_group=0)
