"""`python3 deploy/local COMMAND …`: what the scripts beside this file, and deploy/demo, call."""

import sys

from stack import cli, demo

COMMANDS = {"up": cli.up, "down": cli.down, "start": cli.start, "demo": demo.demo}

sys.exit(cli.run(COMMANDS[sys.argv[1]], sys.argv[2:]))
