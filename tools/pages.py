"""Commands that stand on pages, to be run as they stand there."""

import re
import shlex

from common import expect


def block(page, mark):
    """The fenced block after `<!-- ci:MARK -->`."""
    found = re.search(rf"^<!-- ci:{mark} -->\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    expect(found, f"the page has a block marked ci:{mark}")
    return found[1]


def checked(commands):
    """The same commands, each followed by a test of its exit code: that of `# exit code N` at its end, or 0."""
    lines = ["set -uo pipefail"]
    for line in commands.replace("\\\n", "").splitlines():
        if not line.strip():
            continue
        promised = re.search(r"# exit code (\d+)", line)
        code = int(promised[1]) if promised else 0
        lines += [f"printf '$ %s\\n' {shlex.quote(line)}", line]
        lines.append(f'got=$?; [ "$got" -eq {code} ] || {{ echo "exit code $got, not {code}" >&2; exit 1; }}')
    return "\n".join(lines)
