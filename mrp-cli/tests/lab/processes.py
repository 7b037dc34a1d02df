"""Programs that the lab starts: each with a log file of its own, each ended by its pid."""

import subprocess
import time

WITHIN = 300


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

    def start(self, name, command, output=None, **options):
        """Starts a program in the background; its output goes to its log, or to a file of its own."""
        with self.log(name).open("ab") as log, (output or self.log(name)).open("ab") as out:
            process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=log, **options
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
    return run_raw(command, text, **options).decode(errors="replace")


def run_raw(command, text="", **options):
    """The same; answers the bytes that it prints."""
    words = [str(word) for word in command]
    done = subprocess.run(words, input=text.encode(), capture_output=True, **options)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise Failure(f"{' '.join(words)}: exit code {done.returncode}\n{said}")
    return done.stdout


def check(condition, what):
    """Fails with `what` unless the condition holds."""
    if not condition:
        raise Failure(what)


def wait_for(condition, what, seconds=WITHIN):
    """Waits until the condition holds; answers what it answers."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        check(time.monotonic() < end, f"{what}: not within {seconds} s")
        time.sleep(0.1)
    return found
