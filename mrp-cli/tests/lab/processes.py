"""Programs that the lab starts: each with a log file of its own, each ended by its pid."""

import subprocess


class Failure(Exception):
    """The lab found something wrong; the message says what."""


class Processes:
    """The programs that are running."""

    def __init__(self, folder):
        self.folder = folder
        self.running = {}

    def log(self, name):
        """The file with a program's output."""
        return self.folder / f"{name}.log"

    def start(self, name, command, **options):
        """Starts a program in the background; its output goes to its log."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
            )
        self.running[name] = process
        return process

    def end(self, name, grace=5):
        """Ends a program: asked first, and killed if it does not go within `grace` seconds."""
        process = self.running.pop(name, None)
        if process is None:
            return
        if grace and process.poll() is None:
            process.terminate()
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                pass
        if process.poll() is None:
            process.kill()
        process.wait()

    def end_all(self):
        """Ends everything, the newest first."""
        for name in reversed(list(self.running)):
            self.end(name)

    def ended(self):
        """The names of programs that ended by themselves."""
        return [name for name, process in self.running.items() if process.poll() is not None]


def run(command, text="", **options):
    """Runs a program to its end, with a text as its input; fails with its words if it does."""
    words = [str(word) for word in command]
    done = subprocess.run(words, input=text, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failure(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
