import threading


class Monitor:
    def __init__(self, work):
        threading.Thread(target=work, daemon=True).start()
        thread = threading.Thread(target=work)
        thread.daemon = True
        thread.start()
        self.thread = threading.Thread(target=work)
