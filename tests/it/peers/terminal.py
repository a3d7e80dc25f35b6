"""Runs a command of the Python service's unmodified command line at a terminal, as a person would.

Reads {"arguments": [text, …], "home": directory, "steps": [[question, keys], …], "last": text} from standard input: when a question is on the
screen, the keys are pressed. After the last words it waits for the end. The screen goes to standard error, the exit code is that of the command.
"""

import json
import sys

import pexpect
from ceremony_by_cli import Terminal


def main():
    play = json.load(sys.stdin)
    terminal = Terminal(play["arguments"], play["home"])
    for question, keys in play["steps"]:
        terminal.child.expect_exact(question)
        terminal.child.send(keys)
    terminal.child.expect_exact(play["last"])
    terminal.child.expect(pexpect.EOF)
    terminal.child.close()
    sys.exit(terminal.child.exitstatus)


if __name__ == "__main__":
    main()
