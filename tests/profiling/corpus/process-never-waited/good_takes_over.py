import os
import subprocess
import sys


def restart():
    subprocess.Popen([sys.executable, *sys.argv])
    os._exit(0)
