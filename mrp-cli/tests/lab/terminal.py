"""A terminal that a person sits at: a shell in tmux, which is typed at and looked at."""

import shlex
import time

from processes import Failure, run

WIDTH, HEIGHT = 110, 40


class Terminal:
    """One terminal with a shell in it."""

    def __init__(self, folder, name, environment):
        self.tmux = ["tmux", "-S", folder / f"{name}.tmux", "-f", "/dev/null"]
        shell = ["env", "PS1=$ ", "sh"]
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        run([*self.tmux, "new-session", "-d", "-s", name, *size, shlex.join(shell)], env=environment, cwd=folder)

    def type(self, text):
        """Types a text, without Enter."""
        run([*self.tmux, "send-keys", "-l", text])

    def press(self, *keys):
        """Presses keys by tmux's names: `Enter`, `C-c`."""
        run([*self.tmux, "send-keys", *keys])

    def enter(self, text):
        """Types a text and Enter."""
        self.type(text)
        self.press("Enter")

    def answers(self, text, answer, enter=True):
        """Clears the screen, types, and waits for an answer."""
        run([*self.tmux, "send-keys", "-R", ";", "clear-history"])
        (self.enter if enter else self.type)(text)
        self.wait_for(answer)

    def resize(self, width, height):
        """Gives the window another size."""
        run([*self.tmux, "resize-window", "-x", str(width), "-y", str(height)])

    def shows(self):
        """What is on the screen, and what went off it above."""
        return run([*self.tmux, "capture-pane", "-p", "-J", "-S", "-"])

    def wait_for(self, text, seconds=30):
        """Waits until a text is there; answers the screen."""
        end = time.monotonic() + seconds
        while text not in (screen := self.shows()):
            if time.monotonic() > end:
                raise Failure(f"the terminal does not show {text!r} within {seconds} s:\n{screen}")
            time.sleep(0.05)
        return screen

    def end(self):
        """Ends the terminal and what runs in it."""
        run([*self.tmux, "kill-server"])
