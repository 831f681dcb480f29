"""What programs may never say, and how their logs are read.

The canaries are the users' ids (a mentor's own id may stand in a log event's `peer_mentor_id`, a
user's nowhere) and CANARY, which tests put wherever an outsider can put a text.
"""

import json
import re

from stack.programs import SECRETS

CANARY = "canary.wren@example.org"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
SANITIZERS = re.compile(r"^.*(ERROR: \w+Sanitizer|runtime error:).*$", re.MULTILINE)
STACKS = re.compile(r"^(\s*#\d+ 0x[0-9a-f]+ |Traceback \(most recent call last\)|\tat \S+\().*$",
                    re.MULTILINE)


def lines(path):
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def events(path):
    """The log events of a file; what is no JSON is passed over (complaints() reports it)."""
    found = []
    for line in lines(path):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def told(name, text, secrets, users):
    """What is wrong with a text that is to hold neither a secret ({name: value}) nor a user's id nor
    a canary nor a trace of the inside; a list of sentences, which do not repeat it."""
    wrong = [f"{name} tells the secret {one}" for one, value in secrets.items() if value in text]
    wrong += [f"{name} tells the user's id {one}" for one in sorted(users & set(UUID.findall(text)))]
    wrong += [f"{name} holds a stack trace: {found.group(0)[:100]}"
              for found in STACKS.finditer(text)]
    if CANARY in text:
        wrong.append(f"{name} tells a canary")
    return wrong


def complaints(world):
    """What is wrong with all that a world's programs, the CLI and HTTP said; empty: nothing."""
    wrong = []
    logs = {name: lines(program.daemon.log) for name, program in world.programs.items()}
    for name, said in logs.items():
        text = "\n".join(said)
        wrong += [f"{name}: {found.group(0)}" for found in SANITIZERS.finditer(text)]
        wrong += [f"{name} said what is no event: {line[:200]}" for line in said[:-1]
                  if not line.startswith("{") and not wrong]
    everything = {**{name: "\n".join(said) for name, said in logs.items()},
                  "CLI or HTTP": "\n".join(world.said)}
    users = {str(row.user_id) for row in world.db.rows("select user_id from public.peer_mentors")}
    secrets = {one: world.secret(one) for one in SECRETS}
    for name, text in everything.items():
        wrong += told(name, text, secrets, users)
    return wrong
